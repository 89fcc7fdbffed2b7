"""A file as a log of one partition: the offset is the record's place in the file."""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from anabranch.errors import LogTruncated
from anabranch.ports import Owners, Positions, Record

TOPIC = "file"


class FileSource:
    """Serves records from a file, and the last `history_max` of them once more.

    Args:
        values: opens the file anew: each call gives the encoded events from the first.
        timestamp_of: what stands for the broker's timestamp, in epoch seconds, by the record's number.
    """

    def __init__(
        self,
        values: Callable[[], Iterator[bytes]],
        *,
        timestamp_of: Callable[[int], float],
        history_max: int,
        limit: int | None = None,
    ) -> None:
        self.values = values
        self.timestamp_of = timestamp_of
        self.limit = limit
        self.history: deque[Record] = deque(maxlen=history_max)
        self._ended = False
        self._records = self._from(0)

    def _from(self, offset: int) -> Iterator[Record]:
        limited = itertools.islice(self.values(), offset, self.limit)
        return (
            Record(TOPIC, 0, number, self.timestamp_of(number), None, value)
            for number, value in enumerate(limited, offset)
        )

    def start(self, owners: Owners) -> None:
        """A file belongs to whoever reads it."""
        self.rewind(owners.gained([0], None))

    def first_positions(self, start: str, partitions: Sequence[int]) -> Positions:
        """The file's beginning."""
        del start, partitions
        return {0: 0}

    def rewind(self, positions: Positions) -> None:
        """Read on from there."""
        self._records = self._from(positions[0])
        self._ended = False

    def poll(self, max_records: int, *, timeout_s: float) -> Sequence[Record]:
        """The next records."""
        del timeout_s
        records = list(itertools.islice(self._records, max_records))
        self.history.extend(records)
        self._ended = len(records) < max_records
        return records

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
        by_offset = {record.offset: record for record in self.history}
        for _, start, end in runs:
            for offset in range(start, end):
                if offset not in by_offset:
                    raise LogTruncated(f"offset {offset} lies more than {self.history.maxlen} records back")
                yield by_offset[offset]
