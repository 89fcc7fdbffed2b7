"""Kill -9: at random moments, and at every named fail point."""

import random
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.faults.oracle import learned, refused, updates
from benchmarks.faults.project import NO_SWAPS, SWAPS, Learner, Project, project
from benchmarks.faults.table import Row, timed, to_the_end

PACE = 5000.0
AHEAD = 8000
"""So many records wait for each life, at least: no learner runs dry before its fault."""

LIVES_S = (0.0, 0.8)
"""How long a learner lives that is killed at a random moment, once it owns the model."""

Points = Mapping[str, tuple[str, ...]]

POINTS: Points = {
    "kill -9 during restore": ("restore:before", "restore:read", "restore:after"),
    "kill -9 in the middle of a batch": ("record",),
    "kill -9 during artifact chunks": ("chunks:before", "chunks:between", "chunks:after"),
    "kill -9 before the blob is written": ("blob:before",),
    "kill -9 half way through the blob": ("blob:torn",),
    "kill -9 after the blob, before the commit": ("blob:after", "commit:before"),
    "kill -9 after the commit": ("commit:after", "manifest:after"),
    "kill -9 before the outbox": ("outbox:before",),
    "kill -9 in the outbox": ("outbox:sent",),
    "kill -9 after the outbox": ("outbox:after",),
}
PASSINGS = {"record": 1200, "restore": 1, "chunks": 4, "outbox": 4, "blob": 12, "commit": 12, "manifest": 12, "job": 1}
"""At which passing at most, by the first word of the point."""


class Lives:
    """The lives of one project's learners; a fault has recovered when the next learner owns the model again."""

    def __init__(
        self, project: Project, rng: random.Random, *, pace: float = PACE, lives_s: tuple[float, float] = LIVES_S
    ) -> None:
        self.project = project
        self.rng = rng
        self.pace = pace
        self.lives_s = lives_s
        self.died: list[Row] = []

    def at(self, row: Row, point: str) -> None:
        """One that kills itself at a point."""
        self._feed()
        most = PASSINGS[point.partition(":")[0]]
        learner = self.project.learn(pace=self.pace, at=point, passing=self.rng.randint(1, most))
        learner.wait_for("struck")
        self._died(row, learner)

    def random(self, row: Row) -> None:
        """One that is killed from outside: sometimes while it starts, mostly while it learns."""
        self._feed()
        learner = self.project.learn(pace=self.pace)
        if self.rng.random() < 0.8:
            learner.wait_for("owned")
            time.sleep(self.rng.uniform(*self.lives_s))
        else:
            time.sleep(self.rng.random() * 2.5)
        learner.kill()
        self._died(row, learner)

    def _feed(self) -> None:
        ahead = max(AHEAD, 3 * self.project.stream.flip_every)  # a drift is among them, where one is waited for
        if (left := len(self.project.stream) - sum(self.project.positions().values())) < ahead:
            self.project.feed(ahead * 2 - left)

    def _died(self, row: Row, learner: Learner) -> None:
        code = learner.ended()
        if learner.notes("owned"):
            self.recovered()
        if row.insist(code == -signal.SIGKILL, f"a learner ended with {code} by itself: {learner.said()}"):
            row.times += 1
            self.died.append(row)
        row.count(learned(self.project, self.project.state()))

    def recovered(self) -> None:
        """All that have died so far have."""
        for row in self.died:
            row.recovered += 1
        self.died = []


def kills(
    folder: Path, *, seed: int, times: int, randomly: int, events: int, points: Points = POINTS, **given: Any
) -> Iterator[Row]:
    """One model, one log, one life after the other; at the end its state is that of a straight run.

    Args:
        times: at each fail point.
        points: the fail points by the fault they stand for.
        randomly: at random moments.
        events: on the log, at least, in the end.
    """
    with project(folder, name="kills", seed=seed, **given) as here:
        lives = Lives(here, random.Random(seed))
        rows = {fault: Row(fault) for fault in points}
        moments = Row("kill -9 at random moments")
        for fault, row in rows.items():
            with timed(row):
                for number in range(times * len(points[fault])):
                    lives.at(row, points[fault][number % len(points[fault])])
        with timed(moments):
            for _ in range(randomly):
                lives.random(moments)
        if len(here.stream) < events:
            here.feed(events - len(here.stream))
        end = Row(f"… {len(here.stream):,} records in all: the state's hash is a straight run's", times=1)
        with timed(end):
            to_the_end(here, end, hashed=True)
            lives.recovered()
            end.recovered = int(not end.complaints)
        yield from (*rows.values(), moments, end, *_among_them(here))


def _among_them(here: Project) -> Iterator[Row]:
    """What else was on that log, through all those kills."""
    guard = here.shown()
    bad, poison = here.stream.places("bad"), here.stream.places("poison")
    for fault, wanted, got in (
        ("bad records among them", bad, refused(here) - refused(here, stage="learn")),
        ("poison events among them (the model raises half way)", poison, refused(here, stage="learn")),
    ):
        with timed(Row(fault, times=len(wanted), recovered=len(wanted & got))) as row:
            row.insist(got == wanted, f"dead letters of {len(got - wanted)} other records")
        yield row
    with timed(Row("duplicates among them", times=here.stream.count("duplicate"))) as row:
        row.recovered = guard["duplicates"]
    yield row


def kills_over_partitions(folder: Path, *, seed: int, randomly: int, events: int, **given: Any) -> Iterator[Row]:
    """Four partitions: in which order they are read hangs on the moment, so the counts of every event are compared."""
    with project(folder, name="parts", seed=seed, partitions=4, **given) as here:
        lives, row = Lives(here, random.Random(seed + 1)), Row("kill -9 at random moments, four partitions")
        with timed(row):
            here.feed(events)
            for _ in range(randomly):
                lives.random(row)
            to_the_end(here, row)
            lives.recovered()
        yield row


def kills_while_retraining(folder: Path, *, seed: int, times: int, swaps: bool, **given: Any) -> Iterator[Row]:
    """A stream that turns round again and again, and a learner killed around its retraining jobs."""
    what = "and swapping" if swaps else ""
    # Without swaps, a model that learns again each time, so that the next turn is a drift as well.
    how: dict[str, Any] = {"factory": "bayes", "sections": SWAPS} if swaps else {"sections": NO_SWAPS}
    name = "swaps" if swaps else "retrain"
    # Slowly, and for longer: a retraining process takes two seconds, and its recruit must have time to win.
    slowly: dict[str, Any] = {"pace": 1500.0, "lives_s": (3.0, 6.0)} if swaps else {}
    with project(folder, name=name, seed=seed, flip_every=6000, **how, **given) as here:
        lives, row = Lives(here, random.Random(seed + 2), **slowly), Row(f"kill -9 while retraining {what}".strip())
        with timed(row):
            for number in range(times):
                lives.at(row, ("job:before", "job:after", "job:in")[number % 3])
                lives.random(row)
            to_the_end(here, row)
            lives.recovered()
            if swaps:
                kinds = {each.kind for each in updates(here)}
                row.insist("swap" in kinds, f"no swap happened, only {', '.join(sorted(kinds))}")
        yield row
