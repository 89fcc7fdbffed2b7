"""The seams to the world, as small protocols: the log, the store, the outlet, retraining, the clock."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

Positions = dict[int, int]
"""The next offset to read, by partition of the events topic."""


class Record(NamedTuple):
    """One record of the log, as it came."""

    topic: str
    partition: int
    offset: int
    timestamp_s: float
    key: bytes | None
    value: bytes | None


class AcceptedEvent(NamedTuple):
    """An event that the guard let through; `x` has no missing values, `y` is None while unknown."""

    id: str
    x: dict[str, object]
    y: object
    ts: float
    partition: int
    offset: int


class Shift(NamedTuple):
    """What a detector found when it fired."""

    statistic: float
    threshold: float
    window_events: int
    """Events since the estimated change, the firing one included."""


class Findings(NamedTuple):
    """The detectors that fired on one event, and whether that is reason to retrain."""

    fired: tuple[tuple[str, Shift], ...]
    triggered: bool


class Watcher(Protocol):
    """Watches the champion's loss for drift; part of the lane's fold, so it is deterministic."""

    def update(self, loss: float, *, event: int) -> Findings | None:
        """Called once for each labelled event with its loss in [0, 1] and its number; None when nothing fired."""

    def start_over(self) -> None:
        """Forget the losses seen: they were those of a champion that has been displaced."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""


class Committed(NamedTuple):
    """What the log holds for the group: the positions, and the metadata that was committed with them."""

    positions: Positions
    metadata: str


class Owners(Protocol):
    """Whoever learns from a source's partitions: those of a global model together, others one by one."""

    def gained(self, partitions: Sequence[int], committed: Committed | None) -> Positions:
        """Restore what was committed for them (None at the very first start); answers where to read on."""

    def released(self, partitions: Sequence[int]) -> None:
        """Commit what was learned of them: another process is about to gain them."""

    def lost(self, partitions: Sequence[int]) -> None:
        """Drop what was learned of them since the last commit: another process may have gained them."""


class Source(Protocol):
    """Where events come from. One thread calls it."""

    def start(self, owners: Owners) -> None:
        """Ask for ownership of partitions; `owners` is told, from within `start` or `poll`, what is gained and lost."""

    def first_positions(self, start: str, partitions: Sequence[int]) -> Positions:
        """The positions of a start from nothing: `start` is "earliest" or "latest"."""

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

    def close(self) -> None:
        """Leave."""


class LogReader(Protocol):
    """Reads parts of the log again, beside the source."""

    def read(self, runs: Sequence[tuple[int, int, int]]) -> Iterable[Record]:
        """The records of the runs (partition, start, end), in the runs' order.

        Raises:
            LogTruncated: some of them are gone.
        """


class Sent(NamedTuple):
    """Where a published record landed."""

    partition: int
    offset: int


class Outlet(Protocol):
    """Where messages go."""

    def send(self, topic: str, *, key: str, value: bytes) -> None:
        """Publish at some time; `flush` makes sure."""

    def send_all(self, topic: str, *, key: str, values: Iterable[bytes]) -> list[Sent]:
        """Publish in order to one partition and wait; where each landed."""

    def flush(self) -> None:
        """Wait until everything sent is acknowledged; raises KafkaUnavailable when it is not."""


class Store(Protocol):
    """Where checkpoints lie: immutable blobs under their sha256, and a manifest (newest last)."""

    def put(self, sha256: str, data: bytes) -> None:
        """Durable when it returns."""

    def get(self, sha256: str) -> bytes:
        """The verified bytes; raises CheckpointError when missing or corrupt."""

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
