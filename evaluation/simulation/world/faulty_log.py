"""The log in memory on a bad day: batches of any size, commits that fail or half succeed, messages that are lost."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NoReturn

from anabranch.errors import KafkaUnavailable, OwnershipLost, SessionExpired
from anabranch.events import Headers, Record
from consumers.ports import Owners, Positions, Sent
from evaluation.simulation.world.memory_log import FrozenClock, MemoryLog, MemorySink, MemorySource
from evaluation.simulation.world.processes import Process

BATCH_MAX = 48
"""Small batches: what happens between two of them then happens often."""


class FaultySource(MemorySource):
    """The topic as one process of a schedule sees it.

    A process that was taken over goes on reading; only its commits are refused, and at times a poll tells it.

    Args:
        clock: is moved on by polls.
    """

    def __init__(
        self, log: MemoryLog, topic: str, *, process: Process, clock: FrozenClock, labels: str = "", examples: str = ""
    ) -> None:
        super().__init__(log, topic, labels=labels, examples=examples)
        self.process = process
        self.clock = clock
        self.rng = process.schedule.rng

    def start(self, owners: Owners) -> None:
        """Join, read what was committed, and restore: each of them may take a while."""
        self.process.act("join", lambda: None)
        super().start(owners)

    def _gain(self, partitions: Sequence[int]) -> None:
        committed = self.process.act("read commits", lambda: self.log.committed_of(partitions, self.topic))
        self.joined = True
        self.positions |= self.owners.assigned(self._named(partitions), committed)

    @property
    def is_displaced(self) -> bool:
        """Whether another process has taken over what this one believes to own, or it was taken for dead."""
        return not self.owns(self.positions) or (self.joined and self not in self.log.members)

    def rewind(self, positions: Positions) -> None:
        """Read on from there."""
        # By name, since a bare super() finds no instance within a lambda.
        self.process.act("rewind", lambda: super(FaultySource, self).rewind(positions))

    def poll(self, max_records: int, *, timeout_s: float) -> Sequence[Record]:
        """Some of the next records: any number, of the partitions in any order."""
        del timeout_s
        self.clock.advance(self.rng.choice((0.0, 0.0, 0.0, 0.0, 0.2, 5.0)))
        if self.log.shared:
            self._rebalance()
        return self.process.act("poll", lambda: self._some(max_records), {"the broker is silent": list})

    def _some(self, max_records: int) -> Sequence[Record]:
        if self.is_displaced and not self.log.shared and self.rng.random() < 0.2:
            raise OwnershipLost("the heartbeat was refused: another process has taken the topic over")
        left = self.rng.randint(1, min(BATCH_MAX, max_records))
        partitions = sorted(self.positions)
        self.rng.shuffle(partitions)
        taken: list[Record] = []
        for partition in partitions:
            taken += self._next(partition, self.positions[partition], left - len(taken))
        return taken

    def close(self) -> None:
        """Leave; whoever has crashed says nothing, and the group has to notice."""
        if not self.process.is_doomed:
            super().close()

    def commit(self, positions: Positions, metadata: str) -> None:
        """Commit; when it fails, nobody knows whether it took place."""
        self.process.endanger()
        self.process.act(
            "commit",
            partial(super().commit, positions, metadata),
            {
                "the broker refuses": _unknown,
                "the answer is lost": partial(self._commit_unheard, positions, metadata),
                "some partitions fail": partial(self._commit_some, positions, metadata, _unknown),
                "crash, some partitions committed": partial(self._commit_some, positions, metadata, self.process.crash),
            },
        )

    def _commit_unheard(self, positions: Positions, metadata: str) -> None:
        super().commit(positions, metadata)
        _unknown()

    def _commit_some(self, positions: Positions, metadata: str, end: Callable[[], NoReturn]) -> None:
        """Who reads several metadata takes the newest."""
        some = {partition: at for partition, at in positions.items() if self.rng.random() < 0.5}
        if some:
            super().commit(some, metadata)
        end()


def _unknown() -> NoReturn:
    raise SessionExpired("the commit failed: whether this process still owns the model is unknown")


class FaultySink(MemorySink):
    """Messages wait until they are flushed; a crash loses the last of them, and the broker may be away."""

    def __init__(self, log: MemoryLog, *, process: Process) -> None:
        super().__init__(log)
        self.process = process
        self.rng = process.schedule.rng
        self.waiting: list[dict[str, Any]] = []

    def send(
        self, topic: str, *, key: str, value: bytes | None, partition: int | None = None, headers: Headers = ()
    ) -> None:
        """Publish now, at the next flush, or at some time between."""
        self.waiting.append({"topic": topic, "key": key, "value": value, "partition": partition, "headers": headers})
        self.process.act(f"send to {topic}", lambda: self._deliver(self.rng.randint(0, len(self.waiting))))

    def _deliver(self, messages: int) -> None:
        for each in self.waiting[:messages]:
            super().send(**each)
        del self.waiting[:messages]

    def flush(self) -> None:
        """Everything that waits, or with a fault some of it."""
        everything = partial(self._deliver, len(self.waiting))
        self.process.act("flush", everything, {"the broker is away": self._flush_some})

    def _flush_some(self) -> NoReturn:
        self._deliver(self.rng.randint(0, len(self.waiting)))
        _away()

    def send_all(self, topic: str, *, key: str, values: Iterable[bytes]) -> list[Sent]:
        """All of them, or with a fault some."""
        send = partial(super().send_all, topic, key=key)
        chunks = list(values)

        def send_some() -> NoReturn:
            send(values=chunks[: self.rng.randint(0, len(chunks))])
            _away()

        send_everything = partial(send, values=chunks)
        self.process.promotes = True
        self.process.schedule.calm -= 1
        return self.process.act(f"send all to {topic}", send_everything, {"the broker is away": send_some})


def _away() -> NoReturn:
    raise KafkaUnavailable("messages were not delivered: the broker is away")
