"""What people ask of a model on `model-control`, in order; the next offset lies in the checkpoint."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import structlog

from anabranch.errors import SignatureError
from anabranch.events import Record
from anabranch.messages import Act, Decision, Retire, Retrain, UnreadableMessage, decode
from anabranch.signatures import TrustedKeys
from config.records import ControlSettings
from consumers.ports import Clock, Control

log = structlog.get_logger()

Request = Retrain | Retire | Decision | Act


IDS_MAX = 1_000
"""Of so many requests it is known that they were made; of two as old as those before them, nothing is done."""


class Heard(NamedTuple):
    """A request, and why it is refused; empty: it is not."""

    request: Request
    refusal: str


class Requests:
    """Reads the requests to one model; without a control there are none.

    With trusted keys, a request counts that one of them has signed, that is not too old, and that was not made before:
    whoever may write to the topic can copy a signed request, and cannot have it carried out again.
    """

    def __init__(self, control: Control | None, *, model: str, settings: ControlSettings, clock: Clock) -> None:
        self.control = control
        self.model = model
        self.clock = clock
        self.max_age_s = settings.max_age
        self.keys = None if settings.trusted_keys is None else TrustedKeys(settings.trusted_keys)
        self.position: int | None = None
        self.made: dict[str, float] = {}
        """The ids of signed requests with the times that they bear, in the order in which they came."""
        self.forgotten_ts = 0.0
        """What is no newer than this may have been made, and forgotten."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps beside the position; nothing, where no key is asked for."""
        return {"made": self.made, "forgotten_ts": self.forgotten_ts} if self.keys is not None else {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint, which may be of a time when no key was asked for."""
        self.made, self.forgotten_ts = dict(state.get("made", {})), state.get("forgotten_ts", 0.0)

    def start(self, position: int | None) -> None:
        """Read on from a checkpoint's position; from the end, where there is none."""
        self.position = position if self.control is None else self.control.start(position)
        if position is None:
            # What was made before is not known here: after a rebuild, or where all checkpoints were lost.
            self.made, self.forgotten_ts = {}, self.clock.time_s()

    def take(self) -> list[Heard]:
        """What was asked since. A checkpoint must follow, so that nothing is answered twice."""
        if self.control is None:
            return []
        asked = []
        for record in self.control.poll():
            # Also for what is no request, or is one to another model: none of it is looked at again.
            self.position = record.offset + 1
            request = _read(record)
            if request is not None and request.model == self.model:
                asked.append(Heard(request, self._refusal(request, record)))
        return asked

    def _refusal(self, request: Request, record: Record) -> str:
        """Why nothing is done about it; empty, and it is known from now on, if something is."""
        if self.keys is None:
            return ""
        try:
            self.keys.verify(record.value or b"", record.headers)
        except SignatureError as error:
            log.warning("request refused", topic=record.topic, offset=record.offset, by=request.by, reason=str(error))
            return f"not carried out: {error}"
        age_s = self.clock.time_s() - request.ts
        if age_s > self.max_age_s:
            return f"not carried out: it is {age_s:.0f} s old, and control.max_age is {self.max_age_s:.0f} s"
        if request.id in self.made or request.ts <= self.forgotten_ts:
            return "not carried out: it was made before"
        self.made[request.id] = request.ts
        while len(self.made) > IDS_MAX:
            self.forgotten_ts = max(self.forgotten_ts, self.made.pop(next(iter(self.made))))
        return ""

    def close(self) -> None:
        """Leave."""
        if self.control is not None:
            self.control.close()


def _read(record: Record) -> Request | None:
    value = record.value or b""
    with suppress(UnreadableMessage):
        return decode(Retire, value)
    with suppress(UnreadableMessage):
        return decode(Decision, value)
    with suppress(UnreadableMessage):
        return decode(Act, value)
    try:
        return decode(Retrain, value)
    except UnreadableMessage as error:
        log.warning("request refused", topic=record.topic, offset=record.offset, reason=str(error))
        return None
