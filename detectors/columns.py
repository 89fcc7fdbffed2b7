"""One feature's distribution in bounded memory: fixed bins laid on a reference, and counts over a sliding window.

A number has a bin for each value that is as frequent as one in twenty, bins at the quantiles of the others, and one on
either side of the reference's range, so that a constant that moves is seen to move. A string or truth has one for each
of the 50 most frequent values and one for all others. Of the window, counts by block are kept, no values.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from detectors import distances
from detectors.distances import Distance

BINS_MAX = 20
CATEGORIES_MAX = 50
REFERENCE_BLOCKS = 16
RARE_BINS_MIN = 4
LAYOUT = 2
"""Of the bins in a checkpoint: those of others cannot be gone on with."""

MISSING = object()
"""Stands for the value of an event that lacks the feature."""


def column(values: Sequence[Any]) -> "Column":
    """The column of a feature with these reference values: of numbers, or of anything else."""
    present = [each for each in values if each is not MISSING]
    # bool is a subclass of int, but a truth is a category: it has no quantiles to lay bins at.
    numeric = all(isinstance(each, int | float) and not isinstance(each, bool) for each in present)
    made: Column = Numeric() if numeric else Categorical()
    made.lay(present)
    # Only after lay(): the reference and its blocks are counted in the very bins that windows are counted in later.
    made.reference = made.block(values)
    made.expect(values)
    return made


class Column:
    """A feature's bins, with the block of its reference and the newest blocks of its window.

    A block is (counts by bin, values missing, values never seen in the reference, their sum, the sum of squares).
    """

    def __init__(self) -> None:
        self.reference: tuple[Any, ...] = ()
        self.blocks: list[tuple[Any, ...]] = []
        self.inflations = (1.0, 1.0, 1.0)
        """Of the bins, of their cumulative shares, of missing values."""

    def lay(self, values: Sequence[Any]) -> None:
        """Lay the bins on the reference's values."""
        raise NotImplementedError

    def expect(self, values: Sequence[Any]) -> None:
        """Learn from the reference how much windows vary of themselves, where values hang on those before them."""
        length = max(1, len(values) // REFERENCE_BLOCKS)
        # All of one length. A shorter block at the end would vary more by chance and pass for dependence.
        blocks = [self.block(values[at : at + length]) for at in range(0, length * REFERENCE_BLOCKS, length)]
        counts = np.array([each[0] for each in blocks])
        absent = np.array([(each[1], length - each[1]) for each in blocks])
        self.inflations = (
            distances.inflation_of(counts, ordered=False),
            distances.inflation_of(counts, ordered=True),
            distances.inflation_of(absent, ordered=False),
        )

    def block(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """The values as a block."""
        raise NotImplementedError

    def summary(self, block: tuple[Any, ...]) -> dict[str, float]:
        """A block for people."""
        raise NotImplementedError

    def compared(self, test: str, was: Any, now: Any) -> tuple[str, Distance]:
        """The test that was made, and its result."""
        raise NotImplementedError

    def slide(self, values: Sequence[Any], *, blocks_max: int) -> None:
        """One more block; the oldest beyond `blocks_max` is forgotten."""
        self.blocks.append(self.block(values))
        del self.blocks[:-blocks_max]

    @property
    def window(self) -> tuple[Any, ...]:
        """All blocks of the window as one."""
        counts = np.sum([block[0] for block in self.blocks], axis=0).tolist()
        return counts, *(sum(block[n] for block in self.blocks) for n in range(1, 5))

    def tests(self, test: str) -> Iterable[tuple[str, Distance]]:
        """Each test of the window against the reference, by name."""
        reference, window = self.reference, self.window
        was, now = np.array(reference[0]), np.array(window[0])
        n, m = int(was.sum()), int(now.sum())
        absent = (reference[1], n + reference[1]), (window[1], m + window[1])
        yield "missing", distances.missing(*absent, inflation=self.inflations[2])
        # Where every value is missing there is no distribution to
        # compare; the test of missing values has told it by then.
        if n and m:
            yield self.compared(test, was, now)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"reference": self.reference, "blocks": list(self.blocks), "inflations": self.inflations}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.reference = tuple(state["reference"])
        self.inflations = tuple(state["inflations"])
        self.blocks = [tuple(block) for block in state["blocks"]]


class Numeric(Column):
    """A column of numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.edges: list[float] = []
        self.widths: list[float] = []
        self.chance = distances.Chance(0.0, 0.0)

    def lay(self, values: Sequence[Any]) -> None:
        """A bin for each frequent value, bins of about equal counts for the others, and one beyond each end."""
        numbers = np.asarray(values, dtype=float)
        edges = _edges(numbers) if len(numbers) else np.array([])
        # Each value counts as the mean of its bin, and how far apart these lie is what Wasserstein's distance needs.
        # With side="right" a value that equals an edge opens the bin:
        # edges at v and right behind it hold v and nothing else.
        bins = np.searchsorted(edges, numbers, side="right")
        counts = np.bincount(bins, minlength=len(edges) + 1)
        sums = np.bincount(bins, weights=numbers, minlength=len(edges) + 1)
        middles = np.concatenate([edges[:1], (edges[1:] + edges[:-1]) / 2, edges[-1:]]) if len(edges) else np.zeros(1)
        centres = np.divide(sums, counts, out=middles, where=counts > 0)
        deviation = float(numbers.std()) if len(numbers) else 0.0
        # In standard deviations of the reference, so that one `min_distance` serves features of any unit.
        widths = np.diff(centres) / deviation if deviation else np.zeros(len(edges))
        if len(widths):
            widths[[0, -1]] = 1.0  # how far beyond the reference's range values lie is not kept: a deviation, say
        self.edges, self.widths = edges.tolist(), widths.tolist()
        self.chance = distances.chance_of(counts, widths)

    def block(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """Counts by bin, and the moments."""
        present = [each for each in values if each is not MISSING]
        numbers = np.asarray(present, dtype=float)
        counts = np.bincount(np.searchsorted(self.edges, numbers, side="right"), minlength=len(self.edges) + 1)
        absent = len(values) - len(present)
        return counts.tolist(), absent, 0, float(numbers.sum()), float(numbers @ numbers)

    def summary(self, block: tuple[Any, ...]) -> dict[str, float]:
        """Mean, standard deviation, and the share of missing values."""
        counts, absent, _, total, squares = block
        n = sum(counts)
        if not n:
            return {"missing": 1.0}
        variance = max(0.0, squares / n - (total / n) ** 2)
        return _finite({"mean": total / n, "sd": variance**0.5, "missing": absent / (n + absent)})

    def compared(self, test: str, was: Any, now: Any) -> tuple[str, Distance]:
        """Any of the four."""
        # The larger of the two errs on the safe side: dependence may
        # show in single bins or only in their cumulative shares.
        cumulative = max(self.inflations[:2])
        if test == "wasserstein":
            widths = np.array(self.widths)
            return test, distances.wasserstein(was, now, widths, self.chance, inflation=cumulative)
        if test == "ks":
            return test, distances.ks(was, now, inflation=cumulative)
        return test, _unordered(test)(_with_one_empty(was, was), _with_one_empty(was, now), inflation=cumulative)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            **super().state(),
            "layout": LAYOUT,
            "edges": self.edges,
            "widths": self.widths,
            "chance": tuple(self.chance),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        super().restore(state)
        self.edges, self.widths = list(state["edges"]), list(state["widths"])
        self.chance = distances.Chance(*state["chance"])


class Categorical(Column):
    """A column of strings or truths. Its values have no order: of the tests, only PSI and Jensen–Shannon apply."""

    def __init__(self) -> None:
        super().__init__()
        self.places: dict[Any, int] = {}
        self.known: set[Any] = set()
        self.seen_once = 0

    def lay(self, values: Sequence[Any]) -> None:
        """A bin for each frequent value."""
        counts = Counter(values)
        ranked = sorted(counts, key=lambda value: (-counts[value], str(value)))
        self.places = {value: n for n, value in enumerate(ranked[:CATEGORIES_MAX])}
        self.known = set(counts)
        self.seen_once = sum(times == 1 for times in counts.values())

    def block(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """Counts by category, and how many values are new."""
        tally = Counter(values)
        absent = tally.pop(MISSING, 0)
        counts = [0] * (len(self.places) + 1)
        unknown = 0
        for value, times in tally.items():
            counts[self.places.get(value, len(self.places))] += times
            unknown += 0 if value in self.known else times
        return counts, absent, unknown, 0.0, 0.0

    def tests(self, test: str) -> Iterable[tuple[str, Distance]]:
        """New values, too."""
        yield from super().tests(test)
        window = self.window
        if present := sum(window[0]):
            reference = sum(self.reference[0])
            yield "new-category", distances.new_category(self.seen_once, reference, window[2], present)

    def summary(self, block: tuple[Any, ...]) -> dict[str, float]:
        """The shares of the most frequent values, of new ones, and of missing ones."""
        counts, absent, unknown, *_ = block
        n = sum(counts) + absent
        if not n:
            return {}
        shares = {f"={value}": counts[place] / n for value, place in list(self.places.items())[:10]}
        return {**shares, "new": unknown / n, "missing": absent / n}

    def compared(self, test: str, was: Any, now: Any) -> tuple[str, Distance]:
        """PSI, or else Jensen–Shannon."""
        test = "psi" if test == "psi" else "jensen-shannon"
        return test, _unordered(test)(was, now, inflation=self.inflations[0])

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        # A set of strings iterates in an order that hangs on the process's hash seed; the hash of the state must not.
        known = sorted(self.known, key=str)
        return {**super().state(), "places": dict(self.places), "known": known, "seen_once": self.seen_once}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        super().restore(state)
        self.places, self.known, self.seen_once = dict(state["places"]), set(state["known"]), state["seen_once"]


def _unordered(test: str) -> Callable[..., Distance]:
    return distances.psi if test == "psi" else distances.jensen_shannon


def _edges(numbers: Any) -> Any:
    """Where bins begin: at each frequent value and right after it, and at quantiles of the others."""
    distinct, counts = np.unique(numbers, return_counts=True)
    frequent = counts * BINS_MAX >= len(numbers)
    alone = distinct[frequent]
    rare = numbers[~np.isin(numbers, alone)]
    if np.count_nonzero(~frequent) <= BINS_MAX:
        others = distinct[~frequent]
    else:
        bins = max(RARE_BINS_MIN, round(BINS_MAX * len(rare) / len(numbers)))
        others = np.quantile(rare, np.linspace(0, 1, bins + 1)[1:-1])
    # The largest value itself belongs to the last bin inside the range; only what is larger falls beyond its end.
    ends = np.array([distinct[0], np.nextafter(distinct[-1], np.inf)])
    return np.unique(np.concatenate([ends, alone, np.nextafter(alone, np.inf), others]))


def _with_one_empty(reference: Any, counts: Any) -> Any:
    """The counts, with all bins that are empty in the reference as one: many of them would drown a move."""
    empty = reference == 0
    return np.append(counts[~empty], counts[empty].sum()) if empty.any() else counts


def values_of(rows: Sequence[dict[str, Any]], name: str) -> list[Any]:
    """A feature's values in these events; `MISSING` where one lacks it."""
    return [row.get(name, MISSING) for row in rows]


def laid_otherwise(states: Mapping[str, dict[str, Any]] | None) -> bool:
    """Whether a checkpoint's columns count in bins of another layout, which nothing can be compared with."""
    return any("edges" in each and each.get("layout") != LAYOUT for each in (states or {}).values())


def revived(state: dict[str, Any]) -> Column:
    """The column that `state` described."""
    made: Column = Numeric() if "edges" in state else Categorical()
    made.restore(state)
    return made


def _finite(values: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if np.isfinite(value)}
