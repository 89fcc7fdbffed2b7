"""A shop on a real Kafka: pages over HTTP, impressions and clicks as records, and a ranker that takes over."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Producer

from anabranch.messages import ModelReport, decode
from support.checkout import example
from support.projects import Project, announced, ended, values_on
from support.scorers import Scorer, free_port
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

SHOP = """
[model]
steps = [{ use = "ranking.Popularity" }]
[shadows]
standing = [{ name = "near", steps = [{ use = "ranking.CoOccurrence" }] }]
[labels]
late = true
horizon = "2s"
default = 0
[arena]
false_swap_every = 200
[scores]
window = 300
[publish]
warm_up_events = 100
report_events = 500
[score]
explore = 0.1
"""


def shop_on(here: Project, *, port: int) -> Any:
    """The example's shop, on topics of this test."""
    script = example("recommender")
    script.API, script.PAGE = f"127.0.0.1:{port}", 10

    class Shop(script.Shop):  # type: ignore[misc, name-defined]  # a class of a script
        def tell(self, topic: str, message: dict[str, Any]) -> None:
            super().tell(f"{here.prefix}{topic}", message)

    return Shop(Producer({**here.kafka, "linger.ms": 5}))


def test_a_ranker_takes_over_from_popularity_and_answers(project: Callable[..., Project]) -> None:
    """By what shoppers click on the pages that it and popularity were asked for; reports hold both to each other."""
    here = project(sections=SHOP, task="rank")
    scorer = Scorer(free_port(), [])
    processes = [here.start("learn", here.config), here.start("score", here.config, "--port", scorer.port)]
    try:
        until(scorer.answers)
        shop = shop_on(here, port=scorer.port)
        until_s = time.monotonic() + 60
        while not any(each.kind == "swap" for each in announced(here)):
            assert time.monotonic() < until_s, shop.told()
            for _ in range(40):
                shop.visit()
                shop.producer.poll(0)
            assert not shop.producer.flush(10)
        swap = next(each for each in announced(here) if each.kind == "swap")
        assert "near wins after" in swap.reason
        asked = {"id": "r1", "user": "u5", "candidates": shop.items, "n": 10}
        until(lambda: scorer.ask("/api/rank", asked).body["version"] >= swap.version)
        answer = scorer.ask("/api/rank", asked).body
        assert len({each["item"] for each in answer["items"]} & set(shop.items)) == 10
        assert all(0.0 < each["propensity"] <= 1.0 for each in answer["items"])
        reports = [decode(ModelReport, value) for value in values_on(here.kafka, f"{here.prefix}model-reports")]
        assert {"hitrate", "popularity_hitrate"} <= set(reports[-1].scores)
        compared = [each.lists for report in reports for each in report.members if each.name == "near" and each.lists]
        assert compared[0].lists > 10
        assert -1 <= compared[0].low <= compared[0].high <= 1
    finally:
        for process in processes:
            process.terminate()
        codes = [ended(process) for process in processes]
    assert [code for code, _ in codes] == [0, 0], codes
