"""Messages to bytes and back: JSON by orjson."""

from typing import TypeVar

import orjson
from pydantic import ValidationError

from anabranch.errors import AnabranchError
from anabranch.messages.base import Message

BOM = b"\xef\xbb\xbf"
"""With which some editors begin a text."""
M = TypeVar("M", bound=Message)


class UnreadableMessage(AnabranchError):
    """Bytes that are not the message they should be."""


def encode(message: Message) -> bytes:
    """The message as JSON, UTF-8."""
    return orjson.dumps(message.model_dump(mode="json"))


def decode(kind: type[M], data: bytes) -> M:
    """The message in `data`. What a newer sender says beyond it is passed over.

    Raises:
        UnreadableMessage: naming the message and the first fault.
    """
    try:
        return kind.model_validate(orjson.loads(data.removeprefix(BOM)), extra="ignore")
    except orjson.JSONDecodeError as error:
        raise UnreadableMessage(f"not a {kind.__name__}: not JSON: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UnreadableMessage(f"not a {kind.__name__}: {where}: {first['msg']}") from error
