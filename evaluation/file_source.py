"""A file as a log of one partition: the offset is the record's place in the file."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from anabranch.errors import LogTruncated
from anabranch.events import Partition, Record
from consumers.guard.guard import own_time_s
from consumers.ports import Origin, Owners, Positions

TOPIC = "file"
PARTITION = Partition(TOPIC, 0)


class FileSource:
    """Serves records from a file, and the last `history_max` of them once more.

    Args:
        values: opens the file anew: each call gives the encoded events from the first.
        timestamp_of: what stands for the broker's timestamp, in epoch seconds, by the record's number; None: each
            event's own time.
    """

    def __init__(
        self,
        values: Callable[[], Iterator[bytes]],
        *,
        timestamp_of: Callable[[int], float] | None,
        history_max: int,
        limit: int | None = None,
    ) -> None:
        self.values = values
        self.timestamp_of = timestamp_of
        self.limit = limit
        self.history: deque[bytes] = deque(maxlen=history_max)
        """The values just before `offset`; their records are made anew, which takes half the memory."""
        self.rewind({PARTITION: 0})

    def start(self, owners: Owners) -> None:
        """A file belongs to whoever reads it."""
        self.rewind(owners.gained([PARTITION], None))

    def first_positions(self, start: str, partitions: Sequence[Partition]) -> Positions:
        """The file's beginning."""
        del start, partitions
        return {PARTITION: 0}

    def origin(self) -> Origin:
        """A file of its own."""
        return Origin(TOPIC)

    def rewind(self, positions: Positions) -> None:
        """Read on from there."""
        self.offset, self._ended = positions[PARTITION], False
        self._values = itertools.islice(self.values(), self.limit)
        self.history.clear()
        self.history.extend(itertools.islice(self._values, self.offset))

    def poll(self, max_records: int, *, timeout_s: float) -> Sequence[Record]:
        """The next records."""
        del timeout_s
        values = list(itertools.islice(self._values, max_records))
        records = [self._record(number, value) for number, value in enumerate(values, self.offset)]
        self.history.extend(values)
        self.offset += len(values)
        self._ended = len(values) < max_records
        return records

    def _record(self, number: int, value: bytes) -> Record:
        timestamp_s = own_time_s(value) if self.timestamp_of is None else self.timestamp_of(number)
        return Record(TOPIC, 0, number, timestamp_s, None, value)

    def commit(self, positions: Positions, metadata: str) -> None:
        """Nobody else needs to know."""

    def at_end(self) -> bool:
        """Whether the file is read."""
        return self._ended

    def close(self) -> None:
        """Nothing is open."""

    def read(self, runs: Sequence[tuple[int, int, int]]) -> Iterable[Record]:
        """The records of the runs once more.

        Raises:
            LogTruncated: they lie further back than `history_max`.
        """
        first = self.offset - len(self.history)
        for _, start, end in runs:
            for number in range(start, end):
                if not first <= number < self.offset:
                    raise LogTruncated(f"offset {number} lies more than {self.history.maxlen} records back")
                yield self._record(number, self.history[number - first])
