"""Points as columns, as charts want them: each series by name, with a gap where a point has no value of it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from operations.picture import Point

SERIES_MAX = 24
"""Of one kind, those that were there last."""
DIGITS = 6

Named = Callable[[Point], Mapping[str, float | None]]

NAMED: dict[str, Named] = {
    "metrics": lambda point: point.windowed,
    "shadows": lambda point: {name: loss for name, kind, loss, _, _ in point.members if kind != "champion"},
    "evidence": lambda point: {name: found for name, _, _, found, _ in point.members if found is not None},
    "psi": lambda point: point.psi,
    "levels": lambda point: point.levels,
    "gaps": lambda point: {name: difference for name, (difference, _, _) in point.gaps.items()},
    "gaps_low": lambda point: {name: low for name, (_, low, _) in point.gaps.items()},
    "gaps_high": lambda point: {name: high for name, (_, _, high) in point.gaps.items()},
}
"""What there are several of in a point, each with its name."""


def columns(points: Iterable[Point]) -> dict[str, Any]:
    """All series of some points, oldest first.

    Returns:
        `t` (epoch seconds), `event`, `version`, `loss`, `lost`, `pending`, `unread`, `rate`: lists as long as there are
        points; and `metrics`, `shadows`, `evidence`, `psi`, `levels`, `gaps`, `gaps_low`, `gaps_high`: such lists by
        name.
    """
    several = list(points)
    plain = {
        "t": [round(each.at_s, 3) for each in several],
        "event": [each.event_number for each in several],
        "version": [each.version for each in several],
        "loss": [rounded(each.loss) for each in several],
        "lost": [rounded(each.lost) for each in several],
        "pending": [each.pending for each in several],
        "unread": [each.unread for each in several],
        "rate": [rounded(each.records_per_s) for each in several],
    }
    return plain | {kind: _by_name(several, values) for kind, values in NAMED.items()}


def _by_name(several: Sequence[Point], values: Named) -> dict[str, list[float | None]]:
    found = [values(each) for each in several]
    last: dict[str, int] = {}
    for number, each in enumerate(found):
        for name in each:
            last[name] = number
    names = sorted(last, key=lambda name: -last[name])[:SERIES_MAX]
    return {name: [rounded(each.get(name)) for each in found] for name in sorted(names)}


def rounded(value: float | None) -> float | None:
    """Short enough for the wire: so many significant digits."""
    return None if value is None else float(f"{value:.{DIGITS}g}")


def thinned(points: Iterable[Point], step_s: float) -> list[Point]:
    """The last of each such time."""
    return list({each.at_s // step_s: each for each in points}.values())
