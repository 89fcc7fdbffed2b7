"""The checkpoint store: newest blobs that are torn, flipped or gone, and a disk that is full."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.faults.oracle import learned
from benchmarks.faults.project import Project, project
from benchmarks.faults.table import Row, timed, to_the_end
from consumers.stores import store_of

PACE = 4000.0
TMPFS_MB = 24


def _torn(blob: Path) -> None:
    os.truncate(blob, blob.stat().st_size // 2)


def _flipped(blob: Path) -> None:
    data = bytearray(blob.read_bytes())
    data[len(data) // 3] ^= 1
    blob.write_bytes(data)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "the newest blob is torn": _torn,
    "a bit of the newest blob is flipped": _flipped,
    "the newest blob is missing": Path.unlink,
}


def damages(
    folder: Path, *, seed: int, times: int, faults: Iterable[str] = tuple(DAMAGES), **given: Any
) -> Iterator[Row]:
    """The next learner goes on from the parent, and comes to the same state."""
    with project(folder, name="damages", seed=seed, **given) as here:
        rows = []
        for fault in faults:
            with timed(Row(fault)) as row:
                for number in range(times):
                    _damaged(here, row, DAMAGES[fault], at=("manifest:after", "outbox:after")[number % 2])
            rows.append(row)
        with timed(Row("… the state's hash is a straight run's", times=1)) as end:
            to_the_end(here, end, hashed=True, late_repeats=True)
            end.recovered = int(not end.complaints)
        yield from (*rows, end)


def damages_over_partitions(folder: Path, *, seed: int, times: int, **given: Any) -> Iterator[Row]:
    """After an announcement, over four partitions: the parent may come to another model than the one announced."""
    with project(folder, name="refork", seed=seed, partitions=4, **given) as here:
        with timed(Row("the newest blob is missing after its announcement, four partitions")) as row:
            for _ in range(times):
                _damaged(here, row, Path.unlink, at="outbox:after")
            to_the_end(here, row, late_repeats=True)
        yield row


def _damaged(here: Project, row: Row, damage: Callable[[Path], None], *, at: str) -> None:
    """Kill a learner right after a checkpoint, damage it, and let the next one begin."""
    here.feed(4000)
    learner = here.learn(pace=PACE, at=at, passing=4)
    code = learner.ended()
    row.insist(code == -signal.SIGKILL, f"a learner ended with {code} by itself: {learner.said()}")
    row.times += 1
    damage(here.blobs / str(store_of(here.settings).manifest()[-1]["sha"]))
    heir = here.learn(pace=PACE)
    heir.wait_for("commit", more_than=1)
    heir.kill()
    heir.ended()
    told = row.insist("taking its parent" in heir.log.read_text(), f"the parent was not taken: {heir.said()}")
    row.recovered += int(told)
    row.count(learned(here, here.state()))


def full_disk(folder: Path, *, seed: int, **given: Any) -> Iterator[Row]:
    """ENOSPC: the learner waits and names the cause, one that is started then does too; with room again they go on."""
    if os.geteuid():
        print("  a full disk: left out, since only root can mount a small tmpfs", flush=True)
        return
    with tmpfs(folder / "small") as small, project(folder, name="disk", seed=seed, store=small, **given) as here:
        with timed(Row("the checkpoint store's disk is full")) as row:
            here.feed(12_000)
            learner = here.learn(pace=PACE)
            learner.wait_for("commit", more_than=3)
            ballast = _fill(small)
            learner.wait_to_say("No space left")
            learner.kill()
            learner.ended()
            heir = here.learn(pace=PACE)
            heir.wait_to_say("waiting for the store")
            commits = len(heir.notes("commit"))
            row.count(learned(here, here.state()))
            ballast.unlink()
            row.times += 1
            heir.wait_for("commit", more_than=commits)
            row.recovered += 1
            heir.kill()
            heir.ended()
            to_the_end(here, row, hashed=True)
        yield row


@contextmanager
def tmpfs(folder: Path) -> Iterator[Path]:
    """A file system of a few megabytes."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={TMPFS_MB}m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def _fill(folder: Path) -> Path:
    """Write until there is no room."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return ballast
