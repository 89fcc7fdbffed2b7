"""What a straight run must know beside the log: for each checkpoint the inputs let in by then, and whence it came."""

from collections.abc import Callable
from dataclasses import dataclass, field

from consumers.ports import Store
from evaluation.simulation.recruiting import Input
from evaluation.simulation.world.faulty_store import Entry


@dataclass
class Past:
    """How a learner came to its state.

    Args:
        rebuilt_from: the version after which a rebuild began; None without one.
    """

    inputs: list[Input] = field(default_factory=list)
    rebuilt_from: int | None = None

    def copy(self) -> "Past":
        """As it is now."""
        return Past(list(self.inputs), self.rebuilt_from)


class Journal:
    """A store that also knows the past of each checkpoint, which the checkpoint does not say.

    Args:
        known: shared by all processes, by checkpoint.
        past: of this process.
        rebuilding: the version at hand, where the process begins with a rebuild.
    """

    def __init__(
        self, store: Store, *, known: dict[str, Past], past: Past, rebuilding: Callable[[], int] | None = None
    ) -> None:
        self.store = store
        self.known = known
        self.past = past
        self.rebuilding = rebuilding

    def put(self, sha256: str, data: bytes) -> None:
        """With its past. A rebuild's first is put before it has learned anything."""
        if self.rebuilding is not None and self.past.rebuilt_from is None:
            self.past.rebuilt_from = self.rebuilding()
        self.known[sha256] = self.past.copy()
        self.store.put(sha256, data)

    def get(self, sha256: str) -> bytes:
        """Whoever reads a checkpoint goes on from its past."""
        data = self.store.get(sha256)
        past = self.known[sha256]
        self.past.inputs[:] = past.inputs
        self.past.rebuilt_from = past.rebuilt_from
        return data

    def manifest(self) -> list[Entry]:
        """As it is."""
        return list(self.store.manifest())

    def record(self, entry: Entry) -> None:
        """As it is."""
        self.store.record(entry)
