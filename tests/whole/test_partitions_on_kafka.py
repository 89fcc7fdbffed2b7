"""A model for each partition on a real Kafka: each key has its own, or the mean of all answers."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer

from serving.partitions import partition_of
from support.command_line import environment
from support.projects import GAUSSIAN, Project, ended
from support.scorers import Scorer, free_port
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

SECTIONS = 'scope = "partition"\n' + GAUSSIAN + "[publish]\nwarm_up_events = 100\n"


def of(key: str) -> int:
    return partition_of(key, count=2, partitioner="crc32")


def produce(here: Project, keys: list[str]) -> None:
    """What is large is True to customers of the one partition, and False to those of the other."""
    producer = Producer(here.kafka)
    for n in range(1200):
        key, value = keys[n % len(keys)], float(n * 7 % 10)
        event = {"id": f"e{n}", "ts": 1.6e9, "features": {"a": value}, "label": (value > 4) != bool(of(key))}
        producer.produce(f"{here.prefix}events", orjson.dumps(event), key)
    assert not producer.flush(30)


def test_a_key_has_its_partitions_model_and_the_mean_is_everybodys(project: Callable[..., Project]) -> None:
    """As producers partition by default; two scorers of one learner, which differ in one setting."""
    here = project(sections=SECTIONS, partitions=2)
    keys = [f"customer-{n}" for n in range(40)]
    produce(here, keys)
    own, mean = (Scorer(free_port(), []) for _ in range(2))
    averaging: dict[str, Any] = {**environment(), "ANABRANCH__SCORE__BY_PARTITION": "average"}
    processes = [
        here.start("learn", here.config),
        here.start("score", here.config, "--port", own.port),
        here.start("score", here.config, "--port", mean.port, env=averaging),
    ]
    event = {"features": {"a": 9.0}}
    try:
        until(lambda: all(each.answers() and each.ask("/readyz").status == 200 for each in (own, mean)))
        found = {key: own.ask("/api/predict", event, Anabranch_Key=key).body for key in keys}
        assert {key: each["scope"] for key, each in found.items()} == {key: f"p{of(key)}" for key in keys}
        assert {key: each["prediction"] for key, each in found.items()} == {key: not of(key) for key in keys}
        assert own.ask("/api/predict", event).status == 422
        both = mean.ask("/api/predict", event).body
        assert (both["scope"], len(both["versions"])) == ("average", 2)
        shares = {each["scope"]: each["probabilities"]["true"] for each in found.values()}
        assert both["probabilities"]["true"] == pytest.approx(sum(shares.values()) / 2, abs=0.1)
        assert f'anabranch_keys_elsewhere{{model="{here.name}"}} 0.0' in own.ask("/metrics").body
    finally:
        for process in processes:
            process.terminate()
        codes = [ended(process) for process in processes]
    assert [code for code, _ in codes] == [0, 0, 0], codes
