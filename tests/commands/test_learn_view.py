"""What a person sees of `anabranch learn`: reports, waiting, and what it came to."""

from typing import Any

import orjson
import pytest

from anabranch.messages import ModelReport
from commands import wiring
from commands.logs import without_empty
from commands.views.learn import QUIET_S, View
from consumers.loop import LearningLoop
from consumers.stores import MemoryStore
from evaluation.simulation.world import MemoryLog
from support.loops import loop_on, settings_of


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def loop() -> LearningLoop:
    """It has learned two events, passed one over and refused one."""
    log = MemoryLog()
    for name in ("e1", "e2", "e2"):
        event = {"id": name, "ts": 1.6e9, "features": {"a": 1.0}, "label": True}
        log.append("events", orjson.dumps(event), partition=0)
    log.append("events", b"{broken", partition=0)
    loop = loop_on(log, MemoryStore())
    loop.run(until_end=True)
    return loop


def report(event: int) -> ModelReport:
    some: dict[str, Any] = {"partition": 0, "offset": event, "event_ts": 0.0, "scores": {}, "members": ()}
    return ModelReport(id=f"m-{event}", model="m", version=3, event_number=event, windowed={"accuracy": 0.9}, **some)


def test_the_closing_line_counts_what_was_not_learned(loop: LearningLoop) -> None:
    """Else they are looked for in vain."""
    said = wiring.summary(loop.owner)
    assert said.startswith("2 events learned, 1 duplicates passed over, 1 refused; version 0; ")


def test_a_report_is_a_line_with_the_rate_since_the_last() -> None:
    """Events, rate, version, scores."""
    said: list[str] = []
    view = View(settings_of(), say=said.append, monotonic_s=(clock := Clock()))
    for clock.now_s, event in ((0.0, 1000), (2.0, 3000)):
        view.hear(report(event))
    assert said[0] == "1,000 events  version 3  accuracy 0.9000"
    assert said[1] == "3,000 events  1,000 a second  version 3  accuracy 0.9000"


def test_waiting_is_said_once_until_something_comes(loop: LearningLoop) -> None:
    """A terminal in which nothing happens looks dead."""
    said: list[str] = []
    view = View(settings_of(), say=said.append, monotonic_s=(clock := Clock()))
    for clock.now_s in (1.0, QUIET_S, QUIET_S + 1):
        view.look()
    view.loop = loop
    for clock.now_s in (10.0, 11.0, 10.0 + QUIET_S, 20.0):
        view.look()
    assert said == [
        "waiting for the partitions of events",
        "waiting for events on events; 2 learned so far; Ctrl-C ends it",
    ]


def test_log_lines_leave_out_what_is_empty() -> None:
    """`failure=` of a job that did not fail says nothing; zero does."""
    assert without_empty(None, "info", {"event": "recruited", "failure": "", "was": None, "n": 0}) == {
        "event": "recruited",
        "n": 0,
    }
