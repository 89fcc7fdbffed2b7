"""Named fail points: the learning loop's ports, wrapped so that the process strikes itself at the n-th passing of one.

Production code knows nothing of it.
"""

import os
import signal
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from anabranch.events import Headers, Partition, Record
from consumers.jobs import JobRunner
from consumers.loop import LearningLoop
from consumers.ports import Committed, Owners, Positions, Sent, Sink, Source
from consumers.stores import CheckpointStore
from consumers.stores.files import FolderBlobs
from learners.retraining import Job, JobResult

NAMES = (
    "restore:before",
    "restore:read",
    "restore:after",
    "record",
    "chunks:before",
    "chunks:between",
    "chunks:after",
    "blob:before",
    "blob:torn",
    "blob:after",
    "commit:before",
    "commit:after",
    "manifest:after",
    "outbox:before",
    "outbox:sent",
    "outbox:after",
    "job:before",
    "job:after",
    "job:in",
)
"""In the order of an event's way; what is between two of them is one step of the loop."""


class Points:
    """Counts passings, strikes at the wanted one, and keeps a journal of what is irrevocable.

    Args:
        at: the point's name; "" never strikes.
        passing: at which passing of it, from 1.
        how: SIGKILL, or SIGSTOP for a process that shall wake up as a zombie.
        journal: a line each for "owned <partitions>", "commit <records>" and "announce <epoch> <seq>".
    """

    def __init__(self, at: str, *, passing: int, how: signal.Signals, journal: Path) -> None:
        self.at = at
        self.left = passing
        self.how = how
        self.journal = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def is_next(self, name: str) -> bool:
        """Whether passing `name` now would strike."""
        return name == self.at and self.left == 1

    def passed(self, name: str) -> None:
        """Count, and strike."""
        if name == self.at:
            self.left -= 1
            if not self.left:
                self.note(f"struck {name}")
                os.kill(os.getpid(), self.how)

    def note(self, line: str) -> None:
        """One write, so that a line is there whole or not at all."""
        os.write(self.journal, f"{line}\n".encode())


def arm(loop: LearningLoop, points: Points, *, pace: float) -> None:
    """Put the wrapped ports in place of the loop's own.

    Args:
        pace: records a second, at most; 0 is as fast as it goes.
    """
    ports, updates = loop.ports, loop.settings.topics.name("updates")
    stores, runners = ports.stores, ports.runners
    ports.source = FaultySource(ports.source, points, pace=pace)
    ports.sink = FaultySink(ports.sink, points, updates=updates)
    ports.stores = lambda scope: FaultyStore(stores(scope), points)
    ports.runners = lambda scope: FaultyRecruiter(runners(scope), points)


class FaultyBatch(list[Record]):
    """Records that can end half way through."""

    def __init__(self, records: Iterable[Record], points: Points) -> None:
        super().__init__(records)
        self.points = points

    def __iter__(self) -> Iterator[Record]:
        for record in super().__iter__():
            self.points.passed("record")
            yield record


class FaultyOwners:
    """Owners, with points around restoring."""

    def __init__(self, owners: Owners, points: Points) -> None:
        self.owners = owners
        self.points = points

    def assigned(self, partitions: Sequence[Partition], committed: Committed | None) -> Positions:
        """Strike before, or after."""
        self.points.passed("restore:before")
        positions = self.owners.assigned(partitions, committed)
        self.points.passed("restore:after")
        self._note("owned", partitions)
        return positions

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Note it."""
        self.owners.revoked(partitions)
        self._note("released", partitions)

    def lost(self, partitions: Sequence[Partition]) -> None:
        """Note it."""
        self.owners.lost(partitions)
        self._note("lost", partitions)

    def _note(self, word: str, partitions: Sequence[Partition]) -> None:
        self.points.note(f"{word} {','.join(str(each.number) for each in partitions)}")


class FaultySource:
    """A source, with points around restoring and committing."""

    def __init__(self, source: Source, points: Points, *, pace: float) -> None:
        self.source = source
        self.points = points
        self.pace = pace
        self.first_positions = source.first_positions
        self.origin = source.origin
        self.labels_of = source.labels_of
        self.rewind = source.rewind
        self.at_end = source.at_end
        self.unread = source.unread
        self.close = source.close

    def start(self, owners: Owners) -> None:
        """Strike before a state is restored, or when it is."""
        self.source.start(FaultyOwners(owners, self.points))

    def poll(self, max_records: int, *, timeout_s: float) -> Sequence[Record]:
        """At the pace, in small batches; a point at each record."""
        share = min(max_records, max(1, int(self.pace / 20))) if self.pace else max_records
        records = self.source.poll(share, timeout_s=timeout_s)
        if self.pace:
            time.sleep(len(records) / self.pace)
        return FaultyBatch(records, self.points)

    def commit(self, positions: Positions, metadata: str) -> None:
        """Strike before and after."""
        self.points.passed("commit:before")
        self.source.commit(positions, metadata)
        self.points.note(f"commit {sum(positions.values())}")
        self.points.passed("commit:after")


class FaultyStore:
    """A store, with points around each write; a torn write is a real one that stops half way."""

    def __init__(self, store: CheckpointStore, points: Points) -> None:
        self.store = store
        self.blobs = store.blobs
        self.points = points
        self.manifest = store.manifest
        self.open = store.open

    def put(self, sha256: str, data: bytes) -> None:
        """Strike before, in the middle and after."""
        self.points.passed("blob:before")
        if self.points.is_next("blob:torn") and isinstance(self.blobs, FolderBlobs):
            (self.blobs.folder / "blobs" / f".{sha256}.{os.getpid()}.tmp").write_bytes(data[: len(data) // 2])
        self.points.passed("blob:torn")
        self.store.put(sha256, data)
        self.points.passed("blob:after")

    def get(self, sha256: str) -> bytes:
        """Strike when it is read, before it is restored."""
        data = self.store.get(sha256)
        self.points.passed("restore:read")
        return data

    def record(self, entry: Mapping[str, object]) -> None:
        """Strike after. (Before it, is after the commit.)"""
        self.store.record(entry)
        self.points.passed("manifest:after")


class FaultySink:
    """An outlet, with points around announcements and between the chunks of an artifact."""

    def __init__(self, sink: Sink, points: Points, *, updates: str) -> None:
        self.sink = sink
        self.points = points
        self.updates = updates
        self.announcing = False

    def send(
        self, topic: str, *, key: str, value: bytes | None, partition: int | None = None, headers: Headers = ()
    ) -> None:
        """Strike around an update."""
        if topic != self.updates:
            return self.sink.send(topic, key=key, value=value, partition=partition, headers=headers)
        self.points.passed("outbox:before")
        self.points.note(f"announce {key}")
        self.sink.send(topic, key=key, value=value, headers=headers)
        self.announcing = True
        self.points.passed("outbox:sent")
        return None

    def send_all(self, topic: str, *, key: str, values: Iterable[bytes]) -> list[Sent]:
        """Strike before, after the first chunk is acknowledged, and after the last."""
        self.points.passed("chunks:before")
        sent = self.sink.send_all(topic, key=key, values=self._one_by_one(values))
        self.points.passed("chunks:after")
        return sent

    def _one_by_one(self, values: Iterable[bytes]) -> Iterator[bytes]:
        for number, value in enumerate(values):
            if number:
                self.points.passed("chunks:between")
            yield value

    def flush(self) -> None:
        """Strike when an update is acknowledged."""
        self.sink.flush()
        if self.announcing:
            self.announcing = False
            self.points.passed("outbox:after")


class FaultyRecruiter:
    """A runner of jobs, with points where a job begins and where its models come in."""

    due = float("inf")

    def __init__(self, runner: JobRunner, points: Points) -> None:
        self.runner = runner
        self.points = points
        self.reset = runner.reset
        self.keep = runner.keep
        self.close = runner.close

    def submit(self, job: Job) -> None:
        """Strike before and after."""
        self.points.passed("job:before")
        self.runner.submit(job)
        self.points.passed("job:after")

    def finished(self, event_number: int) -> list[JobResult]:
        """Strike when there is something."""
        done = self.runner.finished(event_number)
        if done:
            self.points.note(f"trained {len(done)}")
            self.points.passed("job:in")
        return done
