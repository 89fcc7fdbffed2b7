"""What people ask of a model on `model-control`, in order; the next offset lies in the checkpoint."""

from contextlib import suppress

import structlog

from anabranch.events import Record
from anabranch.messages import Decision, Retire, Retrain, UnreadableMessage, decode
from consumers.ports import Control

log = structlog.get_logger()

Request = Retrain | Retire | Decision


class Requests:
    """Reads the requests to one model; without a control there are none."""

    def __init__(self, control: Control | None, *, model: str) -> None:
        self.control = control
        self.model = model
        self.position: int | None = None

    def start(self, position: int | None) -> None:
        """Read on from a checkpoint's position; from the end, where there is none."""
        self.position = position if self.control is None else self.control.start(position)

    def take(self) -> list[Request]:
        """What was asked since. A checkpoint must follow, so that nothing is answered twice."""
        if self.control is None:
            return []
        asked = []
        for record in self.control.poll():
            # Also for what is no request, or is one to another model: none of it is looked at again.
            self.position = record.offset + 1
            request = _read(record)
            if request is not None and request.model == self.model:
                asked.append(request)
        return asked

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
    try:
        return decode(Retrain, value)
    except UnreadableMessage as error:
        log.warning("request refused", topic=record.topic, offset=record.offset, reason=str(error))
        return None
