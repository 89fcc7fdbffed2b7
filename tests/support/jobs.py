"""A retraining job on an embedded broker, and what comes of it wherever it is carried out."""

from typing import Any

import orjson
from confluent_kafka import Producer

from anabranch import statetree
from anabranch.kafka import producer
from commands.brokers import EmbeddedKafka
from config.settings import Settings
from consumers.jobs import carried_out
from consumers.kafka.reader import KafkaLogReader
from consumers.kafka.topics import TRAINED, require
from learners.retraining import Job, JobResult, Plan
from learners.retraining.lineage import Run
from support import loops
from support.streams import rows

EVENTS = 300
PLANS = tuple(Plan(f"r9-last-{count}", (Run(0, EVENTS - count, EVENTS),)) for count in (100, EVENTS))
JOB = Job("m-9", event_number=EVENTS, reason="drift", seed=1, plans=PLANS)


def settings_on(broker: EmbeddedKafka, **retrain: Any) -> Settings:
    """A small model there."""
    kafka = {"bootstrap.servers": broker.bootstrap, "session.timeout.ms": 6000}
    return loops.settings_of(kafka=kafka, topics={"partitions": 1}, retrain={"executor": "topic", **retrain})


def with_events(broker: EmbeddedKafka) -> Settings:
    """The model's settings; its events are on the broker."""
    made = settings_on(broker)
    require(made.kafka, [made.topics.name(which) for which in TRAINED])  # this broker makes them up when it is asked
    publisher = Producer(producer(made.kafka))
    for row in rows(EVENTS):
        publisher.produce("events", orjson.dumps(row), partition=0)
    assert not publisher.flush(30)
    return made


def fingerprints(result: JobResult) -> list[str]:
    """Of the models that came of a job."""
    return [statetree.digest(model) for model in result.models]


def trained_here(settings: Settings) -> list[str]:
    """The fingerprints of the job's models, carried out in this process."""
    return fingerprints(carried_out(JOB, KafkaLogReader(settings), settings))
