"""Events as requests bring them: read, checked field by field, and answered."""

from typing import Any, NamedTuple

import orjson

from anabranch.privacy import Edge
from anabranch.values import EARLIEST_S, KINDS, LATEST_S, NUMBER_MAX, epoch_s
from serving.refusal import Refusal

STRING_MAX = 1_024
"""Where no configuration says another (`guard.string_max`)."""

FEATURES_MAX = 10_000


class Row(NamedTuple):
    """One event that is asked: its id, if it has one, its features, and when it happens."""

    id: str | None
    x: dict[str, Any]
    ts: float | None = None
    """Epoch seconds; None: now."""

    def within(self, edge: Edge) -> "Row":
        """The event behind the edge, under the id by which it was asked."""
        x = edge.features(self.x)
        return self if x is self.x else self._replace(x=x)

    def with_computed(self, found: dict[str, Any]) -> "Row":
        """The event with features that were computed."""
        return self._replace(x={**self.x, **found}) if found else self


def table_of(body: bytes) -> Any:
    """The JSON of a request.

    Raises:
        Refusal: 400; it is none.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal(400, f"the request is not JSON: {error}") from error


def rows_of(table: Any, *, rows_max: int, string_max: int = STRING_MAX) -> tuple[list[Row], bool]:
    """The events in the body of `/api/predict`, and whether they came as a batch.

    >>> rows_of({"features": {"amount": 12.5}}, rows_max=10)
    ([Row(id=None, x={'amount': 12.5}, ts=None)], False)
    >>> rows_of([{"id": "a", "features": {"amount": [1]}}], rows_max=10)
    Traceback (most recent call last):
    serving.refusal.Refusal: [0].features.amount: a list; a feature is a number, a string, true, false or null

    Raises:
        Refusal: 422, naming the field.
    """
    if isinstance(table, dict):
        return [_row(table, where="", string_max=string_max)], False
    if not isinstance(table, list):
        raise Refusal(422, 'send one event, {"features": {…}}, or a list of such')
    too_many(len(table), rows_max)
    return [_row(each, where=f"[{number}]", string_max=string_max) for number, each in enumerate(table)], True


def too_many(rows: int, rows_max: int) -> None:
    """Refuse a batch that is too long.

    Raises:
        Refusal: 422.
    """
    if rows > rows_max:
        raise Refusal(422, f"{rows} events in one request; at most {rows_max} are taken (score.rows_max)")


def _row(table: Any, *, where: str, string_max: int) -> Row:
    if not isinstance(table, dict):
        raise Refusal(422, f'{_named(table)}; an event is {{"features": {{…}}}}', field=where)
    at = f"{where}." if where else ""
    for key in table:
        if key not in ("id", "features", "ts"):  # an event as it is published can be asked as it is, but for its label
            raise Refusal(422, "no such key; an event that is asked has features, id and ts", field=f"{at}{key}"[:200])
    id_ = table.get("id")
    if id_ is not None and not isinstance(id_, str):
        raise Refusal(422, f"{_named(id_)}; an id is a string", field=f"{at}id")
    x = features_of(table.get("features"), where=f"{at}features", string_max=string_max)
    return Row(id_, x, time_of(table.get("ts"), field=f"{at}ts"))


def time_of(ts: Any, *, field: str) -> float | None:
    """Epoch seconds of an event's `ts`, None where it has none.

    Raises:
        Refusal: 422; it is no moment, or one that no date can say.
    """
    if ts is None:
        return None
    time_s = epoch_s(ts) if isinstance(ts, str) else ts
    if isinstance(time_s, int | float) and not isinstance(time_s, bool) and EARLIEST_S <= time_s < LATEST_S:
        return time_s
    given = f"{ts!r:.40}" if isinstance(ts, str | int | float) else _named(ts)
    raise Refusal(422, f"{given}; a time is RFC 3339 with its zone, or epoch seconds", field=field)


def features_of(features: Any, *, where: str, string_max: int = STRING_MAX) -> dict[str, Any]:
    """The same features, if they are an object, and each is of a kind that a feature can be.

    Raises:
        Refusal: 422, naming the feature.
    """
    if not isinstance(features, dict):
        raise Refusal(422, f"{_named(features)}; an object of names and values is needed", field=where)
    if len(features) > FEATURES_MAX:
        raise Refusal(422, f"{len(features)} features; at most {FEATURES_MAX} are taken", field=where)
    for name, value in features.items():
        see_value(value, field=f"{where}.{name}", string_max=string_max)
    return features


def see_value(value: Any, *, field: str, string_max: int = STRING_MAX) -> None:
    """Refuse what cannot be a feature's value.

    Raises:
        Refusal: 422, naming the field.
    """
    if value is not None and type(value) not in KINDS:
        raise Refusal(422, f"{_named(value)}; a feature is a number, a string, true, false or null", field=field[:200])
    if isinstance(value, str) and len(value) > string_max:
        raise Refusal(422, f"{len(value)} characters; at most {string_max} (guard.string_max)", field=field[:200])
    if isinstance(value, int | float) and not -NUMBER_MAX <= value <= NUMBER_MAX:
        raise Refusal(422, f"beyond {NUMBER_MAX:g}, which no model can take", field=field[:200])


def _named(value: Any) -> str:
    return {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "nothing"}.get(
        type(value), "a number"
    )
