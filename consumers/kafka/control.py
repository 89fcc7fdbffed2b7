"""`model-control` for all models of a process: it is read once, and each takes what comes from its own position on.

A consumer of Kafka's is four threads and eight open files: one for each of a thousand models would be more than a
process may have. Positions differ only for a moment, when models come from other processes; then it is read again from
the least.
"""

from collections import deque
from collections.abc import Sequence

from anabranch.events import Record
from consumers.ports import Control


class SharedControl:
    """A control that many share.

    Args:
        control: reads the topic, in the thread that calls all of them.
    """

    def __init__(self, control: Control) -> None:
        self.control = control
        self.readers: list[_Reader] = []
        self.at = self.end = 0
        """What comes next, and where the topic ended for all that is known."""
        self.rounds = 0
        """How often it was read: who has seen the last round has it read once more."""

    def reader(self) -> Control:
        """A control for one of them."""
        return _Reader(self)

    def join(self, reader: "_Reader", position: int | None) -> int:
        """One more wants to hear from `position` on, or from the end; the position where that is."""
        if not self.readers:
            self.at = self.end = self.control.start(None)
        begin = self.end if position is None else position
        if begin > self.end:  # more has come since; or the topic is another one, and that ends before
            begin = self.at = self.control.start(begin)
            self.end = max(begin, self.end)
        least = min([begin, *(each.following for each in self.readers)])
        if least != self.at:
            self.at = self.control.start(least)
        self.readers.append(reader)
        # Retention may have taken what lies before.
        return max(begin, self.at)

    def leave(self, reader: "_Reader") -> None:
        """It does not listen any more."""
        if reader in self.readers:
            self.readers.remove(reader)
            if not self.readers:
                self.control.close()

    def read(self) -> None:
        """Give what has come to those who wait for it."""
        self.rounds += 1
        for record in self.control.poll():
            self.at = record.offset + 1
            self.end = max(self.at, self.end)
            for each in self.readers:
                each.hear(record)


class _Reader:
    """What one model hears."""

    def __init__(self, shared: SharedControl) -> None:
        self.shared = shared
        self.following = 0
        """The first offset that it has not heard."""
        self._waiting: deque[Record] = deque()
        self._seen = 0

    def start(self, position: int | None) -> int:
        """Hear from `position` on, or from the topic's end; the position where that is."""
        self.close()
        self.following = self.shared.join(self, position)
        self._seen = self.shared.rounds
        return self.following

    def hear(self, record: Record) -> None:
        """One that has come; those before its position are for others."""
        if record.offset >= self.following:
            self.following = record.offset + 1
            self._waiting.append(record)

    def poll(self) -> Sequence[Record]:
        """What has come since; never waits."""
        if self._seen == self.shared.rounds:
            self.shared.read()
        self._seen = self.shared.rounds
        heard = tuple(self._waiting)
        self._waiting.clear()
        return heard

    def close(self) -> None:
        """Leave."""
        self._waiting.clear()
        self.shared.leave(self)
