"""Files whose labels come late: later by so much than their events, or from a file of their own."""

import heapq
from collections.abc import Callable, Iterator
from itertools import chain, pairwise
from typing import Any, NamedTuple

import orjson

from anabranch.errors import ConfigError
from consumers.guard import own_time_s
from evaluation.backtest import LabelValue


class Delay(NamedTuple):
    """How much later labels come; one of the three.

    Args:
        events: after so many further events.
        seconds: of event time.
        column: a feature that says the seconds, and is taken out.
    """

    events: int | None = None
    seconds: float | None = None
    column: str | None = None


def delayed(values: Iterator[bytes], delay: Delay) -> Iterator[bytes | LabelValue]:
    """Events without their labels, and each label when it is due: before the event that comes then.

    What is no event stays as it is. Labels that are still to come at the end come one after the other.

    >>> events = [b'{"id":"%d","ts":%d,"features":{},"label":true}' % (n, n) for n in range(3)]
    >>> [getattr(each, "value", each)[:9].decode() for each in delayed(iter(events), Delay(events=2))]
    ['{"id":"0"', '{"id":"1"', '{"id":"0"', '{"id":"2"', '{"id":"1"', '{"id":"2"']

    Raises:
        ConfigError: an event lacks the column.
    """
    coming: list[tuple[float, int, bytes]] = []
    latest_s = 0.0
    for number, (value, after) in enumerate(pairwise(chain(values, [b""]))):
        event = _event(value)
        own_s = own_time_s(value)
        # A single event with a wrong time moves nothing: the one after it must have come as far.
        latest_s = max(latest_s, min(own_s, own_time_s(after)) if after else own_s)
        now = number if delay.events is not None else latest_s
        while coming and coming[0][0] <= now:
            yield _label(coming, ts=latest_s)
        if event is None or event.get("label") is None:
            yield value
            continue
        due = now + float(delay.events or 0) if delay.events is not None else own_s + _seconds(event, delay)
        label = {"id": event["id"], "label": event.pop("label")}
        heapq.heappush(coming, (due, number, orjson.dumps(label)))
        yield orjson.dumps(event)
    while coming:
        yield _label(coming, ts=latest_s)


def _event(value: bytes) -> dict[str, Any] | None:
    try:
        event = orjson.loads(value)
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("features"), dict) and "id" in event else None


def _seconds(event: dict[str, Any], delay: Delay) -> float:
    if delay.column is None:
        return delay.seconds or 0.0
    said = event["features"].pop(delay.column, None)
    if isinstance(said, bool) or not isinstance(said, int | float) or said < 0:
        raise ConfigError(f"event {event['id']!r}: column {delay.column!r} holds {said!r}, not a number of seconds")
    return float(said)


def _label(coming: list[tuple[float, int, bytes]], *, ts: float) -> LabelValue:
    _, _, label = heapq.heappop(coming)
    return LabelValue(label[:-1] + f',"ts":{ts!r}}}'.encode())


def beside(events: Iterator[bytes], labels: Callable[[], Iterator[bytes]]) -> Iterator[bytes | LabelValue]:
    """Events, and labels from a file of their own, by their times; each file in its own order.

    Args:
        labels: opens the second file, whose rows are read as events: with an id, a time, and a label.
    """
    asked: Iterator[tuple[float, bytes | LabelValue]] = ((own_time_s(each), each) for each in events)
    told: Iterator[tuple[float, bytes | LabelValue]] = ((own_time_s(each), _told(each)) for each in labels())
    # An event goes before a label of the same moment.
    return (value for _, value in heapq.merge(asked, told, key=lambda pair: pair[0]))


def _told(value: bytes) -> LabelValue:
    """A row of a table of labels, or a line that is a label already."""
    row = _event(value)
    if row is None:
        return LabelValue(value)
    more = {name: row["features"][name] for name in ("revision", "blocked") if row["features"].get(name) is not None}
    return LabelValue(orjson.dumps({"id": row["id"], "ts": row["ts"], "label": row.get("label"), **more}))
