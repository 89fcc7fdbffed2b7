"""Rounds: shadows that play so many events at a time, here or in processes; the same comes of it everywhere."""

import importlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import pytest

from anabranch import statetree
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


MODELS = """
import os
from pathlib import Path
from support.lanes import Reads

def mark(what):
    with Path(__file__).with_name(what).open("a") as file:
        file.write(f"{os.getpid()} ")

class Ends(Reads):
    '''It ends its process, as one that takes all memory would; at the fifth time no more.'''
    def learn_one(self, x, y):
        super().learn_one(x, y)
        ends = Path(__file__).with_name("ends")
        if self.learned > 5 and (not ends.exists() or len(ends.read_text().split()) < 5):
            mark("ends")
            os._exit(1)

class Unkept(Reads):
    '''It comes to hold something that cannot be kept.'''
    def learn_one(self, x, y):
        super().learn_one(x, y)
        if self.learned == 15:
            self.what = lambda: 1

class Stuck(Reads):
    '''It never has learned.'''
    def learn_one(self, x, y):
        while True:
            pass

class Leaves(Reads):
    '''It tells when nobody has it any more.'''
    def __del__(self):
        mark("forgotten")
"""


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A module of models in a folder that is none of the project's, as one beside a configuration is."""
    (tmp_path / "rounds_models.py").write_text(MODELS)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("rounds_models")
    del sys.modules["rounds_models"]


def lane_beside(model: Any = None, *, processes: int = 1, rhythm: int = 10) -> tuple[Lane, Any]:
    """A lane with a good shadow g and perhaps one of another model, and who plays its rounds; close that."""
    classes = ["support.lanes:Reads", *(f"rounds_models:{name}" for name in ("Ends", "Unkept", "Stuck", "Leaves"))]
    lane = lane_of(
        shadows={"rhythm": rhythm, "processes": processes},
        arena={"false_swap_every": 10**6},
        detectors={},
        model={"trusted": classes},
    )
    rounds_of = lane.arena.rounds
    assert rounds_of is not None
    if processes:
        rounds_of.crew = Processes(lane.settings, task=lane.task)
    lane.on_event(event(0))
    lane.shadows.enter(entrant(lane, "g", Reads("s"), since=1), reason="")
    if model is not None:
        lane.shadows.enter(entrant(lane, "s", model, since=1), reason="")
    return lane, closing(rounds_of.crew) if processes else nullcontext()  # type: ignore[type-var]


def kept(lane: Lane) -> Any:
    """A checkpoint's bytes."""
    return statetree.encode(lane.state(), trusted=lane.settings.model.trusted)


def test_process_after_process_that_ends_is_told(beside: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody starts them for ever, however well the others of a process answer."""
    monkeypatch.setattr(rounds, "STARTS_MAX", 2)
    lane, crew = lane_beside(beside.Ends("s"))
    with crew, pytest.raises(ShadowProcessesEnd, match=r"for shadows have ended .* leave out `shadows.processes`"):
        shown(lane, 60)


@pytest.mark.parametrize("stride", [0, 64])
def test_who_sits_a_round_out_is_not_lost(stride: int) -> None:
    """A checkpoint has its model, as it was when it played last."""
    digests = []
    for processes in (0, 1):
        lane, crew = lane_beside(Reads("s"), processes=processes)
        with crew:
            shown(lane, 25)
            lane.measured(stride={"g": stride}, too_slow={})
            shown(lane, 25)
            kept(lane)
            shown(lane, 25)
            digests.append(digest(lane))
    assert digests[0] == digests[1]


def test_one_whose_state_cannot_be_kept_leaves_alike_everywhere(beside: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the checkpoint, for the same reason, also where it would have been brought home before."""
    monkeypatch.setattr(rounds, "KEPT_MAX", 20)
    found = []
    for processes in (0, 1):
        lane, crew = lane_beside(beside.Unkept("s"), processes=processes)
        with crew:
            shown(lane, 60)
            with pytest.raises(statetree.StateTreeError):
                kept(lane)
            assert lane.drop_unkeepable() == ("s",)
            kept(lane)
            found.append(([each.reason for each in shown(lane, 30) if hasattr(each, "reason")], digest(lane)))
    assert found[0] == found[1]
    assert "UntrustedClass" in found[0][0][-1]


def test_a_process_ends_with_its_learner_whatever_its_models_do(beside: Any) -> None:
    """A learner that is killed closes nothing: its end of the socket is gone."""
    lane, crew = lane_beside(beside.Stuck("s"))
    with crew:
        shown(lane, 12)
        (process,) = crew.thing.running
        with pytest.raises(subprocess.TimeoutExpired):
            process.process.wait(timeout=1.5)
        process.socket.close()
        assert process.process.wait(timeout=20.0) == 0


@pytest.mark.parametrize("after_a_checkpoint", [False, True])
def test_a_process_forgets_who_has_left(after_a_checkpoint: bool, beside: Any, tmp_path: Path) -> None:
    """Recruits come and go for as long as a learner runs."""
    lane, crew = lane_beside(beside.Leaves("s"))
    with crew:
        shown(lane, 25)
        if after_a_checkpoint:
            kept(lane)
        lane.shadows.leave(lane.shadows.members[1], reason="")
        shown(lane, 30)
        lane.arena.rounds.finished()  # type: ignore[union-attr]
        pid = crew.thing.running[0].process.pid
        assert str(pid) in (tmp_path / "forgotten").read_text().split()


def test_what_is_played_again_comes_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is answered: who takes long for all of it does not hang."""
    monkeypatch.setattr(rounds, "PIECE", 7)
    sent: list[Any] = []
    write = rounds._write
    monkeypatch.setattr(rounds, "_write", lambda to, message: (sent.append(message), write(to, message)))
    straight, _ = lane_beside(processes=0)
    shown(straight, 75)
    lane, crew = lane_beside()
    with crew:
        shown(lane, 45)
        lane.arena.rounds.finished()  # type: ignore[union-attr]
        crew.thing.running[0].process.kill()
        sent.clear()
        shown(lane, 30)
        assert digest(lane) == digest(straight)
    again = [len(message[3]) for message in sent if message[0] == "play" and not message[2]]
    assert (max(again), sum(again)) == (7, 39)


def test_one_that_has_raised_stays_as_it_was_when_it_is_played_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint may come between its fault and the end of the round in which that counts."""
    monkeypatch.setattr(rounds, "PIECE", 3)
    states = []
    for processes in (0, 1):
        lane, crew = lane_beside(processes=processes)
        with crew:
            shown(lane, 12)
            shown(lane, 1, **{"s learns": "raise"})
            shown(lane, 9)
            lane.arena.rounds.finished()  # type: ignore[union-attr]
            if processes:
                crew.thing.running[0].process.kill()
            states.append((lane.shadows.members[0].model.learned, digest(lane)))
    assert states[0] == states[1]
    assert states[0][0] == 12


def test_without_a_rhythm_what_waits_counts_at_the_start() -> None:
    """A lane that had rounds of ten goes on with each event at once: nothing that was seen is lost."""
    lane = lane_in_rounds()
    shown(lane, 27)
    at_once = twin_of(lane, settings_at_once())
    assert at_once.arena.rounds is None
    (member,) = at_once.shadows.members
    assert (member.contest.events, member.model.learned) == (27, 27)
    shown(at_once, 10)
    assert (member.contest.events, member.model.learned) == (37, 37)


def settings_at_once() -> Any:
    """Those of `lane_in_rounds` without rounds."""
    return lane_of(arena={"false_swap_every": 20}, detectors={}).settings


def test_a_fresh_model_is_not_alarmed_by_what_the_old_one_answered() -> None:
    """Where a place restarts within a round, the answers to the rest of it were another model's."""
    lane = lane_of(
        shadows={
            "rhythm": 200,
            "standing": [{"name": "again", "steps": [{"use": "dummy.NoChangeClassifier"}], "reset_on_alarm": True}],
        },
        model={"factory": None, "steps": [{"use": "dummy.PriorClassifier"}]},
        arena={"false_swap_every": 10**6},
        detectors={},
    )
    n = 0
    while not (told := restarts(lane, n, right=n < 600)):
        n += 1
        assert n < 2000
    alarm = lane.standing.alarms["again"]
    assert (len(told), alarm.errors) == (1, 0)


def restarts(lane: Lane, n: int, *, right: bool) -> list[Any]:
    """Show an event whose label is what it was before, or not; what was told of restarts."""
    y = True if right else n % 2 == 0
    return [each for each in lane.on_event(event(n, y)) if "its own error" in getattr(each, "reason", "")]


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": {"late": True, "horizon": "1h"}},
        {"publish": {"blocks": True}},
        {"serve": "blend"},
        {"task": "multiclass"},
        {"constraints": {"max_predict_us": 50.0}},
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
