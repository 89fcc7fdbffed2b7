"""What followers tell of a version that is being rolled out, on `model-acks`; the checkpoint keeps the next offset."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from anabranch.events import Record
from anabranch.messages import ModelAck, ServedCounts, UnreadableMessage, decode
from anabranch.scope import Scope
from consumers.ports import Clock, Control
from learners.arena.rollout import COUNTED

HEARD_EVERY_S = 2.0
"""A checkpoint follows each time."""

POLLS_MAX = 20
FOLLOWERS_MAX = 1_000
"""Of more, those that were heard of first are forgotten."""


class Followers:
    """Hears what followers of one model have counted, and tells what came since; without a topic there is none.

    Followers count from when they have both versions in use, so that nothing is lost where an acknowledgement is, and
    whoever reads from the end learns all of it. Counts that have become smaller are of a follower that began anew.
    """

    def __init__(self, acks: Control | None, *, model: str, scope: Scope, clock: Clock) -> None:
        self.acks = acks
        self.model, self.scope, self.clock = model, scope, clock
        self.beside: int | None = None
        """Of the rollout that is listened to; None: nothing is."""
        self.position: int | None = None
        self.last: dict[str, ServedCounts] = {}
        """The counts of each follower that have been told."""
        self._due_s = 0.0

    def take(self, beside: int | None) -> ServedCounts | None:
        """What was counted of a rollout since the last time; None: nothing. A checkpoint must follow what is.

        Args:
            beside: the version that is displaced; None: nothing is being rolled out.
        """
        if self.acks is None or beside is None:
            self._leave()
            return None
        if beside != self.beside:
            self._leave()
            self.beside, self.position = beside, self.acks.start(None)
        if self.clock.monotonic_s() < self._due_s:
            return None
        self._due_s = self.clock.monotonic_s() + HEARD_EVERY_S
        told = self._told(self.acks)
        return told if told.answers or told.refusing else None

    def _told(self, acks: Control) -> ServedCounts:
        """Of all who have said something, what is new of it."""
        sums = dict.fromkeys(COUNTED, 0)
        for record in _come(acks):
            self.position = record.offset + 1
            with suppress(UnreadableMessage):
                self._hear(decode(ModelAck, record.value or b""), sums)
        present = self.last.values()
        serving, refusing = sum(each.serving for each in present), sum(each.refusing for each in present)
        return ServedCounts(beside=self.beside or 0, serving=serving, refusing=refusing, **sums)

    def _hear(self, ack: ModelAck, sums: dict[str, int]) -> None:
        served = ack.served
        if (ack.model, ack.scope) != (self.model, str(self.scope)) or served is None or served.beside != self.beside:
            return
        before = self.last.pop(ack.follower, ServedCounts(beside=served.beside))
        if any(getattr(served, name) < getattr(before, name) for name in COUNTED):
            before = ServedCounts(beside=served.beside)
        for name in COUNTED:
            sums[name] += getattr(served, name) - getattr(before, name)
        # Who has left serves nothing any more, and is not refused by; what it was asked has been told.
        self.last[ack.follower] = served.model_copy(update={"serving": 0, "refusing": 0}) if ack.left else served
        if len(self.last) > FOLLOWERS_MAX:
            self.last.pop(next(iter(self.last)))

    def _leave(self) -> None:
        if self.beside is not None and self.acks is not None:
            self.acks.close()
        self.beside, self.position, self.last = None, None, {}

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps; nothing, where nothing is listened to."""
        if self.beside is None:
            return {}
        last = {follower: each.model_dump() for follower, each in self.last.items()}
        return {"beside": self.beside, "position": self.position, "last": last}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._leave()
        self._due_s = 0.0
        if state and self.acks is not None:
            self.beside, self.position = state["beside"], self.acks.start(state["position"])
            self.last = {follower: ServedCounts.model_validate(each) for follower, each in state["last"].items()}

    def close(self) -> None:
        """Leave."""
        if self.acks is not None:
            self.acks.close()


def _come(acks: Control) -> Iterator[Record]:
    """What has come since, of more than one poll: a thousand followers tell five hundred times a second."""
    for _ in range(POLLS_MAX):
        records = acks.poll()
        yield from records
        if not records:
            return
