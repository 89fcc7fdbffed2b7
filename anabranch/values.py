"""What labels and answers may be at most, and what stands for an answer that could not be used."""

from typing import Any

NUMBER_MAX = 1e100
"""The largest magnitude of a number. Beyond 1e150 its square is infinite: a scaler then answers NaN for ever, and a
regression tree raises on every later event."""


def worst(y: Any, *, numeric: bool) -> Any:
    """An answer that is certainly wrong: for numbers beyond all bounds.

    >>> worst(True, numeric=False), worst("red", numeric=False), worst(7.5, numeric=True)
    (False, None, 1e+100)
    """
    if numeric:
        return NUMBER_MAX
    return not y if isinstance(y, bool) else None


def worst_probabilities(y: Any) -> dict[Any, float]:
    """Probabilities that are certain of what is wrong."""
    return {y: 0.0, not y: 1.0} if isinstance(y, bool) else {y: 0.0}
