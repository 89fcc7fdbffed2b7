"""The campaign's rows, and the table of them."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from anabranch.messages import ModelUpdate
from anabranch.scope import Scope
from benchmarks.faults.oracle import Learned, announced_wrongly, learned, straight, unusable, updates
from benchmarks.faults.project import Project

ENDS_MAX = 3
"""So often a learner is asked to learn what is left; that once is not enough is a complaint."""


@dataclass
class Row:
    """One kind of fault: how often it was done, and what came of it."""

    fault: str
    times: int = 0
    recovered: int = 0
    lost: int = 0
    twice: int = 0
    seconds: float = 0.0
    complaints: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether the fault was done, and nothing came of it."""
        return 0 < self.times == self.recovered and not (self.lost or self.twice or self.complaints)

    def count(self, found: Learned) -> None:
        """Add what a checkpoint has lost or learned twice."""
        self.lost += found.lost
        self.twice += found.twice

    def insist(self, true: bool, otherwise: str) -> bool:
        """Complain unless it is true."""
        if not true:
            self.complaints.append(otherwise)
        return true


@contextmanager
def timed(row: Row) -> Iterator[Row]:
    """Add the seconds that it takes; whatever goes wrong is a complaint, and the campaign goes on."""
    began_s = time.monotonic()
    try:
        yield row
    except (AssertionError, OSError, ValueError, TimeoutError) as error:
        row.complaints.append(f"{type(error).__name__}: {error}")
    row.seconds += time.monotonic() - began_s
    done = "NOT CLEAN: " + "; ".join(row.complaints or ["see the counts"])
    if row.is_clean or not (row.complaints or row.lost or row.twice):
        done = "clean" if row.is_clean else "the rest is for the next learner to recover"
    print(f"  {row.fault}: {row.recovered} of {row.times} recovered, {row.seconds:.1f} s, {done}", flush=True)


def to_the_end(project: Project, row: Row, *, late_repeats: bool = False, hashed: bool = False) -> None:
    """Learn what is left, and judge the end: counts, announcements, and with `hashed` the state of a straight run."""
    for _ in range(ENDS_MAX):
        learner = project.learn(end=True)
        row.insist(learner.ended() == 0, f"the last learner ended with {learner.process.returncode}: {learner.said()}")
        left = project.stream.left(project.positions())
        if row.insist(not left, f"--until-end ended {left} records before the end"):
            break
    announced = updates(project)
    row.complaints += unusable(project, announced)
    for scope, partitions in project.scopes.items():
        mine = [each for each in announced if each.scope == scope]
        _judge(project, row, mine, scope=scope, partitions=partitions, late_repeats=late_repeats, hashed=hashed)


def _judge(
    project: Project,
    row: Row,
    announced: Sequence[ModelUpdate],
    *,
    scope: Scope,
    partitions: Sequence[int],
    late_repeats: bool,
    hashed: bool,
) -> None:
    """One model at its end."""
    shown, good = project.shown(scope), project.stream.count("good", partitions)
    row.count(learned(project, project.state(scope)))
    row.insist(shown["events"] == good, f"{scope}: {shown['events']} events are learned of {good}")
    row.complaints += announced_wrongly(announced, last=(shown["epoch"], shown["seq"]), late_repeats=late_repeats)
    if hashed:
        expected = straight(project, partition=partitions[0])["state_hash"]
        row.insist(shown["state_hash"] == expected, f"{scope}: the state is not that of a straight run")


def table(rows: Sequence[Row]) -> str:
    """The rows as a table in Markdown."""
    lines = [
        "| fault | times | recovered | lost | learned twice | seconds |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        numbers = f"{row.times} | {row.recovered} | {row.lost} | {row.twice} | {row.seconds:.1f}"
        lines.append(f"| {row.fault}{'' if row.is_clean else ' (NOT CLEAN)'} | {numbers} |")
    return "\n".join(lines)
