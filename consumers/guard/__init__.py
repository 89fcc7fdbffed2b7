"""The guard: decides which records reach the lane. One NaN would silently destroy a River model.

What it refuses becomes a dead letter; a duplicate is only counted. Neither changes the learning state.
"""

import base64
from typing import Any, NamedTuple

from anabranch.events import AcceptedEvent, AcceptedLabel, Record
from anabranch.messages import DeadLetter
from anabranch.privacy import Redacted
from anabranch.rolling import KEY
from anabranch.values import KINDS, NUMBER_MAX
from config.settings import Settings
from consumers.guard.event_times import own_time_s as own_time_s  # named from here, too
from consumers.guard.labels import Labels, Refused, named, too_large
from consumers.guard.reading import SHAPES_MAX, Content, Reading, Shape
from learners.labels import Verdict
from learners.labels.recent_ids import TRUTHS, UNKNOWN, UNLABELLED, RecentIds, code_of

_LABEL_KEYS = frozenset(("id", "ts", "label", "revision", "blocked"))

REASON_MAX = 500
"""Characters of a dead letter's reason: it may quote the record, whose strings can be as long as the record."""


class Repeated(NamedTuple):
    """An event that was seen before without a label, and now brings it: as the task reads it, and as it came."""

    event: AcceptedEvent
    label: Any


class Told(NamedTuple):
    """What came on the topic of labels: as the task reads it, and the label as it came."""

    label: AcceptedLabel
    raw: Any


Checked = AcceptedEvent | Repeated | DeadLetter | None
"""What the guard makes of a record; None is a duplicate that brings nothing new."""


class Guard:
    """Schema, finite numbers, bounds, types as first seen, plausible time, and duplicates.

    `check` is the only way in. Its memory (feature types, labels, ids) grows within the settings' bounds, and only
    by accepted events.

    Args:
        reading: what decodes the records, where several models share one; None: this guard alone.
    """

    def __init__(self, settings: Settings, *, reading: Reading | None = None) -> None:
        self.model = settings.name
        self.limits = settings.guard
        self.reading = reading or Reading(settings)
        named = {"user": settings.model.user, "item": settings.model.item}
        # What somebody unknown has taken teaches what is popular.
        self._needed = {"reco": named, "rank": {"item": named["item"]}}.get(settings.task, {})
        self.labels = Labels(settings)
        computed = settings.computed
        self.edge = settings.edge
        self._computed = frozenset((*computed.names, KEY) if computed.any else ())
        self.kinds: dict[str, str] = {}
        self._known_shapes: set[Shape] = set()
        self.ids = RecentIds(settings.guard.dedup_window)
        self.accepted = self.refused = self.duplicates = self.repeated = 0

    @property
    def taken(self) -> int:
        """Records that were looked at."""
        return self.accepted + self.refused + self.duplicates + self.repeated

    def check(self, record: Record) -> Checked:
        """The event, or that its label came later, or the dead letter that says what is wrong, or None: a duplicate.

        Whoever is given a `Repeated` says what came of it: `label_taken`, or `label_lost`.
        """
        try:
            event, new_kinds, label = self._read(record)
            y = event.y
            if not self.ids.add(event.id, TRUTHS[y] if y is True or y is False else code_of(y)):
                return self._seen(event, label)
        except Refused as refused:
            self.refused += 1
            return self.dead_letter(record, stage=refused.stage, reason=refused.reason)
        if new_kinds:  # only now: neither a refused event nor a duplicate leaves a trace
            self.kinds.update(new_kinds)
        if label is not None and label not in self.labels.known:
            self.labels.remember(label)
        self.accepted += 1
        return event

    def _seen(self, event: AcceptedEvent, label: Any) -> Repeated | None:
        """An id that was there before: what brings something new is more than a duplicate."""
        code = self.ids.code(event.id)
        if event.y is None or code in (UNKNOWN, code_of(event.y)):
            self.duplicates += 1
            return None
        if code == UNLABELLED:
            return Repeated(event, label)
        raise Refused(
            "label",
            f"event {event.id[:100]!r} had another label before, which was learned and stands: this one is "
            f"{str(event.y)[:100]!r}",
        )

    def label_taken(self, repeated: Repeated) -> None:
        """The label that came later found its event, and was learned."""
        self.repeated += 1
        self.ids.on_label(repeated.event.id, code_of(repeated.event.y))
        self.labels.remember(repeated.label)

    # ── the topic of labels ─────────────────────────────────────────────────────────────────────────────────────

    def check_label(self, record: Record) -> Told | DeadLetter:
        """What a record on the topic of labels says, or what is wrong with it.

        Whoever is given a `Told` says what came of it: `told_taken`, `told_again`, or `told_lost`.
        """
        try:
            return self._read_label(record)
        except Refused as refused:
            self.refused += 1
            return self.dead_letter(record, stage=refused.stage, reason=refused.reason)

    def _read_label(self, record: Record) -> Told:
        table = self.reading.decode(record.value, what="label")
        if not table.keys() <= _LABEL_KEYS:
            unknown = next(key for key in table if key not in _LABEL_KEYS)
            hint = "; events belong on the topic of events" if unknown == "features" else ""
            raise Refused("schema", f"unknown key {unknown[:100]!r} in a label{hint}")
        if missing := [key for key in ("id", "ts") if key not in table]:
            raise Refused("schema", f"no {missing[0]!r}")
        id_, label, blocked = table["id"], table.get("label"), table.get("blocked") or ""
        self.reading.check_string("id", id_)
        self.reading.check_string("blocked", blocked)
        if not id_:
            raise Refused("schema", "'id' is empty")
        if (label is None) != bool(blocked):
            raise Refused("schema", "a label has either 'label', or 'blocked' and why there can be none")
        revision = table.get("revision", 0)
        if type(revision) is not int or not 0 <= revision < 2**53:
            raise Refused("schema", f"'revision' is {str(revision)[:100]!r}, not a whole number from 0 on")
        ts = self.reading.time(table["ts"], record.timestamp_s)
        y = None if label is None else self.reading.label(label)
        if label is not None:
            self.labels.look(label)
        place = (record.topic, record.partition, record.offset)
        kept = self.edge.redacted(record.value or b"").value
        return Told(AcceptedLabel(self.edge.pseudonym(id_), y, ts, revision, blocked, *place, kept), label)

    def told_taken(self, told: Told) -> None:
        """It has reached the model."""
        self.repeated += 1
        if told.raw is not None:
            self.ids.on_label(told.label.id, code_of(told.label.y))
            self.labels.remember(told.raw)

    def told_again(self) -> None:
        """It was there before."""
        self.duplicates += 1

    def told_lost(self, told: Told, record: Record, verdict: Verdict) -> DeadLetter:
        """It is of no use, and why."""
        self.refused += 1
        return self.dead_letter(record, stage="label", reason=_lost(told.label, verdict))

    def was_waiting(self) -> None:
        """The event that was just accepted was one whose id lay too far back, and is waiting for its label still."""
        self.accepted -= 1
        self.repeated += 1

    def label_lost(self, repeated: Repeated, record: Record) -> DeadLetter:
        """The event no longer waits for the label that came."""
        self.refused += 1
        reason = (
            f"the label of event {repeated.event.id[:100]!r} comes too late: the event no longer waits for it, since "
            "more than `pending_max` others have come without a label (raise it in the configuration)"
        )
        return self.dead_letter(record, stage="label", reason=reason)

    def dead_letter(self, record: Record, *, stage: Any, reason: str, is_clean: bool = False) -> DeadLetter:
        """The record as a dead letter, without what is hidden.

        Args:
            is_clean: its bytes were made behind the edge, or redacted there.
        """
        came = record.value or b""
        value, extent = Redacted(came, "") if is_clean else self.edge.redacted(came)
        return DeadLetter(
            id=f"{self.model}/{record.topic}/{record.partition}/{record.offset}",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            stage=stage,
            reason=reason if len(reason) <= REASON_MAX else reason[: REASON_MAX - 1] + "…",
            value_base64=base64.b64encode(value[: self.limits.dead_letter_max_bytes]).decode("ascii"),
            value_bytes=len(came),
            redacted=extent,
            value_digest=self.edge.digest(came) if extent == "all" else "",
        )

    def _read(self, record: Record) -> tuple[AcceptedEvent, dict[str, str], Any]:
        """The event, and what is to be remembered if it is no duplicate: new feature types, and its label."""
        content = self.reading.of(record)
        x, new_kinds = self._features(content)
        if self._needed:
            self._see_needed(x)
        if content.key is not None:
            x = {**x, KEY: content.key}
        label, apart = content.label, content.apart
        # Of several classes also what is known: 1 and true are equal as keys, and must not both be labels.
        labels = self.labels
        if content.fault is not None or (label is not None and (labels.one_kind or label not in labels.known)):
            self._look_at_label(content)
        if apart and self.reading.is_shared:
            apart = dict(apart)
        event = AcceptedEvent(content.id, x, content.y, content.ts, record.partition, record.offset, apart)
        return event, new_kinds, label

    def _see_needed(self, x: dict[str, object]) -> None:
        for key, name in self._needed.items():
            if name not in x:
                raise Refused("schema", f"no feature {name!r}: `model.{key}` says that it holds the {key}")

    def _features(self, content: Content) -> tuple[dict[str, object], dict[str, str]]:
        """The features without the missing ones, and the kinds of those never seen before."""
        features, shape = content.features, content.shape
        if shape not in self._known_shapes or not (content.is_sound or shape.is_plain):
            new = self._long_look(features, shape)
        else:  # the usual case: features that were all seen before
            new = {}
            if not content.is_sound:
                self._refuse_too_large(features)
        if shape.absent:
            return {name: value for name, value in features.items() if value is not None}, new
        return dict(features) if self.reading.is_shared else features, new

    def _long_look(self, features: dict[str, Any], shape: Shape) -> dict[str, str]:
        """See that each feature is what it was before; the kinds of those never seen before."""
        if len(features) > self.limits.features_max:
            raise Refused("limits", f"{len(features)} features; at most {self.limits.features_max}")
        new: dict[str, str] = {}
        for name, value in features.items():
            self._feature(name, value, new)
        if not new:
            self._remember_shape(shape)
        return new

    def _feature(self, name: str, value: Any, new: dict[str, str]) -> None:
        kind = KINDS.get(type(value))
        if kind is None and value is not None:
            raise Refused("type", f"feature {name[:100]!r} is {named(value)}")
        if kind == "string":
            self.reading.check_string(name, value)
        elif kind == "number" and not -NUMBER_MAX <= value <= NUMBER_MAX:
            raise too_large(f"feature {name[:100]!r}", value)
        if kind is not None and self.kinds.get(name) != kind:
            self._new_kind(name, kind, new)

    def _refuse_too_large(self, features: dict[str, Any]) -> None:
        name, value = max(features.items(), key=lambda each: abs(each[1]))
        if abs(value) > NUMBER_MAX:
            raise too_large(f"feature {name[:100]!r}", value)

    def _remember_shape(self, shape: Shape) -> None:
        if len(self._known_shapes) >= SHAPES_MAX:
            # A stream of ever new shapes must not make it grow; the usual ones are known again after one event each.
            self._known_shapes.clear()
        self._known_shapes.add(shape)

    def _new_kind(self, name: str, kind: str, new: dict[str, str]) -> None:
        if name in self._computed:  # such a name is always new: no event with it was ever accepted
            raise Refused("schema", f"feature {name!r} is computed by the learner ([features], [memory]): rename one")
        seen = self.kinds.get(name)
        if seen is not None:
            raise Refused("type", f"feature {name!r} is a {kind}; it was a {seen} before")
        self.reading.check_string("a feature's name", name)
        new[name] = kind
        # Producers that write values into names would otherwise fill the memory, and every checkpoint.
        if len(self.kinds) + len(new) > self.limits.shapes_max:
            raise Refused("limits", f"feature {name!r} is new, and {self.limits.shapes_max} names are known already")

    def _look_at_label(self, content: Content) -> None:
        if content.fault is not None:
            raise Refused(content.fault.stage, str(content.fault))  # a new one, since several may share the content
        if content.label is not None:
            self.labels.look(content.label)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "kinds": dict(self.kinds),
            "labels": self.labels.state(),
            "label_kind": self.labels.kind,
            "ids": self.ids.state(),
            "counts": (self.accepted, self.refused, self.duplicates, self.repeated),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.kinds = dict(state["kinds"])
        # A cache of what the feature types allow, and these are others from here on.
        self._known_shapes.clear()
        self.labels.restore(list(state["labels"]), kind=state["label_kind"])
        self.ids.restore(state["ids"])
        self.accepted, self.refused, self.duplicates, self.repeated = state["counts"]


def _lost(label: AcceptedLabel, verdict: Verdict) -> str:
    """Why a label is of no use."""
    of = f"event {label.id[:100]!r}"
    if verdict == "ended":
        return (
            f"the label of {of} comes too late: the event has ended without it, since it was blocked, its horizon was "
            "over, or more than `pending_max` others were waiting"
        )
    said = "is blocked" if label.blocked else f"is {str(label.y)[:100]!r}"
    if verdict == "corrects":
        return (
            f"{of} had another label before, which was learned and stands: revision {label.revision} {said}; "
            'labels.corrections = "learned" learns such corrections'
        )
    return f"{of} had another label before, which was learned and stands: this one {said}, and is no later revision"


def learnable(guard: Guard, checked: Checked) -> AcceptedEvent | None:
    """What a model can learn of a record outside the lane, where nobody waits for labels; None: nothing."""
    if type(checked) is Repeated:
        guard.label_taken(checked)
        return checked.event
    return checked if isinstance(checked, AcceptedEvent) and checked.y is not None else None
