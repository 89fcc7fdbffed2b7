"""Features that the lane computes when an event is asked, of what came before it; and what models see of an event."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from anabranch.computing import Computing
from anabranch.events import AcceptedEvent
from anabranch.memory import LabelMemory, Views, sees_labels
from config.settings import Settings


def views_of(settings: Settings) -> Views | None:
    """What models see of events; None where they see everything."""
    computed = settings.computed
    return Views(hidden=computed.hidden, labels=settings.memory.labels) if computed.any else None


class Seen(NamedTuple):
    """What a model sees, for those who ask it.

    Args:
        features: kinds by name.
        hidden: features of what is learned that it does not see.
        derived: of the features, those that the lane computes, with what they are in words.
        computing: what they are computed of, as bytes; empty if that is too much to go out with a model.
    """

    features: Mapping[str, str]
    hidden: tuple[str, ...] = ()
    derived: Mapping[str, str] = {}
    computing: bytes = b""


class Derived:
    """What is kept of the events and labels so far, and the features that come of it."""

    def __init__(self, settings: Settings) -> None:
        features, memory = settings.features, settings.memory
        self.published_max_bytes = features.published_max_bytes
        self.computing = Computing(
            [each.rule for each in features.rules],
            keys_max=features.keys_max,
            memory=LabelMemory(memory.labels, by=memory.key or "", keys_max=memory.keys_max),
        )
        self.views = Views(hidden=settings.computed.hidden, labels=memory.labels)
        self.rules = self.computing.rolling.rules
        self.words = {rule.name: rule.words for rule in self.rules} | {
            name: f"label {number} before{f' by {memory.key}' if memory.key else ''}"
            for number, name in enumerate(self.computing.memory.names, start=1)
        }

    def on_event(self, event: AcceptedEvent) -> AcceptedEvent:
        """The event with the features of what came before it; it is counted then."""
        return event._replace(x={**event.x, **self.computing.on_event(event.x, event.ts)})

    def on_label(self, event: AcceptedEvent, ts: float) -> None:
        """The label of an event has become known at `ts`."""
        self.computing.on_label(event.x, event.y, ts)

    def shown(self, event: AcceptedEvent) -> AcceptedEvent:
        """The event with the features that most models see."""
        view = self.views.of(None)
        return event if view is None else event._replace(x=view(event.x))

    def seen_by(self, model: Any, kinds: Mapping[str, str]) -> Seen:
        """What a model sees, where events bring features of these kinds."""
        hidden, memory = self.views.hidden_from(model), self.computing.memory
        own = {**kinds, **dict.fromkeys((rule.name for rule in self.rules), "number")}
        if memory.kind and sees_labels(model):
            own |= dict.fromkeys(memory.names, memory.kind)
        features = {name: kind for name, kind in own.items() if name not in hidden}
        words = {name: words for name, words in self.words.items() if name in features}
        return Seen(features, tuple(sorted(hidden)), words, self._published() if words else b"")

    def _published(self) -> bytes:
        packed = self.computing.packed() if self.published_max_bytes else b""
        return packed if len(packed) <= self.published_max_bytes else b""

    def state(self) -> dict[str, bytes]:
        """What a checkpoint keeps."""
        return self.computing.state()

    def restore(self, state: Mapping[str, bytes] | None) -> None:
        """Go on from a checkpoint; one of before these sections has none of it, and all begins anew."""
        if state:
            self.computing.restore(state)


class Alone:
    """A stream of labelled events with their features, for a model that is outside a lane."""

    def __init__(self, settings: Settings) -> None:
        self._derived = derived_of(settings)

    def asked(self, event: AcceptedEvent) -> AcceptedEvent:
        """The event as it is asked."""
        return event if self._derived is None else self._derived.on_event(event)

    def learned(self, event: AcceptedEvent, ts: float | None = None) -> None:
        """Its label has become known at `ts`; with the event, if that is not said."""
        if self._derived is not None:
            self._derived.on_label(event, event.ts if ts is None else ts)


def derived_of(settings: Settings) -> Derived | None:
    """None where the lane computes nothing."""
    return Derived(settings) if settings.computed.any else None
