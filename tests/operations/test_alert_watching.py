"""The watcher on a real Kafka: what it reads at the start and later, and what it makes of brokers that are away."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from confluent_kafka import Producer

from anabranch import kafka as clients
from anabranch.errors import ConfigError, KafkaUnavailable
from anabranch.messages import Message, encode
from commands.brokers.local import LocalKafka
from config.loading import build, load
from config.settings import Settings
from consumers.kafka import topics
from operations.alerts import watching as alerts
from operations.alerts.backlog import Backlog
from operations.alerts.delivery import Delivery
from operations.alerts.sinks import sink_of
from operations.alerts.watching import Watcher
from operations.picture import Record
from support.projects import Project
from support.told import ack, letter, report, signal, update
from support.waiting import until


def publish(settings: Settings, *told: Message, at_s: float | None = None) -> None:
    """Each on its topic; as of a time, or now."""
    producer, faults = Producer({**clients.producer(settings.kafka)}), []
    for each in told:
        producer.produce(
            settings.topics.name(each.goes_to),
            encode(each),
            key="k",  # a compacted topic wants one
            timestamp=0 if at_s is None else int(1000 * at_s),
            on_delivery=lambda error, _: faults.append(error) if error else None,
        )
    assert not producer.flush(20)
    assert faults == []


@contextmanager
def watching(settings: Settings) -> Iterator[tuple[Watcher, threading.Event]]:
    """A watcher in a thread, and what stops it."""
    sinks = [Delivery(name, each, sink_of(each), seed=1) for name, each in settings.alerts.sinks.items()]
    watcher, stopping = Watcher([settings], sinks), threading.Event()
    thread = threading.Thread(target=watcher.run, args=(stopping,))
    thread.start()
    try:
        yield watcher, stopping
    finally:
        stopping.set()
        thread.join()


@pytest.mark.kafka
def test_the_topics_are_read_from_a_time_on_and_announcements_from_the_first(project: Callable[..., Project]) -> None:
    """What cannot be read is counted, and other models are passed over."""
    here = project()
    settings, name, now_s = load(here.config), here.name, time.time()
    old = (signal(1, model=name), report(100, model=name), update(1, kind="first", model=name))
    publish(settings, *old, at_s=now_s - 90_000)
    new = (signal(2, model=name), report(200, model=name), letter(3), update(1, kind="first", model="another"))
    publish(settings, *new, ack("f", 1).model_copy(update={"model": name}), at_s=now_s - 60)
    here.publish(settings.topics.name("reports"), iter([b"{"]))
    settings = settings.model_copy(update={"alerts": settings.alerts.model_copy(update={"history": 86_400.0})})
    watcher = Watcher([settings], [])
    with watcher.opened() as reading:
        watcher.catch_up(reading)
    (found,) = watcher.picture.models.values()
    assert [round(now_s - each.at_s) for each in found.updates] == [90_000]
    assert [round(now_s - each.at_s) for each in found.signals] == [60]
    assert [round(now_s - each.at_s) for each in found.points] == [60]
    assert len(found.acks) == 1
    assert watcher.picture.unreadable == {settings.topics.name("reports"): 1}


@pytest.mark.kafka
def test_what_fires_now_is_listed_once(project: Callable[..., Project]) -> None:
    """Nothing where all is well; the state and what to do where not."""
    here = project()
    settings, now_s = load(here.config), time.time()
    assert here.run("alerts", "list", here.config) == ""
    for ago_s in (900, 300, 5):
        told = {"model": here.name, "unread": 50_000, "id": f"{ago_s}"}
        publish(settings, report(9000 - ago_s, **told), at_s=now_s - ago_s)
    said = here.run("alerts", "list", here.config)
    assert f"firing   warning  {here.name}: unread: 50,000 records are unread (since " in said
    assert "fewer shadows (shadows.budget)" in said


def test_configurations_of_two_kafkas_are_refused() -> None:
    """Before anything is read."""
    model: dict[str, Any] = {"task": "binary", "model": {"steps": [{"use": "naive_bayes.GaussianNB"}]}}
    several = [build({"name": f"m{n}", "kafka": {"bootstrap.servers": f"h{n}:1"}, **model}) for n in range(2)]
    with pytest.raises(ConfigError, match="all configurations have to name one Kafka; found: h0:1, h1:1"):
        Watcher(several, [])


def test_a_broker_that_was_never_there_is_an_error() -> None:
    """It is not waited for: the address may be wrong."""
    model: dict[str, Any] = {"name": "m", "task": "binary", "model": {"steps": [{"use": "naive_bayes.GaussianNB"}]}}
    settings = build({**model, "kafka": {"bootstrap.servers": "127.0.0.1:1"}})
    with pytest.raises(KafkaUnavailable, match=r"no answer from 127\.0\.0\.1:1"):
        Watcher([settings], []).opened(timeout_s=0.5)


def test_the_backlog_keeps_what_may_be_judged() -> None:
    """Of a flood: the newest refused records, and each follower's last word; all in order of time."""
    now_s, backlog = 1e6, Backlog()
    for n in range(3000):
        at_s = now_s - 3000 + n
        for message in (letter(n), ack("f", n, ts=at_s), report(n)):
            backlog.add(Record(at_s, message.goes_to, 0, n, message))
    kept = backlog.in_order()
    numbers = [type(each.message).__name__ for each in kept]
    assert numbers.count("DeadLetter") == 200
    assert numbers.count("ModelAck") == 1
    assert numbers.count("ModelReport") == 3000
    assert [each.at_s for each in kept] == sorted(each.at_s for each in kept)


@pytest.mark.slow
def test_while_brokers_are_away_nobody_is_called_silent(
    local_kafka: LocalKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor right after; the learner that then says nothing is."""
    monkeypatch.setattr(alerts, "QUIET_S", 3.0)
    settings = build(
        {
            "name": "m",
            "task": "binary",
            "model": {"steps": [{"use": "naive_bayes.GaussianNB"}]},
            "kafka": {"bootstrap.servers": local_kafka.bootstrap},
            "publish": {"report_interval": "1s"},
            "alerts": {"every": "500ms", "rules": {"learner-silent": {"above": 6.0}}},
        }
    )
    topics.create(settings)
    clock = iter(range(1, 100))

    def tell() -> None:
        n = next(clock)
        publish(settings, report(n, id=f"r{n}"))

    tell()
    with watching(settings) as (watcher, _):
        until(watcher.caught_up.is_set)
        local_kafka.kill()
        time.sleep(9)  # longer than a learner may be silent
        assert watcher.book.entries == {}
        local_kafka.start()
        began_s = time.time()
        tell()
        assert watcher.book.entries == {}
        entry = until(lambda: next(iter(watcher.book.entries.values()), None), within_s=40)
        assert entry.judged.key.rule == "learner-silent"
        assert time.time() - began_s > 5


@pytest.mark.kafka
def test_a_topic_that_is_missing_is_named(kafka: Any, topic_prefix: str) -> None:
    """With what to do."""
    model: dict[str, Any] = {"name": "m", "task": "binary", "model": {"steps": [{"use": "naive_bayes.GaussianNB"}]}}
    settings = build({**model, "topics": {"prefix": topic_prefix}, "kafka": {"bootstrap.servers": kafka.bootstrap}})
    with pytest.raises(KafkaUnavailable, match=f"{topic_prefix}"):
        Watcher([settings], []).opened()
