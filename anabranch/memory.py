"""The last known labels, of all events or by key, as features of the next event; and which features a model sees.

Memory is taken when an event is asked and kept with it: a label that was not known then is in no feature of it.

>>> memory = LabelMemory(2, by="station", keys_max=1000)
>>> for station, bikes in [("a", 5.0), ("b", 9.0), ("a", 4.0)]:
...     memory.on_label({"station": station}, bikes)
>>> memory.look({"station": "a"}), memory.look({"station": "c"}), memory.look({})
({'@label_1': 4.0, '@label_2': 5.0}, {}, {})
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgpack
from river import compose

from anabranch.rolling import entity
from anabranch.values import KINDS

PREFIX = "@label_"
"""No feature of an event may begin so where labels are remembered."""

LAST = f"{PREFIX}1"
"""The feature that holds the last known label."""

X = Mapping[str, Any]


def names(labels: int) -> tuple[str, ...]:
    """The features that hold so many labels, the last one first."""
    return tuple(f"{PREFIX}{number}" for number in range(1, labels + 1))


class LabelMemory:
    """The last known labels by entity; entities that were not seen for longest go first.

    Args:
        labels: how many of each.
        by: the feature that holds the entity; empty: all events are of one.
        keys_max: entities that are remembered.
    """

    def __init__(self, labels: int, *, by: str, keys_max: int) -> None:
        self.labels = labels
        self.by = by
        self.keys_max = keys_max
        self.names = names(labels)
        self.entities: OrderedDict[Any, list[Any]] = OrderedDict()
        """The last label first."""

    def _key(self, x: X) -> Any:
        """Whose labels count; None where that is not known."""
        return entity(x.get(self.by)) if self.by else ""

    def look(self, x: X) -> dict[str, Any]:
        """The features of an event."""
        known = self.entities.get(self._key(x))
        return dict(zip(self.names, known, strict=False)) if known else {}

    def on_label(self, x: X, y: Any) -> None:
        """The label of an event with these features has become known."""
        key = self._key(x)
        if key is None:
            return
        known = self.entities.get(key)
        if known is None:
            if len(self.entities) >= self.keys_max:
                self.entities.popitem(last=False)
            self.entities[key] = [y]
        else:
            self.entities.move_to_end(key)
            known.insert(0, y)
            del known[self.labels :]

    @property
    def kind(self) -> str:
        """What its features are: number, string or boolean; empty before the first label."""
        known = next(iter(self.entities.values()), None)
        return KINDS.get(type(known[0]), "") if known else ""

    def state(self) -> bytes:
        """What a checkpoint keeps."""
        kept: bytes = msgpack.packb((self.by, list(self.entities.items())))
        return kept

    def restore(self, state: bytes) -> None:
        """Go on from a checkpoint; by another key it begins anew."""
        by, entities = msgpack.unpackb(state)
        if by == self.by:
            self.entities = OrderedDict((key, known[: self.labels]) for key, known in entities[-self.keys_max :])


# ── What a model sees of an event ───────────────────────────────────────────────────────────────────────────────────


def sees_labels(model: Any) -> bool:
    """Whether a model is made to know the last labels: it says so, or a step of it does."""
    if isinstance(model, compose.Pipeline):
        return any(sees_labels(step) for step in model.steps.values())
    return bool(getattr(model, "sees_labels", False))


def without_labels(x: dict[str, Any]) -> dict[str, Any]:
    """The features of an event, less the last known labels."""
    return {name: value for name, value in x.items() if not name.startswith(PREFIX)}


class _Less:
    """Leaves features out. Members are asked the same event one after the other: the last answer is kept."""

    __slots__ = ("_left", "_of", "names")

    def __init__(self, left_out: Collection[str]) -> None:
        self.names = frozenset(left_out)
        self._of: dict[str, Any] = {}
        self._left: dict[str, Any] = {}

    def __call__(self, x: dict[str, Any]) -> dict[str, Any]:
        if x is not self._of:
            hidden = self.names
            self._of, self._left = x, {name: value for name, value in x.items() if name not in hidden}
        return self._left


View = Callable[[dict[str, Any]], dict[str, Any]]


class Views:
    """What models see of an event's features: all but those that only serve as keys, and mostly no labels.

    Args:
        hidden: what no model sees.
        labels: how many labels are remembered, which only models see that are made for it.

    >>> from river import naive_bayes
    >>> see = Views(hidden=["id"], labels=1).of(naive_bayes.GaussianNB())
    >>> see({"id": "a", "amount": 3.0, "@label_1": True})
    {'amount': 3.0}
    """

    def __init__(self, *, hidden: Collection[str], labels: int) -> None:
        self._of_most, self._of_some = _Less({*hidden, *names(labels)}), _Less(hidden)

    def hidden_from(self, model: Any) -> frozenset[str]:
        """The features that a model does not see."""
        return (self._of_some if sees_labels(model) else self._of_most).names

    def of(self, model: Any) -> View | None:
        """What leaves for a model only what it sees; None if that is everything."""
        view = self._of_some if sees_labels(model) else self._of_most
        return view if view.names else None
