"""Followers of a backtest that have each announced model some events late, as services have it."""

from typing import Any

import orjson
import pytest
from river import metrics

from anabranch import statetree
from anabranch.errors import ConfigError
from anabranch.events import AcceptedEvent, Prediction
from anabranch.messages import ModelReport
from config.settings import Settings
from evaluation.backtest import Backtest
from evaluation.simulation.world import FrozenClock
from learners.parts import LaneParts
from support.loops import first_of, settings_of
from support.streams import rows

EVENTS = 3000


class Watcher:
    """Keeps the events, and what was announced last when each had been learned."""

    def __init__(self) -> None:
        self.events: list[AcceptedEvent] = []
        self.told: list[bytes] = []
        self.rolled_out = 0

    def __call__(self, event: AcceptedEvent, served: Prediction, answers: Any, lane: LaneParts) -> None:
        del served, answers
        self.events.append(event)
        # Whoever tells no key has nothing of what is rolled out to some.
        is_for_all = not lane.succession.rollout.under_way
        self.told.append(lane.published.data if is_for_all else self.told[-1])
        self.rolled_out += not is_for_all

    def accuracy(self, late: int) -> float:
        """Of models decoded here, each as many events late; from the first that anybody has."""
        accuracy = metrics.Accuracy()
        for event, data in zip(self.events[late + 1 :], self.told, strict=False):
            if data:
                accuracy.update(event.y, statetree.decode(data).predict_one(event.x))
        return float(accuracy.get())


def backtest(settings: Settings, **more: Any) -> Backtest:
    """A run over a stream with a drift."""
    encoded = [orjson.dumps(row) for row in rows(EVENTS)]
    run = Backtest(
        settings,
        first=first_of(settings),
        values=lambda: iter(encoded),
        timestamp_of=None,
        clock=FrozenClock(),
        **more,
    )
    run.run()
    return run


@pytest.mark.parametrize("late", [0, 1, 30, 400])
def test_they_answer_by_the_model_that_has_come_by_then(late: int) -> None:
    """Whoever decodes what was announced, and waits as long, comes to the same accuracy."""
    watcher = Watcher()
    result = backtest(settings_of(), observer=watcher, followers_late=late).result()
    assert len({*watcher.told}) > 3
    assert result["followers"]["late"] == late
    assert result["followers"]["scores"]["accuracy"] == watcher.accuracy(late)


@pytest.mark.parametrize("late", [0, 30])
@pytest.mark.parametrize("kind", ["manual", "canary", "blue-green"])
def test_what_is_rolled_out_to_some_answers_nobody_here(kind: str, late: int) -> None:
    """A file has no keys: its followers have the displaced champion until the new one answers for all."""
    watcher, reports = Watcher(), list[Any]()
    settings = settings_of(rollout={"kind": kind}, publish={"report_events": 100}, shadows={"portfolio": "cheap"})
    run = backtest(settings, observer=watcher, followers_late=late, listener=reports.append)
    assert watcher.rolled_out > 100
    assert run.result()["followers"]["scores"]["accuracy"] == watcher.accuracy(late)
    told = [each for each in reports if isinstance(each, ModelReport) and each.rollout and each.published]
    assert {each.published.lost for each in told} == {None}


def test_in_blocks_nobody_answers_before_the_first_announcement() -> None:
    """Not the event after which it comes, either."""
    watcher = Watcher()
    run = backtest(settings_of(publish={"blocks": 100}), observer=watcher)
    assert run.result()["followers"]["scores"]["accuracy"] == watcher.accuracy(0)


def test_how_late_they_are_changes_nothing_of_what_is_learned() -> None:
    """They only look on."""
    prompt, late = (backtest(settings_of(), followers_late=each) for each in (0, 50))
    assert prompt.result()["state_hash"] == late.result()["state_hash"]
    assert prompt.result()["followers"]["scores"] != late.result()["followers"]["scores"]


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"publish": {"blocks": 100}}, "publish.blocks"),
        ({"publish": {"refresh_level": 0}}, "refresh_level"),
        ({"labels": {"late": True}}, "labels that come late"),
    ],
)
def test_where_it_is_not_known_it_is_refused(more: dict[str, Any], named: str) -> None:
    """And said with what; followers that have all at once are told of as before."""
    with pytest.raises(ConfigError, match=named):
        backtest(settings_of(**more), followers_late=5)


def test_labels_by_a_second_record_are_refused_when_the_first_comes() -> None:
    """What a follower had when such an event was asked is not looked at."""
    settings, several = settings_of(), [*rows(300)]
    encoded = [orjson.dumps({name: value for name, value in row.items() if name != "label"}) for row in several]
    run = Backtest(
        settings,
        first=first_of(settings),
        values=lambda: iter([*encoded, *map(orjson.dumps, several)]),
        timestamp_of=None,
        clock=FrozenClock(),
        followers_late=5,
    )
    with pytest.raises(ConfigError, match="come later than their events"):
        run.run()
