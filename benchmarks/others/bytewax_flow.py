"""Bytewax: its Kafka source, a map a record, one worker; no recovery store, as it comes."""

import os

import bytewax.operators as op
from bytewax.connectors.kafka import operators as kafka
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, run_main
from work import NOTES_LAGS, TOPIC, asked_for

bootstrap, work, _group = asked_for()


def take(message: object) -> object:
    """One event; after the last one there is nothing to wait for."""
    if work.take(message.value, message.timestamp[1]):  # type: ignore[attr-defined]
        work.tell()
        os._exit(0)
    return message


flow = Dataflow("learning")
read = kafka.input("read", flow, brokers=[bootstrap], topics=[TOPIC], tail=NOTES_LAGS, batch_size=1000)
learned = op.map("learn", read.oks, take)
op.output("nowhere", learned, TestingSink([]))
run_main(flow)
