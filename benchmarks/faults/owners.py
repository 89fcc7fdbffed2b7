"""More than one owner: zombies that wake up late, newcomers that take over and leave, strangers in the group."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from anabranch.errors import OwnershipLost
from anabranch.kafka import sharer
from benchmarks.faults.oracle import learned
from benchmarks.faults.project import SESSION_S, Learner, Project, is_stopped, project, until, wake
from benchmarks.faults.table import Row, timed, to_the_end

PACE = 1500.0
AHEAD = 20_000

ZOMBIES = (("record", 900), ("blob:before", 3), ("commit:before", 5), ("chunks:after", 2))
"""Where they fall asleep, and at which passing: in the middle of a batch … with a model sent and not committed."""

LETTERS = (("outbox:before", 2), ("outbox:sent", 3), ("", 1))
"""Right after a commit; or at any moment, which may be such a one."""


def zombies(folder: Path, *, seed: int, asleep: tuple[tuple[str, int], ...] = ZOMBIES, **given: Any) -> Iterator[Row]:
    """Stopped past the session's end, while another has taken over: nothing of theirs may come after."""
    with project(folder, name="zombies", seed=seed, **given) as here:
        row = Row("a zombie wakes up after another has taken over")
        with timed(row):
            for at, passing in asleep:
                zombie = _asleep(here, at=at, passing=passing)
                said = len(zombie.notes("commit")), len(zombie.notes("announce"))
                _outlived(here, row, zombie)
                row.insist(
                    (len(zombie.notes("commit")), len(zombie.notes("announce"))) == said,
                    f"the zombie that slept at {at} committed or announced",
                )
            to_the_end(here, row, hashed=True)
        yield row


def zombies_with_a_letter(
    folder: Path, *, seed: int, asleep: tuple[tuple[str, int], ...] = LETTERS, **given: Any
) -> Iterator[Row]:
    """Stopped between the commit and its announcement, which its successor makes instead: it may only repeat it."""
    with project(folder, name="letters", seed=seed, **given) as here:
        row = Row("a zombie between commit and outbox: it only repeats")
        with timed(row):
            for at, passing in asleep:
                _outlived(here, row, _asleep(here, at=at, passing=passing))
            to_the_end(here, row, late_repeats=True, hashed=True)
        yield row


def _asleep(here: Project, *, at: str, passing: int) -> Learner:
    here.feed(AHEAD)
    zombie = here.learn(pace=PACE, at=at, passing=passing, how="stop")
    if not at:
        zombie.wait_for("commit")
        zombie.kill(signal.SIGSTOP)
    until(lambda: is_stopped(zombie.process.pid), f"{zombie.log}: it did not fall asleep")
    return zombie


def _outlived(here: Project, row: Row, zombie: Learner) -> None:
    """Another one takes over, the zombie wakes up, and has to leave."""
    row.times += 1
    slept_s = time.monotonic()
    heir = here.learn(pace=PACE)
    heir.wait_for("commit", more_than=2)
    time.sleep(max(0.0, SESSION_S + 0.5 - (time.monotonic() - slept_s)))
    wake(zombie.process.pid)
    code = zombie.ended()
    fenced = row.insist(code == OwnershipLost.exit_code, f"the zombie ended with {code}: {zombie.said()}")
    heir.wait_for("commit", more_than=len(heir.notes("commit")) + 2)  # a zombie must not take the heir along
    row.recovered += int(_left(row, heir) and fenced)
    row.count(learned(here, here.state()))


def _left(row: Row, learner: Learner) -> bool:
    """It is still there, and ends in order when asked to."""
    learner.kill(signal.SIGTERM)
    code = learner.ended()
    return row.insist(code == 0, f"a learner ended with {code}: {learner.said()}")


def newcomers(folder: Path, *, seed: int, times: int, **given: Any) -> Iterator[Row]:
    """A second owner joins, the first is fenced, while it learns or has nothing to do; the second leaves."""
    with project(folder, name="newcomers", seed=seed, **given) as here:
        row = Row("a second owner joins and leaves")
        with timed(row):
            for idle in (False, True) * times:
                row.times += 1
                here.feed(1000 if idle else 8000)
                first = here.learn(pace=PACE)
                wanted = len(here.stream) if idle else 1
                until(lambda first=first, wanted=wanted: first.progress() >= wanted, "the first did not learn")
                second = here.learn(pace=PACE)
                code = first.ended()
                fenced = row.insist(code == OwnershipLost.exit_code, f"the first ended with {code}: {first.said()}")
                second.wait_for("owned")
                row.recovered += int(_left(row, second) and fenced)
                row.count(learned(here, here.state()))
            to_the_end(here, row, hashed=True)
        yield row


def strangers(folder: Path, *, seed: int, times: int, **given: Any) -> Iterator[Row]:
    """Another program in the same group takes some of the partitions: half a model is none, so the learner leaves."""
    with project(folder, name="strangers", seed=seed, partitions=4, **given) as here:
        row = Row("a stranger in the group takes some partitions, and leaves")
        with timed(row):
            for _ in range(times):
                row.times += 1
                here.feed(6000)
                learner = here.learn(pace=PACE)
                learner.wait_for("commit", more_than=1)
                _stranger(here)
                code = learner.ended()
                row.recovered += row.insist(
                    code == OwnershipLost.exit_code, f"the learner ended with {code}: {learner.said()}"
                )
                row.count(learned(here, here.state()))
            to_the_end(here, row)
        yield row


def _stranger(here: Project) -> None:
    consumer = Consumer(sharer(here.settings.kafka, model=here.settings.name, assignment="range"))
    assigned: list[TopicPartition] = []
    consumer.subscribe([here.settings.topics.name("events")], on_assign=lambda _, several: assigned.extend(several))
    try:
        until(lambda: consumer.poll(0.1) is not None or assigned, "the stranger got no partition")
        time.sleep(1.0)
    finally:
        consumer.close()
