"""Labels that come after their events: what waits for one, what a label that comes is, and how each event ends.

Every event that was asked without its label ends exactly once: *labelled*, by *default* (none came in time, and that
says something), *unavailable* (none came, and nothing is known), or *blocked* (the decision has made one impossible).
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

import msgpack

from anabranch.events import AcceptedEvent, AcceptedLabel
from anabranch.messages import LabelsReport
from anabranch.values import label_reader, unboxed
from config.settings import Settings
from learners.labels.coverage import Counts
from learners.labels.pending import Pending, Waiting
from learners.labels.recent_ids import BLOCKED, UNLABELLED, RecentIds, code_of

Ending = Literal["labelled", "default", "unavailable", "blocked"]
"""How an event that was asked ends."""

Verdict = Literal["wanted", "early", "duplicate", "again", "corrects", "ended"]
"""What a label is that comes: of an event that waits, of one that is not there yet, one that was there before; or of
no use, since another one stands, corrections are refused, or the event has ended without it."""

ENDS_MAX = 1000
"""So many events end without a label after one record, at most: those beyond, after the next ones."""


INFINITY = float("inf")


class Resolved(NamedTuple):
    """An event that ends, as it was asked, with the label that it ends by."""

    waiting: Waiting
    y: Any
    ending: Ending
    corrects: bool = False
    """It has ended before, and is only learned once more."""


class _Heard(NamedTuple):
    """Labels of an event that goes on waiting, for more of them or for corrections: what they come to, and how many."""

    y: Any
    labels: int
    revisions: tuple[int, ...]


REVISIONS_MAX = 1000


class LabelJoin:
    """Joins labels with the events that were asked before.

    Args:
        settings: of the model: `labels` and `pending_max`.

    Attributes:
        clock: the latest event time of all that was taken in, in epoch seconds.
        endings: how many events have ended in which way.
    """

    def __init__(self, settings: Settings) -> None:
        of = settings.labels
        self.pending = Pending(memory_max=of.memory_max)
        self.pending_max = settings.pending_max
        self.horizon = INFINITY if of.horizon is None else of.horizon
        self.default: Any = None
        if of.default is not None:
            self.default = label_reader(settings.task, settings.positive)(of.default)
        self.learns_default = of.learn_default
        self.several, self.learns_corrections = of.several, of.corrections == "learned"
        self.early_s, self.early_max = of.early, of.early_max
        self.heard: dict[str, _Heard] = {}
        """Of pending events."""
        self.early: dict[str, tuple[float, list[AcceptedLabel]]] = {}
        """Labels whose events are not there yet, and since when, by the clock; the oldest first."""
        self.ended = RecentIds(settings.guard.dedup_window)
        self.clock = float("-inf")
        self.counts = Counts()
        self.endings: Counter[str] = Counter()
        self.ended_since = 0
        """Events that have ended without a label since the last record."""

    def __len__(self) -> int:
        """How many events wait for a label that none has come of."""
        return len(self.pending) - (len(self.heard) if self.learns_corrections else 0)

    def saw(self, ts: float) -> None:
        """A record was taken in: event time has come as far."""
        self.ended_since = 0
        self.clock = max(self.clock, ts)

    # ── events ──────────────────────────────────────────────────────────────────────────────────────────────────

    def waits(self, event_id: str) -> bool:
        """Whether the event was asked and has had no label."""
        return event_id in self.pending and not (self.learns_corrections and event_id in self.heard)

    def ask(self, waiting: Waiting) -> Iterable[AcceptedLabel]:
        """An event begins to wait; the labels that came before it."""
        self.pending.put(waiting)
        _, labels = self.early.pop(waiting.event.id, (0.0, ()))
        return labels

    def brought_its_label(self, event: AcceptedEvent) -> None:
        """An event that never waits: a label that comes for it is a second one."""
        self.early.pop(event.id, None)
        self.ended.add(event.id, code_of(event.y))

    # ── labels ──────────────────────────────────────────────────────────────────────────────────────────────────

    def look(self, label: AcceptedLabel) -> Verdict:
        """What a label is; nothing changes."""
        if label.id in self.pending:
            heard = self.heard.get(label.id)
            if heard is None:
                return "wanted"
            if label.revision in heard.revisions:
                return "duplicate"
            # An older revision than one that was learned corrects nothing.
            return "wanted" if not self.learns_corrections or label.revision > heard.revisions[-1] else "duplicate"
        if label.id in self.ended:
            return self._look_back(label)
        _, there = self.early.get(label.id, (0.0, ()))
        return "duplicate" if any(each.revision == label.revision for each in there) else "early"

    def _look_back(self, label: AcceptedLabel) -> Verdict:
        code = self.ended.code(label.id)
        if code == (BLOCKED if label.blocked else code_of(label.y)):
            return "duplicate"
        if code in (UNLABELLED, BLOCKED):
            return "ended"
        return "corrects" if label.revision else "again"

    def take(self, label: AcceptedLabel) -> Resolved | None:
        """A label that is wanted: the event that ends by it, if it does; one that is early is kept."""
        if label.id not in self.pending:
            self._keep(label)
            return None
        if label.blocked:
            self.heard.pop(label.id, None)
            return self._end(self.pending.take(label.id), None, "blocked")
        if self.learns_corrections:
            return self._heard_once(label)
        if self.several == "first":
            return self._end(self.pending.take(label.id), label.y, "labelled")
        self._gather(label)
        return None

    def _keep(self, label: AcceptedLabel) -> None:
        self.early.setdefault(label.id, (self.clock, []))[1].append(label)

    def _heard_once(self, label: AcceptedLabel) -> Resolved:
        """The first label of an event, which then waits for corrections; or one of these."""
        before, waiting = self.heard.get(label.id), self.pending.look(label.id)
        revisions = () if before is None else before.revisions
        self.heard[label.id] = _Heard(label.y, 1, (*revisions, label.revision)[-REVISIONS_MAX:])
        if before is None:
            return self._end(waiting, label.y, "labelled")
        assert waiting is not None  # what was heard of is pending
        self.endings["corrected"] += 1
        self.ended.on_label(label.id, code_of(label.y))
        return Resolved(waiting, label.y, "labelled", corrects=True)

    def _gather(self, label: AcceptedLabel) -> None:
        """One of several labels, which are put together at the horizon."""
        before = self.heard.get(label.id)
        if before is None:
            self.heard[label.id] = _Heard(label.y, 1, (label.revision,))
            return
        y, labels, revisions = before
        if self.several == "last":
            y = label.y if label.revision > max(revisions) else y
        elif self.several == "max":
            y = max(y, label.y)
        else:
            y += label.y
        self.heard[label.id] = _Heard(y, labels + 1, (*revisions, label.revision)[-REVISIONS_MAX:])

    def _end(self, waiting: Waiting | None, y: Any, ending: Ending) -> Resolved:
        assert waiting is not None  # whoever calls has seen that it is there
        self.endings[ending] += 1
        self.ended.add(
            waiting.event.id, BLOCKED if ending == "blocked" else code_of(y if ending == "labelled" else None)
        )
        return Resolved(waiting, y, ending)

    # ── time ────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def is_due(self) -> bool:
        """Whether the event that waits longest has waited long enough, or there are too many."""
        pending = self.pending
        is_in_time = self.horizon == INFINITY or pending.oldest_ts + self.horizon > self.clock
        if is_in_time and len(pending) <= self.pending_max:
            return False
        return self.ended_since < ENDS_MAX

    def next_due(self) -> str:
        """The id of the event that ends next."""
        return self.pending.oldest()

    def end_oldest(self, *, learns: bool = True) -> Resolved | None:
        """The event that has waited longest ends; None if it had ended by its label before.

        Args:
            learns: otherwise it ends without a label, whatever there is.
        """
        self.ended_since += 1
        in_time = self.pending.oldest_ts + self.horizon <= self.clock
        waiting = self.pending.take_oldest()
        heard = self.heard.pop(waiting.event.id, None)
        if heard is not None and self.learns_corrections:
            return None
        if heard is not None and learns:
            y = heard.y / heard.labels if self.several == "mean" else heard.y
            return self._end(waiting, y, "labelled")
        if in_time and learns and self.default is not None:
            return self._end(waiting, self.default, "default")
        return self._end(waiting, None, "unavailable")

    def orphans(self) -> list[AcceptedLabel]:
        """The labels that have waited too long for their event, or are too many: they wait no longer."""
        given_up: list[AcceptedLabel] = []
        while self.early:
            event_id, (since, labels) = next(iter(self.early.items()))
            if len(self.early) <= self.early_max and since + self.early_s > self.clock:
                break
            del self.early[event_id]
            given_up += labels
        return given_up

    def report(self) -> LabelsReport:
        """What becomes of the events, for people."""
        return LabelsReport(
            waiting=len(self),
            oldest_s=max(0.0, self.clock - self.pending.oldest_ts) if len(self.pending) else None,
            early=sum(len(labels) for _, labels in self.early.values()),
            endings=dict(self.endings),
            coverage=self.counts.told(now_ts=self.clock),
        )

    # ── checkpoints ─────────────────────────────────────────────────────────────────────────────────────────────

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        early = [
            (event_id, since, [tuple(each) for each in labels]) for event_id, (since, labels) in self.early.items()
        ]
        return {
            "pending": self.pending.state(),
            "heard": msgpack.packb(list(self.heard.items()), default=unboxed),
            "early": msgpack.packb(early, default=unboxed),
            "ended": self.ended.state(),
            "clock": self.clock,
            "endings": dict(self.endings),
            "ended_since": self.ended_since,
            "counts": self.counts.state(),
        }

    def restore(self, state: Mapping[str, Any], blobs: Mapping[str, Any]) -> None:
        """Go on from a checkpoint; `blobs` as of `Pending.restore`."""
        self.pending.restore(state["pending"], blobs)
        self.heard = {
            event_id: _Heard(y, labels, tuple(revisions))
            for event_id, (y, labels, revisions) in msgpack.unpackb(state["heard"])
        }
        self.early = {
            event_id: (since, [AcceptedLabel(*each) for each in labels])
            for event_id, since, labels in msgpack.unpackb(state["early"])
        }
        self.ended.restore(state["ended"])
        self.clock, self.ended_since = state["clock"], state["ended_since"]
        self.endings = Counter(state["endings"])
        self.counts.restore(state["counts"])
