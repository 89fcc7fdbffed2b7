"""The story of one run of the demo: what was planted, what the learner and the follower said, in order."""

from dataclasses import dataclass, field
from typing import NamedTuple

import orjson

from anabranch.messages import DeadLetter, DriftSignal, Message, ModelReport, ModelUpdate
from commands.demo.stream import EXAMPLE, Change, Stream


class Point(NamedTuple):
    """A loss at an offset."""

    offset: int
    loss: float


class Happening(NamedTuple):
    """A line of the story, for people."""

    offset: int
    kind: str
    words: str


@dataclass
class Story:
    """Everything that is known so far."""

    stream: Stream
    sent: int = 0
    signals: list[DriftSignal] = field(default_factory=list)
    updates: list[ModelUpdate] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    report: ModelReport | None = None
    champion: list[Point] = field(default_factory=list)
    shadows: dict[str, list[Point]] = field(default_factory=dict)
    unadapted: list[Point] = field(default_factory=list)
    first_used: dict[int, float] = field(default_factory=dict)
    scored: int = 0
    port: int = 0
    """Where the follower answers over HTTP."""
    dashboard: str = ""
    """The address of its page, where there is one."""
    happenings: list[Happening] = field(default_factory=list)
    planted: int = 0

    @property
    def curl(self) -> str:
        """A command that asks the follower while it runs; empty until it can."""
        if not self.port or not self.followed:
            return ""
        row = orjson.dumps({"features": EXAMPLE}).decode()
        return f"curl localhost:{self.port}/api/predict -d '{row}'"

    @property
    def learned(self) -> int:
        """Accepted events, as last reported."""
        return self.report.event_number if self.report else 0

    @property
    def waiting(self) -> int:
        """Events whose label had not come, as last reported."""
        return self.report.labels.waiting if self.report and self.report.labels else 0

    @property
    def at(self) -> int:
        """The offset that the learner had last reported."""
        return self.report.offset if self.report else 0

    @property
    def version(self) -> int:
        """The version that is live, 0 before the first."""
        return max((update.version for update in self.updates), default=0)

    @property
    def followed(self) -> int:
        """The newest version that the follower has predicted with."""
        return max(self.first_used, default=0)

    def hear(self, message: Message) -> None:
        """Take in what the learner says."""
        if isinstance(message, ModelReport):
            self._reported(message)
        elif isinstance(message, DriftSignal):
            self.signals.append(message)
            self._note(message.offset, "signal", f"{message.detector} signals{_recruits(message)}")
        elif isinstance(message, ModelUpdate):
            self.updates.append(message)
            self._note(message.offset, message.kind, f"version {message.version} goes live: {message.reason}")
        elif isinstance(message, DeadLetter):
            self.dead_letters.append(message)
            self._note(message.offset, "dead letter", message.reason)

    def _reported(self, report: ModelReport) -> None:
        self.report = report
        # A report names the champion first, and then the shadows.
        self.champion.append(Point(report.offset, report.members[0].loss))
        for member in report.members[1:]:
            self.shadows.setdefault(member.name, []).append(Point(report.offset, member.loss))
        for note in report.notes:
            self._note(report.offset, "note", note)

    def hear_unadapted(self, message: Message) -> None:
        """Take in what the same model says that runs without adaptation."""
        if isinstance(message, ModelReport):
            self.unadapted.append(Point(message.offset, message.members[0].loss))

    def hear_follower(self, line: bytes) -> None:
        """Take in a line of the follower's."""
        said = orjson.loads(line)
        self.scored = said.get("scored", self.scored)
        self.port = said.get("port", self.port)
        if "version" in said:
            self.first_used[said["version"]] = said["first_prediction_ts"]

    def sent_to(self, offset: int) -> None:
        """Events were published up to `offset`; a planted change among them becomes part of the story."""
        self.sent = offset
        while self.planted < len(self.stream.changes) and self.stream.changes[self.planted].offset < offset:
            change = self.stream.changes[self.planted]
            self.planted += 1
            self._note(change.offset, "planted", f"change {self.planted}: {change.words}")

    def seconds_to_follower(self, update: ModelUpdate) -> float | None:
        """From the announcement to the follower's first prediction with it."""
        # A follower that is busy passes over a version after which another has come already.
        used_ts = [ts for version, ts in self.first_used.items() if version >= update.version]
        return min(used_ts) - update.announced_ts if used_ts else None

    def window(self, change: Change) -> range:
        """The offsets from a planted change to the next."""
        later = [each.offset for each in self.stream.changes if each.offset > change.offset]
        return range(change.offset, min(later, default=self.stream.records))

    def _note(self, offset: int, kind: str, words: str) -> None:
        self.happenings.append(Happening(offset, kind, words))


def _recruits(signal: DriftSignal) -> str:
    return ", recruits are trained" if signal.triggered else ""
