"""How far two histograms lie apart, and how probable that is by chance: the tests of data drift.

Each test takes the counts of a reference and of a window over the same bins, and gives a distance with a p-value:

- `ks`: the largest difference of the cumulative shares (Kolmogorov–Smirnov); on bins the p-value errs on the safe side.
- `psi`: the population stability index; n·m/(n+m) times it is chi-squared (Yurdakul, 2018).
- `jensen-shannon`: the divergence in nats; the p-value is that of the G-test for homogeneity.
- `wasserstein`: the mean distance that a value must travel, in standard deviations of the reference; the p-value is
  that of a gamma law with the mean and the variance that the distance has by chance.

>>> ks(np.array([50, 50]), np.array([50, 50]))
Distance(statistic=0.0, p_value=1.0)
>>> [round(each, 4) for each in psi(np.array([500, 500]), np.array([300, 700]))]
[0.1691, 0.0]
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

Counts = NDArray[Any]


class Distance(NamedTuple):
    """A distance, and the probability of one as large by chance."""

    statistic: float
    p_value: float


class Chance(NamedTuple):
    """Mean and variance of a distance between samples of one distribution, for 1/n + 1/m = 1."""

    mean: float
    variance: float


def ks(reference: Counts, window: Counts, *, inflation: float = 1.0) -> Distance:
    """The Kolmogorov–Smirnov distance."""
    n, m = reference.sum(), window.sum()
    gap = float(np.abs(np.cumsum(reference) / n - np.cumsum(window) / m).max())
    return Distance(gap, float(special.kolmogorov(gap * np.sqrt(n * m / (n + m) / inflation))))


def psi(reference: Counts, window: Counts, *, inflation: float = 1.0) -> Distance:
    """The population stability index, with half a count in every bin so that none is empty."""
    n, m = reference.sum(), window.sum()
    was, now = _shares(reference), _shares(window)
    index = float(np.sum((now - was) * np.log(now / was)))
    return Distance(index, _chi_squared(index * n * m / (n + m) / inflation, bins=len(was)))


def jensen_shannon(reference: Counts, window: Counts, *, inflation: float = 1.0) -> Distance:
    """The Jensen–Shannon divergence."""
    n, m = reference.sum(), window.sum()
    was, now = _shares(reference), _shares(window)
    divergence = _divergence(was, now, weight=0.5)
    # Weighted by the sizes this is the G-test's statistic, whose law is known; the distance that people see weighs both
    # sides alike, so that it does not change with the sizes of reference and window.
    statistic = 2 * (n + m) * _divergence(was, now, weight=n / (n + m))
    return Distance(divergence, _chi_squared(statistic / inflation, bins=len(was)))


def wasserstein(
    reference: Counts, window: Counts, widths: Counts, chance: Chance, *, inflation: float = 1.0
) -> Distance:
    """The first Wasserstein distance; `widths` lie between the centres of neighbouring bins."""
    n, m = reference.sum(), window.sum()
    gaps = np.cumsum(reference)[:-1] / n - np.cumsum(window)[:-1] / m
    travelled = float(widths @ np.abs(gaps))
    if chance.mean <= 0:  # a constant: any other value is a new one
        return Distance(travelled, new_category(0, int(n), int(window[reference == 0].sum()), int(m)).p_value)
    scale = float(np.sqrt((1 / n + 1 / m) * inflation))
    # The gamma law of this mean and variance: its rate is mean / variance, its shape mean² / variance.
    rate = chance.mean / chance.variance
    return Distance(travelled, float(special.gammaincc(chance.mean * rate, travelled / scale * rate)))


def chance_of(reference: Counts, widths: Counts) -> Chance:
    """What Wasserstein's distance is by chance: a weighted sum of |Gaussian| with a Brownian bridge's covariance."""
    shares = np.cumsum(reference)[:-1] / max(1, reference.sum())
    covariance = np.minimum.outer(shares, shares) * (1 - np.maximum.outer(shares, shares))
    deviations = np.sqrt(np.diag(covariance))
    scale = np.outer(deviations, deviations)
    # Rounding takes correlations a little beyond 1, where the root below is a NaN; 0 / 0 is where a share is 0 or 1.
    correlation = np.clip(np.divide(covariance, scale, out=np.zeros_like(scale), where=scale > 0), -1, 1)
    absolute = scale * (np.sqrt(1 - correlation**2) + correlation * np.arcsin(correlation) - 1) * 2 / np.pi
    mean, variance = float(widths @ deviations * np.sqrt(2 / np.pi)), float(widths @ absolute @ widths)
    return Chance(mean, variance) if mean > 0 and variance > 0 else Chance(0.0, 0.0)


def missing(reference: tuple[int, int], window: tuple[int, int], *, inflation: float = 1.0) -> Distance:
    """The rise of a share, each given as a count of how many; two-sided, by the normal law."""
    (k, n), (j, m) = reference, window
    # Laplace's estimate: with a plain share of 0 or 1 the deviation is 0, and the division below has no result.
    pooled = (k + j + 1) / (n + m + 2)
    rise = j / m - k / n
    deviation = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m) * inflation)
    return Distance(abs(rise), float(2 * special.ndtr(-abs(rise) / deviation)))


def new_category(seen_once: int, reference: int, unknown: int, window: int) -> Distance:
    """The share of values never seen before, of which some are always to be expected (Good, 1953)."""
    expected = (seen_once + 1) / (reference + 1)
    by_chance = 1.0 if unknown == 0 else float(special.bdtrc(unknown - 1, window, min(expected, 1.0)))
    return Distance(unknown / window, by_chance)


def inflation_of(blocks: Counts, *, ordered: bool) -> float:
    """How much more the counts of blocks of equal length vary than those of independent values would; at least 1.

    Values that hang on those before them make each window look moved. Divided by this, a statistic is what it would be
    without (Rao and Scott, 1981). `ordered` looks at cumulative shares, for the tests that do.

    >>> inflation_of(np.array([[5, 5], [6, 4], [4, 6]]), ordered=False)
    1.0
    >>> inflation_of(np.array([[10, 0], [0, 10], [10, 0], [0, 10]]), ordered=False)
    13.333333333333334
    """
    sizes = blocks.sum(axis=1, keepdims=True)
    blocks, sizes = blocks[sizes[:, 0] > 0], sizes[sizes[:, 0] > 0]
    expected = blocks.sum(axis=0) / max(1, sizes.sum())
    found = blocks / sizes
    if ordered:
        found, expected = np.cumsum(found, axis=1)[:, :-1], np.cumsum(expected)[:-1]
    by_chance = (expected * (1 - expected)).sum()
    if len(blocks) < 2 or by_chance <= 0:
        return 1.0
    return max(1.0, float((sizes * (found - expected) ** 2).sum() / (len(blocks) - 1) / by_chance))


def discoveries(p_values: Sequence[float], *, rate: float) -> list[bool]:
    """Which of several tests are significant, so that at most `rate` of these are false on average.

    Benjamini and Yekutieli (2001): valid however the tests depend on each other.

    >>> discoveries([0.0001, 0.04, 0.9], rate=0.05)
    [True, False, False]
    """
    several = len(p_values)
    harmonic = sum(1 / n for n in range(1, several + 1))
    # A step-up test: the largest p-value within its own bound lets all smaller ones pass, whatever their bounds are.
    ranked = sorted(p_values)
    passed = [each for n, each in enumerate(ranked, 1) if each <= rate * n / (several * harmonic)]
    return [bool(passed) and each <= passed[-1] for each in p_values]


def _shares(counts: Counts) -> Counts:
    shares: Counts = (counts + 0.5) / (counts.sum() + 0.5 * len(counts))
    return shares


def _divergence(was: Counts, now: Counts, *, weight: float) -> float:
    """Jensen–Shannon with a weight on the first."""
    middle = weight * was + (1 - weight) * now
    return float(weight * np.sum(was * np.log(was / middle)) + (1 - weight) * np.sum(now * np.log(now / middle)))


def _chi_squared(statistic: float, *, bins: int) -> float:
    return float(special.chdtrc(bins - 1, max(0.0, statistic))) if bins > 1 else 1.0
