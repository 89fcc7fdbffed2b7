"""Segments: which one an event is in, by the value of a feature; and the models that answer for some of them."""

import base64
from collections.abc import Mapping
from typing import Any

from anabranch import statetree
from anabranch.errors import ArtifactError
from anabranch.messages import SegmentModel
from anabranch.rolling import KEY

SEGMENT_MAX = 256
"""Characters of a segment: an event with a longer value is in none."""


def segment_of(value: Any) -> str | None:
    """The segment that a value names, the same here and in every process; None: it names none.

    >>> segment_of("acme"), segment_of(7), segment_of(7.0), segment_of(True), segment_of(2.5), segment_of(None)
    ('acme', '7', '7', 'true', '2.5', None)
    """
    if type(value) is str:
        return value if 0 < len(value) <= SEGMENT_MAX else None
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is float:
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value) if type(value) is int else None


def key_of(model: str, scope: str, segment: str) -> str:
    """Under which the model of a segment is announced."""
    return f"{model}/{scope}/{segment}"


def order_of(message: SegmentModel) -> tuple[int, int]:
    """What messages of one segment are ordered by."""
    return message.epoch, message.event_number


class _Told:
    """What was announced of a segment last, and its model once somebody has asked for it."""

    __slots__ = ("data", "model", "order")

    def __init__(self, order: tuple[int, int], data: bytes) -> None:
        self.order = order
        self.data = data
        self.model: Any = None


class SegmentModels:
    """The models that answer for their segments, as they were announced; may be asked from several threads.

    Each is decoded when it is asked for the first time: of a hundred thousand, few are asked by one follower.

    Args:
        trusted: import paths of classes outside River that they may hold.

    >>> from river import dummy
    >>> model = dummy.PriorClassifier()
    >>> model.learn_one({}, True)
    >>> told = SegmentModel(model="m", epoch=1, by="tenant", segment="acme", event_number=9, learned=1,
    ...     announced_ts=0.0, artifact_base64=base64.b64encode(statetree.encode(model)).decode())
    >>> models = SegmentModels()
    >>> models.hear(told)
    >>> models.model_for({"tenant": "acme"}, epoch=1).predict_one({}), models.model_for({"tenant": "else"}, epoch=1)
    (True, None)
    >>> models.hear(told.model_copy(update={"event_number": 10, "artifact_base64": ""}))
    >>> models.model_for({"tenant": "acme"}, epoch=1), len(models)
    (None, 0)
    """

    def __init__(self, *, trusted: tuple[str, ...] = ()) -> None:
        self.trusted = trusted
        self.by = ""
        """The feature whose values are segments, as the newest message has it."""
        self.last_fault = ""
        """Why a model that was announced does not answer, the last time."""
        self._newest = (-1, -1)
        self._told: dict[str, _Told] = {}

    def __len__(self) -> int:
        return sum(bool(each.data) for each in self._told.values())

    def hear(self, message: SegmentModel) -> None:
        """Something was announced of a segment; what is older than what was heard counts for nothing.

        Raises:
            ArtifactError: it holds no bytes.
        """
        order, before = order_of(message), self._told.get(message.segment)
        if before is not None and order < before.order:
            return
        try:
            data = base64.b64decode(message.artifact_base64, validate=True)
        except ValueError as error:
            raise ArtifactError(f"segment {message.segment[:100]!r}: no base64: {error}", check="decode") from error
        self._told[message.segment] = _Told(order, data)
        if order >= self._newest:
            self._newest, self.by = order, message.by

    def model_for(self, x: Mapping[str, Any], *, epoch: int, key: str | bytes | None = None) -> Any:
        """The model that answers an event's features in place of the champion; None: the champion does.

        Args:
            epoch: of the champion: models of before it are of a history that did not last.
            key: the event's Kafka key, where segments go by it.
        """
        by_key = key.decode("utf-8", "replace") if isinstance(key, bytes) else key
        name = segment_of(by_key if self.by == KEY else x.get(self.by))
        told = None if name is None else self._told.get(name)
        if told is None or not told.data or told.order[0] < epoch:
            return None
        if told.model is None:
            self._decode(name or "", told)
        return told.model

    def _decode(self, name: str, told: _Told) -> None:
        """One that cannot be read answers nothing, and is not tried again."""
        try:
            told.model = statetree.decode(told.data, trusted=self.trusted)
        except statetree.StateTreeError as error:
            self.last_fault, told.data = f"segment {name[:100]!r}: {error}", b""
