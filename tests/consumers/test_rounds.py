"""Rounds: shadows that play so many events at a time, here or in processes; the same comes of it everywhere."""

import signal
from typing import Any

import pytest

from anabranch.errors import ConfigError
from consumers import rounds
from consumers.rounds import Processes, ShadowProcessesEnd
from consumers.stores import MemoryStore
from consumers.timing import SystemClock
from evaluation.simulation.world import MemoryLog
from learners.lane import Lane
from support.lanes import Reads, digest, entrant, event, lane_of, twin_of
from support.loops import filled, loop_on, settings_of

EVENTS = 1500


def ran(processes: int, *, disturbed: Any = None) -> tuple[Lane, MemoryLog]:
    """A loop over a stream whose concept changes, with nine members in rounds of 50."""
    log = filled(EVENTS)
    settings = settings_of(shadows={"portfolio": "cheap", "rhythm": 50, "processes": processes})
    loop = loop_on(log, MemoryStore(), settings, clock=SystemClock())
    if disturbed is not None:
        loop.listener = lambda message: disturbed(loop, message)
    loop.run(until_end=True)
    return loop.owner.lane, log


def said(log: MemoryLog) -> list[bytes]:
    """What has become of models."""
    return [*log.values("model-lifecycle"), *log.values("model-updates")]


@pytest.fixture(scope="module")
def here() -> tuple[str, int]:
    """What comes of it in the learner's own process: the state's digest, and how many messages there were."""
    lane, log = ran(0)
    return digest(lane), len(said(log))


@pytest.mark.parametrize("processes", [1, 2])
def test_processes_learn_what_the_learner_would(processes: int, here: tuple[str, int]) -> None:
    """The same state to the last digit, and the same news."""
    lane, log = ran(processes)
    assert (digest(lane), len(said(log))) == here


def test_processes_that_are_killed_or_hang_change_nothing(here: tuple[str, int]) -> None:
    """Whoever comes next goes on with the models as they were, and plays again what they have played since."""
    ended: list[int] = []

    def end(loop: Any, message: Any) -> None:
        running = loop.owner.lane.arena.rounds.crew.running
        for process in running:
            if process is not None and process.process.pid not in ended and len(ended) < 3:
                process.socket.settimeout(0.2)
                process.process.send_signal(signal.SIGSTOP if len(ended) == 1 else signal.SIGKILL)
                ended.append(process.process.pid)

    lane, log = ran(2, disturbed=end)
    assert (digest(lane), len(said(log))) == here
    assert len(ended) == 3


def lane_in_rounds(**shadows: Any) -> Lane:
    """A lane in rounds of ten with one shadow, right from the event 20 on."""
    lane = lane_of(shadows={"rhythm": 10, **shadows}, arena={"false_swap_every": 20}, detectors={})
    lane.on_event(event(0))
    lane.shadows.enter(entrant(lane, "s", Reads("s"), since=1), reason="")
    return lane


def shown(lane: Lane, count: int, **x: Any) -> list[Any]:
    """So many events."""
    return [each for n in range(lane.events, lane.events + count) for each in lane.on_event(event(n, **x))]


def test_a_shadow_is_judged_a_round_after_it_has_answered() -> None:
    """Rounds end with the events 10, 20, 30: what was answered up to 10 counts at 20."""
    lane = lane_in_rounds()
    shown(lane, 18)
    assert lane.shadows.members[0].contest.events == 0
    shown(lane, 1)
    assert (lane.events, lane.shadows.members[0].contest.events) == (20, 9)
    assert lane.shadows.members[0].model.learned == 19


def test_a_better_shadow_wins_and_has_learned_all() -> None:
    """At the end of a round, with what it has learned up to there."""
    lane = lane_in_rounds()
    shown(lane, 200, c=False)
    assert lane.champion.name == "s"
    assert lane.champion.model.learned == lane.events - 1


def test_one_that_raises_leaves_where_the_round_counts() -> None:
    """It costs no event."""
    lane = lane_in_rounds()
    shown(lane, 5)
    shown(lane, 1, s="raise")
    shown(lane, 30)
    assert [each.name for each in lane.shadows.members if each.name == "s"] == []


def test_a_checkpoint_within_a_round_changes_nothing() -> None:
    """Turns and answers that do not count yet are kept."""
    lane, other = lane_in_rounds(), lane_in_rounds()
    shown(lane, 27), shown(other, 27)
    other = twin_of(other)
    shown(lane, 40), shown(other, 40)
    assert digest(lane) == digest(other)


def test_process_after_process_that_ends_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody starts them for ever."""
    monkeypatch.setattr(rounds, "STARTS_MAX", 1)
    lane = lane_in_rounds(processes=1)
    crew = lane.arena.rounds.crew = Processes(lane.settings, task=lane.task)  # type: ignore[union-attr]
    # The model's class is of this test: another process cannot know it.
    with pytest.raises(ShadowProcessesEnd, match=r"processes for shadows have ended .* leave out `shadows.processes`"):
        shown(lane, 40)
    crew.close()


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": {"late": True, "horizon": "1h"}},
        {"publish": {"blocks": True}},
        {"serve": "blend"},
        {"task": "multiclass"},
    ],
)
def test_what_needs_answers_at_once_is_refused(changes: dict[str, Any]) -> None:
    """By name."""
    with pytest.raises(ConfigError, match="rhythm"):
        settings_of(shadows={"portfolio": "cheap", "rhythm": 50}, **changes)


def test_processes_need_a_rhythm() -> None:
    """Each event alone would wait for another process."""
    with pytest.raises(ConfigError, match="set a rhythm"):
        settings_of(shadows={"portfolio": "cheap", "processes": 1})
