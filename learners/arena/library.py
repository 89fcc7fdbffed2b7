"""The library: the last former champions as they were when they were displaced, for a concept that comes back.

They learn nothing while they lie there, and are kept as bytes: a checkpoint then copies them instead of walking them.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from anabranch import statetree
from anabranch.messages import TrainedOn
from learners.arena.members import Member


class Former(NamedTuple):
    """A former champion: its name and version, what it had learned, and its bytes."""

    name: str
    version: int
    trained_on: TrainedOn
    data: bytes


class Library:
    """At most `library_max` former champions; the one displaced longest ago gives way."""

    def __init__(self, *, library_max: int, trusted: tuple[str, ...] = ()) -> None:
        self.library_max = library_max
        self.trusted = trusted
        self.kept: list[Former] = []

    def __iter__(self) -> Iterator[Former]:
        return iter(self.kept)

    def keep(self, member: Member) -> list[str]:
        """Keep a champion that has just been displaced, as it is now; the names of those that gave way."""
        if not self.library_max or member.version is None:
            return []
        try:
            data = statetree.encode(member.model, trusted=self.trusted)
        except statetree.StateTreeError:
            return []  # what cannot be kept is not kept; the next checkpoint disqualifies it
        self.drop(member.version)
        self.kept.append(Former(member.name, member.version, member.trained_on, data))
        gone, self.kept = self.kept[: -self.library_max], self.kept[-self.library_max :]
        return [former.name for former in gone]

    def holds(self, name: str) -> bool:
        """Whether a former champion of that name is kept."""
        return any(former.name == name for former in self.kept)

    def drop(self, version: int) -> None:
        """It lives again."""
        self.kept = [former for former in self.kept if former.version != version]

    def copy(self, former: Former) -> Any:
        """A model that goes on from where the former champion was."""
        return statetree.decode(former.data, trusted=self.trusted)

    def state(self) -> list[tuple[Any, ...]]:
        """What a checkpoint keeps."""
        return [(each.name, each.version, each.trained_on.model_dump(mode="json"), each.data) for each in self.kept]

    def restore(self, state: Iterable[Any]) -> None:
        """Go on from a checkpoint."""
        self.kept = [
            Former(name, version, TrainedOn.model_validate(trained_on), data)
            for name, version, trained_on, data in state
        ]
