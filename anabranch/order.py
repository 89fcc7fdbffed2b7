"""Reading the learned order: which of its messages count, and in which sequence.

A learner that restarts goes on from its last checkpoint, and says once more, perhaps in other portions, what came after
it; one that was taken over may still say something when its successor is long under way. So each message names the one
that it follows, and its id is a digest of what it says and follows: what is said twice has one id, and the chain that
ends in the newest message is the order in which the model has learned.
"""

import hashlib
from collections.abc import Iterable

from anabranch.messages import LearnedOrder, encode

OF_WHOM = {"checkpoint", "began"}
"""Keys that tell who says it, and not what: they do not go into the id."""


def identified(message: LearnedOrder) -> LearnedOrder:
    """The message with its id."""
    said = message.model_copy(update={"id": "", **dict.fromkeys(OF_WHOM, 0)})
    return message.model_copy(update={"id": hashlib.sha256(encode(said)).hexdigest()[:32]})


class OrderReader:
    """The messages of one model and scope as they come, and the chain among them that counts.

    Ends of several chains may be there at once. The newest is the one of the latest epoch; then of the learner whose
    last checkpoint is the latest, as only who owns the model can write one; then of who has begun last.

    >>> def said(follows, start, **of_whom):
    ...     runs = ({"topic": "events", "partition": 0, "start": start, "end": start + 5},)
    ...     known = {"epoch": 1, "checkpoint": 1, "began": 1.0, "model": "m", "event_number": start + 5, "version": 0}
    ...     return identified(LearnedOrder(id="", follows=follows, runs=runs, **{**known, **of_whom}))
    >>> first = said("", 0)
    >>> lost = said(first.id, 5)
    >>> again = said(first.id, 6, began=2.0)
    >>> late = said(lost.id, 10)
    >>> reader = OrderReader()
    >>> for message in (first, lost, again, late):
    ...     reader.add(message)
    >>> [each.runs[0].start for each in reader.chain()]
    [0, 6]
    """

    def __init__(self, messages: Iterable[LearnedOrder] = ()) -> None:
        self.messages: dict[str, LearnedOrder] = {}
        self.newest: LearnedOrder | None = None
        for message in messages:
            self.add(message)

    def add(self, message: LearnedOrder) -> None:
        """One more message."""
        self.messages[message.id] = message
        if self.newest is None or _rank(message) >= _rank(self.newest):
            self.newest = message

    def chain(self, *, after: str = "", until: str = "") -> list[LearnedOrder]:
        """The messages that count, oldest first.

        Args:
            after: begin with the message that follows this one. Where the first does not, those in between are not
                there (any more).
            until: end with this one, as an update or a checkpoint names it, and not with the newest.
        """
        chain: list[LearnedOrder] = []
        at = self.messages.get(until) if until else self.newest
        while at is not None and at.id != after:
            chain.append(at)
            at = self.messages.get(at.follows)
        return chain[::-1]


def _rank(message: LearnedOrder) -> tuple[int, int, float]:
    return message.epoch, message.checkpoint, message.began
