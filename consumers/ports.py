"""The seams to the world, as small protocols: source, sink, store, control, log reader, clock."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from anabranch.events import Headers, Partition, Record
from learners.labels.segments import Blob

Positions = dict[Partition, int]
"""The next offset to read, by topic and partition."""


def offsets_in(topic: str, positions: Positions) -> dict[int, int]:
    """The positions in one topic, by the partition's number."""
    return {partition.number: at for partition, at in positions.items() if partition.topic == topic}


class Committed(NamedTuple):
    """What the log holds for the group: the positions, and the metadata that was committed with them.

    No positions at all: the group has begun on other partitions, and these were added since.
    """

    positions: Positions
    metadata: str


class Origin(NamedTuple):
    """Which log it is that positions count in; what a broker does not tell is empty."""

    topic: str
    topic_id: str = ""
    cluster_id: str = ""
    partitions: int = 1


class Owners(Protocol):
    """Whoever learns from a source's partitions: those of a global model together, others one by one."""

    def assigned(self, partitions: Sequence[Partition], committed: Committed | None) -> Positions:
        """Restore what was committed for them (None at the very first start); answers where to read on."""

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Commit what was learned of them: another process is about to gain them."""

    def lost(self, partitions: Sequence[Partition]) -> None:
        """Drop what was learned of them since the last commit: another process may have gained them."""


class Source(Protocol):
    """Where events come from. One thread calls it."""

    def start(self, owners: Owners) -> None:
        """Ask for ownership of partitions; `owners` is told, from within `start` or `poll`, what is gained and lost."""

    def first_positions(self, start: str, partitions: Sequence[Partition]) -> Positions:
        """The positions of a start from nothing: `start` is "earliest" or "latest"."""

    def labels_of(self, partitions: Sequence[Partition]) -> list[Partition]:
        """The partitions of the labels that are read with these of the events; none, where labels are not late."""

    def origin(self, topic: str) -> Origin:
        """Which log the topic is now."""

    def rewind(self, positions: Positions) -> None:
        """Read on from `positions`."""

    def poll(self, max_records: int, *, timeout_s: float) -> Sequence[Record]:
        """The next records, in order within a partition; empty when none came in time.

        Raises:
            OwnershipLost: another process owns the partitions now.
            SessionExpired: this process was taken for dead, and nobody has taken over.
            LogTruncated: the log no longer holds the position.
        """

    def commit(self, positions: Positions, metadata: str) -> None:
        """Durably commit.

        Raises:
            OwnershipLost: another process owns the partitions now.
            SessionExpired: this process was taken for dead, and nobody has taken over.
        """

    def at_end(self) -> bool:
        """Whether everything that was there at the start has been read."""

    def unread(self, partitions: Iterable[Partition]) -> int | None:
        """Records of these that are still to be read, as far as is known without asking; None: nobody waits for it."""

    def close(self) -> None:
        """Leave."""


class RestingSource(Source, Protocol):
    """A source that may rest while somebody else reads its partitions for it (consumers/fanout.py)."""

    is_resting: bool
    """Until it is rewound, or gains or loses partitions."""
    begins_resting: bool
    """Whether it rests as soon as it has gained some."""

    def place(self) -> Positions:
        """What comes next after what was handed on, for every partition that is owned."""

    def rest(self) -> None:
        """Fetch nothing more; `poll` only hears of the group, and commits are as ever."""

    def passed(self, positions: Positions, told: Positions) -> None:
        """Somebody else has read up to there for it.

        Args:
            told: where the broker last said that a partition ends, as far as that is known.
        """


class Control(Protocol):
    """What people ask for, on a topic of its own, read outside any group. One thread calls it."""

    def start(self, position: int | None) -> int:
        """Read from `position` on, or from the topic's end; the position where that is."""

    def poll(self) -> Sequence[Record]:
        """What has come since; never waits."""

    def close(self) -> None:
        """Leave."""


class LogReader(Protocol):
    """Reads parts of the log again, beside the source."""

    def read(self, runs: Sequence[tuple[int, int, int]], *, topic: str = "") -> Iterable[Record]:
        """The records of the runs (partition, start, end), in the runs' order.

        Args:
            topic: where; empty: the topic of the events.

        Raises:
            LogTruncated: some of them are gone.
        """

    def read_examples(self, partition: int, start: int, end: int) -> Iterable[bytes]:
        """What was told on the topic of examples from about the example `start` on, at least to `end`, in its order.

        `consumers.examples.counted` finds those that count among them.

        Raises:
            LogTruncated: some of them are gone.
        """


class Sent(NamedTuple):
    """Where a published record landed."""

    partition: int
    offset: int


class Sink(Protocol):
    """Where messages go."""

    def send(
        self, topic: str, *, key: str, value: bytes | None, partition: int | None = None, headers: Headers = ()
    ) -> None:
        """Publish at some time, where the key or the caller says; `flush` makes sure. No value is a tombstone."""

    def send_all(self, topic: str, *, key: str, values: Iterable[bytes]) -> list[Sent]:
        """Publish in order to one partition and wait; where each landed."""

    def flush(self) -> None:
        """Wait until everything sent is acknowledged; raises KafkaUnavailable when it is not."""


class Store(Protocol):
    """Where checkpoints lie: immutable blobs under their sha256, and a manifest (newest last).

    All raise StoreUnavailable while it does not answer, or takes nothing.
    """

    def put(self, sha256: str, data: bytes) -> None:
        """Durable when it returns."""

    def get(self, sha256: str) -> bytes:
        """The verified bytes.

        Raises:
            CheckpointMissing, CheckpointCorrupt: they are lost; the parent may be there.
            StoreUnavailable: they may be there, and cannot be had now.
        """

    def open(self, sha256: str) -> Blob:
        """The bytes, to be read in parts. They are not verified.

        Raises:
            CheckpointMissing: they are lost; the parent may be there.
            StoreUnavailable: they may be there, and cannot be had now.
        """

    def manifest(self) -> list[Mapping[str, object]]:
        """The entries, newest last."""

    def record(self, entry: Mapping[str, object]) -> None:
        """Append to the manifest, and drop blobs that no kept entry names."""


class Clock(Protocol):
    """Time, for the edges only: the core reads none."""

    def time_s(self) -> float:
        """Wall time in epoch seconds."""

    def monotonic_s(self) -> float:
        """Seconds that never go back."""
