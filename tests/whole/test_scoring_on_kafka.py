"""Scoring on a real Kafka, with real processes: asked over HTTP, and event by event on a topic."""

import itertools
import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Producer

from anabranch.kafka.tail import Tail
from anabranch.messages import ModelPrediction, decode
from support.projects import SCALED_LINEAR, Project, announced, ended, sea, values_on
from support.scorers import Scorer, free_port
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

SEA = {"features": {"f0": 9.0, "f1": 9.0, "f2": 1.0}}


def serving(here: Project) -> list[int]:
    """The version of each that has told what it serves."""
    return [each["version"] for each in json.loads(here.run("followers", here.config, "--json"))["followers"]]


@pytest.mark.parametrize("options", [("--workers", 2), ("--learn-along",)])
def test_a_model_is_asked_over_http_while_it_changes(project: Callable[..., Project], options: tuple[Any, ...]) -> None:
    """No request fails, whatever version answers was announced, and nothing is older than allowed."""
    here = project(sections=f"{SCALED_LINEAR}[publish]\nwarm_up_events = 300\n[score]\nmax_age = '20s'\n")
    scorer = Scorer(free_port(), [])
    learner = here.start("learn", here.config)
    process = here.start("score", here.config, "--port", scorer.port, *options)
    try:
        until(scorer.answers)
        assert scorer.ask("/api/predict", SEA).status == 503
        rows = sea(6000, flipped_from=3000)
        here.produce(itertools.islice(rows, 120))
        until(lambda: "120 of 300 warm-up labels" in str(scorer.ask("/readyz").body))
        here.produce(itertools.islice(rows, 1000))
        workers = 2 if "--workers" in options else 1
        # Each worker follows by itself, and /readyz speaks for the one that is asked.
        until(lambda: len(serving(here)) == workers and min(serving(here)) > 0)
        assert scorer.ask("/readyz").status == 200
        sent = threading.Thread(target=here.produce, args=(rows,), kwargs={"rate": 500})
        sent.start()
        replies = []
        while sent.is_alive():
            replies.append(scorer.ask("/api/predict", SEA))
        until(lambda: scorer.ask("/api/predict", SEA).body["prediction"] is False)
        shown = json.loads(here.run("followers", here.config, "--json"))
        assert min(serving(here)) > 1
    finally:
        learner.terminate()
        process.terminate()
        assert ended(learner)[0] == 0
        code, said = ended(process, within_s=10)
    assert code == 0, said
    assert {reply.status for reply in replies} == {200}
    assert len({reply.body["version"] for reply in replies}) >= 3
    assert {reply.body["version"] for reply in replies} <= {each.version for each in announced(here)}
    assert max(reply.body["age_s"] for reply in replies) <= 20
    assert all(("behind" in reply.body) == ("--learn-along" in options) for reply in replies)
    assert shown["taken"]["updates"] >= 2


PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_what_comes_of_an_event_belongs_to_its_trace(project: Callable[..., Project]) -> None:
    """An event with a trace context, one with something else in its place, one without; and one that is refused."""
    sections = f"{SCALED_LINEAR}[publish]\nwarm_up_events = 300\n[score]\npredictions_start = 'earliest'\n"
    here = project(sections=sections)
    here.produce(sea(500))
    producer = Producer(here.kafka)
    given: dict[str, list[tuple[str, bytes]]] = {
        "traced": [("traceparent", PARENT)],
        "odd": [("traceparent", b"x")],
        "plain": [],
    }
    for name, headers in given.items():
        value = json.dumps({"id": name, "ts": time.time(), **SEA})
        producer.produce(f"{here.prefix}events", value, partition=0, headers=[*headers, ("other", b"1")])
    producer.produce(f"{here.prefix}events", b"{", partition=0, headers=[("traceparent", PARENT)])
    assert not producer.flush(20)
    here.run("learn", here.config, "--until-end")
    with Tail(here.kafka, [f"{here.prefix}dead-letters"]) as tail:
        assert [each.headers() for each in tail.until_caught_up()] == [[("traceparent", PARENT)]]
    scorer = here.start("score", here.config, "--predictions", "--port", 0)
    found: dict[str, Any] = {}
    try:
        with Tail(here.kafka, [f"{here.prefix}model-predictions"]) as tail:
            while not given.keys() <= found.keys():
                answers = tail.poll(1.0)
                found |= {decode(ModelPrediction, bytes(each.value() or b"")).id: each.headers() for each in answers}
    finally:
        scorer.kill()
    assert {name: found[name] for name in given} == {"traced": [("traceparent", PARENT)], "odd": None, "plain": None}
    assert found["e0"] is None


def test_each_event_is_answered_once_whatever_happens_to_its_scorers(project: Callable[..., Project]) -> None:
    """Two that share the partitions; one is killed, another comes, one is stopped."""
    here = project(partitions=2, sections=f"{SCALED_LINEAR}[publish]\nwarm_up_events = 300\n")
    rows = sea(9000, flipped_from=4000)
    here.produce(itertools.islice(rows, 1000), partitions=2)
    here.run("learn", here.config, "--until-end")
    words = ("score", here.config, "--predictions", "--port", 0)
    scorers = [here.start(*words) for _ in range(2)]

    def told() -> list[ModelPrediction]:
        return [decode(ModelPrediction, value) for value in values_on(here.kafka, f"{here.prefix}model-predictions")]

    try:
        sent = 1000
        while not told():  # the first that is published after they have joined
            here.produce(itertools.islice(rows, 10), partitions=2)
            sent += 10
            time.sleep(0.5)
        since = sent
        for number in range(3):
            here.produce(itertools.islice(rows, 700), partitions=2, rate=500)
            sent += 700
            scorers[number].send_signal(signal.SIGTERM if number == 2 else signal.SIGKILL)
            ended(scorers[number])
            scorers.append(here.start(*words))
        wanted = {f"e{n}" for n in range(since, sent)}
        until(lambda: wanted <= {each.id for each in told()}, within_s=60)
    finally:
        for each in scorers:
            each.kill()
    counted = Counter(each.id for each in told())
    assert set(counted.values()) == {1}
    assert {each.version for each in told()} <= {each.version for each in announced(here)}
    assert all(each.prediction in (True, False) and not each.failure for each in told())


def test_each_key_is_answered_by_the_model_of_its_partition(project: Callable[..., Project]) -> None:
    """Keys as a producer distributes them; under another partitioner nothing begins, and the one that fits is named."""
    here = project(partitions=3, sections=f'scope = "partition"\n{SCALED_LINEAR}[publish]\nwarm_up_events = 100\n')
    producer = Producer(here.kafka)
    lies_on: dict[str, int] = {}

    def delivered(_: Any, message: Any) -> None:
        lies_on[message.key().decode()] = message.partition()

    for n, row in enumerate(sea(1500)):
        producer.produce(f"{here.prefix}events", row, f"customer-{n % 40}", on_delivery=delivered)
        producer.poll(0)
    assert not producer.flush(20)
    here.run("learn", here.config, "--until-end")
    scorer = Scorer(free_port(), [])
    process = here.start("score", here.config, "--port", scorer.port)
    try:
        until(lambda: scorer.answers() and scorer.ask("/readyz").status == 200)
        found = {key: scorer.ask("/api/predict", SEA, Anabranch_Key=key).body["scope"] for key in lies_on}
    finally:
        process.terminate()
        code, said = ended(process)
    assert code == 0, said
    assert found == {key: f"p{number}" for key, number in lies_on.items()}
    here.config.write_text(here.config.read_text() + '[score]\npartitioner = "murmur2"\n')
    code, said = ended(here.start("score", here.config, "--port", 0))
    assert (code, 'set score.partitioner = "crc32"' in said) == (2, True), said
