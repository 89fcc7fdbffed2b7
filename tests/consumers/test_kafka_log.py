"""A broker that is away: what is said of it, how often, and how soon a stop is obeyed."""

import logging
import threading
import time

import pytest
from confluent_kafka import Producer

from anabranch.errors import KafkaUnavailable
from anabranch.kafka import common, producer
from anabranch.kafka.faults import AGAIN_S, KafkaLog
from consumers.kafka.sink import KafkaSink
from consumers.timing import STOP_S, SystemClock

NOBODY = {"bootstrap.servers": "127.0.0.1:1"}
REFUSED = "[thrd:a:1/bootstrap]: a:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in …)"


def test_a_broker_that_is_away_is_told_once_and_then_seldom(caplog: pytest.LogCaptureFixture) -> None:
    """As a warning in a sentence, by whichever client of the process notices first."""
    now_s = [0.0]
    told = KafkaLog(lambda: now_s[0])
    for now_s[0] in (0.0, 0.1, 5.0, AGAIN_S - 1, AGAIN_S + 1):
        told.log(logging.ERROR, "%s [%s] %s", "FAIL", "rdkafka#consumer-1", REFUSED)
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "no connection to Kafka: a:1: Connect to 127.0.0.1:1 failed: Connection refused; tried again" in caplog.text


def test_a_real_client_prints_nothing(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    """librdkafka's own lines go to no file descriptor: services that follow a model have their own logs."""
    client = Producer(producer(NOBODY))
    ends_s = time.monotonic() + 20
    while not caplog.records and time.monotonic() < ends_s:
        client.poll(0.1)
    assert "Connection refused" in caplog.text
    assert capfd.readouterr() == ("", "")


def test_what_a_takeover_makes_fatal_is_not_told_twice(caplog: pytest.LogCaptureFixture) -> None:
    """The client raises it as well, and the loop says who owns the model now."""
    KafkaLog().log(logging.CRITICAL, "%s [%s] %s", "FATAL", "rdkafka#consumer-1", "Fatal error: fenced")
    assert not caplog.records


def test_the_users_own_settings_go_first() -> None:
    """Also before the pauses between two attempts, and the logger."""
    mine = {**NOBODY, "reconnect.backoff.ms": 7, "reconnect.backoff.max.ms": 8, "logger": None}
    assert common(mine).items() >= mine.items()
    assert common(NOBODY)["reconnect.backoff.ms"] > 100


@pytest.mark.parametrize("late", [False, True])
def test_a_flush_gives_up_soon_after_a_stop(late: bool) -> None:
    """Also when the stop is asked for while it waits; what was not delivered is an error."""
    stopping = threading.Event()
    sink = KafkaSink(producer(NOBODY), stopping=stopping)
    sink.send("events", key="", value=b"{}")
    stop = threading.Timer(0.5 if late else 0.0, stopping.set)
    stop.start()
    begun_s = SystemClock().monotonic_s()
    with pytest.raises(KafkaUnavailable, match="1 are still waiting"):
        sink.flush()
    assert SystemClock().monotonic_s() - begun_s < STOP_S + 3
