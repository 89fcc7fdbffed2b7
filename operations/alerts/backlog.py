"""What was on the topics at the start, in the order of time: what is judged again has to be heard as it was told."""

from collections import deque

from anabranch.messages import DeadLetter, ModelAck
from operations.picture import LETTERS_MAX, Record, model_of


class Backlog:
    """Records of topics, which are read in no order across them.

    Of what there may be very much the newest is kept: refused records, and what each follower said last.
    """

    def __init__(self) -> None:
        self.others: list[Record] = []
        self.letters: dict[str, deque[Record]] = {}
        self.acks: dict[tuple[str, str, str], Record] = {}

    def add(self, record: Record) -> None:
        """One that was read."""
        said = record.message
        if isinstance(said, DeadLetter):
            self.letters.setdefault(model_of(said), deque(maxlen=LETTERS_MAX)).append(record)
        elif isinstance(said, ModelAck):
            place = (said.model, said.scope, said.follower)
            known = self.acks.get(place)
            if known is None or known.at_s <= record.at_s:
                self.acks[place] = record
        else:
            self.others.append(record)

    def in_order(self) -> list[Record]:
        """All of them, the oldest first."""
        letters = [each for several in self.letters.values() for each in several]
        return sorted([*self.others, *letters, *self.acks.values()], key=lambda each: each.at_s)
