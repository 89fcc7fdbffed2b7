"""Publication on evidence: the champion as followers have it, and whether the live one is worth announcing again.

A follower serves a copy from when it was announced; the arena judges the champion that goes on learning. So the copy
that went out is asked beside the champion, and the difference of their losses goes into the arena's own e-detector:
what followers lose is measured all the time, and a publication comes when there is evidence that it helps. On a stream
that stands still nothing is gained by announcing, and nothing is announced; there the copy is asked on some of the
events only. Which ones depends on what was judged before alone, so the evidence stays valid.

Where publications are to be few and evenly spaced, members learn in blocks instead: between two of them every member is
what it was at the last one, so what is judged is what is served.

News goes out at once: a first announcement, a swap, a rollback, a rebuild. A refresh waits for the allowance of bytes.
"""

import hashlib
import math
from collections.abc import Mapping
from functools import partial
from typing import Any

from anabranch import statetree
from anabranch.events import AcceptedEvent, Prediction
from anabranch.messages import PublishedReport
from config.output import Publish
from config.settings import Settings
from learners.allowance import Allowance, passed_s
from learners.arena.evidence import Contest
from learners.arena.shadows import NEVER
from learners.models.fence import Predictor, answered
from learners.models.tasks import Task

LARGE_BYTES = 100_000
"""A model above this size is announced on evidence at least `LARGE_GAP` events after it was."""

LARGE_GAP = 50

BYTES_AN_EVENT = 10_000
"""And so many of its bytes are at most announced an event: encoding and decoding them is work, however slow event time
is."""

TIMES_TIES = 1.25
"""Losses such as Brier's differ on every event: at 1, a gain of 1e-7 would be announced; 2 is slow to follow."""

MARK = "@"
"""Before the version: no member's name begins so."""

UNJUDGED = "~"
"""After the version: an answer that somebody is to hear of, and that counts for nothing."""

EVERY_NTH, AT_FIRST = 4, 2000
"""The copy is asked on one event in so many, once it was judged so often, while nothing hints that it falls behind."""


SET_BACK_AFTER = 5
"""So many events in a row of before the last announcement: its clock was ahead, and time is counted from theirs on."""


class Published:
    """The copy that followers have, its contest against the live champion, and when the next publication is due.

    Attributes:
        version: of the copy; None before the first announcement.
        data: its bytes, as they went out; `sha256` is their digest.
        key: under which its prediction lies among the members'; of no member's name, and another for each version.
        lost: mean loss of the copy less that of the live champion, exponentially weighted over the scores' window.
        kept_since: number and time of the event from which on the allowance alone has kept back what was due.
    """

    def __init__(self, settings: Settings, *, task: Task, asks_always: bool = False) -> None:
        self.settings: Publish = settings.publish
        self.task = task
        self.version: int | None = None
        self.data, self.sha256 = b"", ""
        self.key = ""
        self.lost, self.judged = 0.0, 0
        self.contest = Contest()
        self.enough = False
        """Whether there is evidence enough; it may be too soon all the same."""
        self.at_event, self.at_ts = 0, 0.0
        """Of the event after which it was announced: its number, and its time."""
        self.earlier = 0
        """Events in a row whose time is before that."""
        self.gap_ends, self.latest, self.latest_ts = 0, NEVER, math.inf
        self.allowance = Allowance(settings.publish.bytes_per_s)
        self.kept_since: tuple[int, float] | None = None
        # A block that waits is kept, as events are that wait for their label, and within the same bound.
        self._wait_max = max(settings.publish.blocks, settings.pending_max) if settings.publish.blocks else NEVER
        self._trusted = settings.model.trusted
        self._window = settings.scores.window
        self._level = settings.publish.refresh_level
        # In blocks the champion is its own copy until it is announced again.
        self._is_compared = bool(self._level) and not settings.publish.blocks
        self.is_asked = False
        """Whether there is a copy that predicts beside the champion."""
        self.asks_always = asks_always
        """Whether somebody looks on who is to hear of its answer to every event with its label, judged or not."""
        self._stride = 1
        self._predict: Any = None

    def exchange(self, data: bytes, *, version: int, event: AcceptedEvent, event_number: int) -> None:
        """A version goes out: from now on followers have this."""
        self.allowance.spend(len(data), after_s=self._passed_s(event, event_number))
        self.kept_since = None
        self.version, self.data, self.sha256 = version, data, hashlib.sha256(data).hexdigest()
        self.at_event, self.at_ts = event_number, event.ts
        self.contest, self.enough = Contest(), False
        self._arm()

    def _arm(self) -> None:
        """What is asked on every event, worked out once."""
        settings = self.settings
        self.key = f"{MARK}{self.version}"
        self._pace(self.contest.evidence)
        self.gap_ends = self.at_event + self._gap()
        most = settings.blocks or settings.refresh_events
        self.latest = self.at_event + most if most else NEVER
        self._set_time(self.at_ts)
        if self._is_compared and self.data:
            # Decoded, as followers do it: the copy shares nothing with the model that goes on learning.
            self._predict = self.task.predictor(statetree.decode(self.data, trusted=self._trusted))
            self.is_asked = True

    def _set_time(self, ts: float) -> None:
        self.at_ts, self.earlier = ts, 0
        timed = self.settings.refresh_interval and not self.settings.blocks
        self.latest_ts = ts + self.settings.refresh_interval if timed else math.inf

    def _gap(self) -> int:
        if self.settings.refresh_gap is not None:
            return self.settings.refresh_gap
        size = len(self.data)
        return max(LARGE_GAP, size // BYTES_AN_EVENT) if size > LARGE_BYTES else 0

    # ── the copy beside the champion ────────────────────────────────────────────────────────────────────────────

    def ask(self, event: AcceptedEvent, answers: dict[str, Prediction], *, question: int) -> None:
        """Ask the copy, if it is its turn at the event with this number; its answer goes beside the members'."""
        if question % self._stride == 0:
            answers[self.key] = self.predict(event.x)
        elif self.asks_always and event.y is not None:  # what waits for its label is state, whoever looks on
            answers[self.key + UNJUDGED] = self.predict(event.x)

    def predict(self, x: dict[str, object]) -> Prediction:
        """What a follower answers now; a copy that raises answers nothing that could be used."""
        return answered(self._predict, x)

    def predictor(self) -> Predictor:
        """A function that asks this copy, also when another one has gone out."""
        return partial(answered, self._predict)

    def judge(self, loss: float, y: Any, copied: Prediction) -> None:
        """Compare the copy's answer with the champion's, both as they were asked, once the label is there."""
        difference = self.task.loss(y, copied) - loss
        self.judged += 1
        self.lost += (difference - self.lost) / min(self.judged, self._window)
        evidence = self.contest.update(difference)
        if evidence >= self._level:
            self.enough = evidence > TIMES_TIES * self.contest.events
        self._pace(evidence)

    def _pace(self, evidence: float) -> None:
        """Evidence above what as many ties would have added up to is a hint."""
        judged = self.contest.events
        self._stride = 1 if judged < AT_FIRST or evidence > judged else EVERY_NTH

    # ── when ────────────────────────────────────────────────────────────────────────────────────────────────────

    def see_time(self, ts: float) -> None:
        """An event's time; to be told once an event, where one is before the announcement's or the last one was."""
        self.earlier = self.earlier + 1 if ts < self.at_ts else 0
        if self.earlier >= SET_BACK_AFTER:
            self._set_time(ts)

    def is_due(self, event: AcceptedEvent, event_number: int) -> bool:
        """Whether the champion is to be announced as it has become. What the allowance keeps back is remembered."""
        if not (
            (self.enough and event_number >= self.gap_ends) or event_number >= self.latest or event.ts >= self.latest_ts
        ):
            return False
        if not self._wait_s(event, event_number):
            return True
        if self.kept_since is None:
            self.kept_since = event_number, event.ts
        return False

    def _wait_s(self, event: AcceptedEvent, event_number: int) -> float:
        if event_number - self.at_event >= self._wait_max:
            return 0.0
        return self.allowance.wait_s(after_s=self._passed_s(event, event_number))

    def _passed_s(self, event: AcceptedEvent, event_number: int) -> float:
        """Since the last announcement."""
        return passed_s(event.ts - self.at_ts, events=event_number - self.at_event)

    def why(self, event: AcceptedEvent, event_number: int) -> str:
        """The reason, for people."""
        reason = self._reason(event, event_number)
        if self.kept_since is None:
            return reason
        number, ts = self.kept_since
        kept = f"{max(0.0, event.ts - ts):.3g} s, {event_number - number} events"
        return f"{reason}; kept back {kept} by publish.bytes_per_s"

    def _reason(self, event: AcceptedEvent, event_number: int) -> str:
        settings = self.settings
        if self.enough and event_number >= self.gap_ends:
            gain, count = self.contest.gain, self.contest.interval.count
            return f"followers lost {100 * gain:.3g} points of loss in {count} events"
        if settings.blocks:
            return f"a block of {settings.blocks} events"
        if event_number >= self.latest:
            return f"{event_number - self.at_event} events more"
        return f"{event.ts - self.at_ts:g} s more"

    # ── for people and checkpoints ──────────────────────────────────────────────────────────────────────────────

    def report(self, event: AcceptedEvent, event_number: int, *, of_all: bool = True) -> PublishedReport | None:
        """How far behind followers are, at this event; None before the first announcement.

        Args:
            of_all: whether all followers' callers are answered by the copy; otherwise what they lose is not known.
        """
        if self.version is None:
            return None
        return PublishedReport(
            version=self.version,
            events=event_number - self.at_event,
            age_s=max(0.0, event.ts - self.at_ts),
            lost=self.lost if self.judged and of_all else None,
            evidence=min(self.contest.evidence / self._level, 1e9) if self._is_compared else 0.0,
            waits=self._waits(event, event_number),
        )

    def _waits(self, event: AcceptedEvent, event_number: int) -> str:
        """What keeps back an announcement that there is reason for."""
        wait_s = self._wait_s(event, event_number) if self.kept_since else 0.0
        if wait_s:
            return f"publish.bytes_per_s: {wait_s:.3g} s more"
        if self.enough and event_number < self.gap_ends:
            return f"publish.refresh_gap: {self.gap_ends - event_number} events more"
        return ""

    @property
    def blobs(self) -> dict[str, bytes]:
        """What a checkpoint refers to, by its digest."""
        return {self.sha256: self.data} if self.data else {}

    def state(self) -> dict[str, Any]:
        """What belongs to the learning state: what went out when, and the contest. It holds no time and no bytes."""
        return {
            "version": self.version,
            "at_event": self.at_event,
            "lost": (self.lost, self.judged),
            "contest": self.contest.state(),
            "enough": self.enough,
        }

    def reference(self) -> dict[str, Any]:
        """What a checkpoint keeps besides: the copy by its digest, its event's time, and what its bytes cost."""
        return {
            "sha256": self.sha256,
            "ts": self.at_ts,
            "earlier": self.earlier,
            "owed": self.allowance.owed,
            "kept_since": self.kept_since,
        }

    def restore(self, state: dict[str, Any], reference: dict[str, Any], blobs: Mapping[str, bytes]) -> None:
        """Go on from a checkpoint and what it refers to."""
        self.version, self.at_event = state["version"], state["at_event"]
        self.sha256, self.at_ts = reference["sha256"], reference["ts"]
        self.allowance.owed = reference["owed"]
        self.kept_since = reference["kept_since"]
        self.data = blobs[self.sha256] if self.sha256 else b""
        self.lost, self.judged = state["lost"]
        self.contest.restore(state["contest"])
        self.enough = state["enough"]
        self._pace(self.contest.evidence)
        if self.version is not None:
            self._arm()
        self.earlier = reference.get("earlier", 0)


def copied(answers: Mapping[str, Prediction]) -> Prediction | None:
    """What the copy answered that followers had when the event was asked; None if there was none."""
    return next((answer for name, answer in answers.items() if name[:1] == MARK), None)
