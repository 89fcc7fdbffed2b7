"""An explanation as a person would say it."""

from math import exp
from typing import Any

from serving.explanation import Contribution, Explanation

TOLD = 5
"""So many features are told, the first to count most; the others together."""


def sentences(found: Explanation) -> list[str]:
    """The answer, what it would be on average, what counted most, and what is missing.

    >>> lacks = Contribution("age", None, -0.25, 0.0)
    >>> found = Explanation(
    ...     prediction=True, about=True, against=False, unit="log-odds", base=-0.5, value=1.0, method="exact", rows=8,
    ...     contributions=(Contribution("amount", 14.2, 1.75, 0.0), lacks), missing=("age",), unknown=())
    >>> for sentence in sentences(found):
    ...     print(sentence)
    The answer is true: log-odds 1.0000 (73.1 %) for true against false.
    Over 8 events that came with the model they are -0.5000 (37.8 %) on average.
    amount = 14.2 raises them by 1.7500.
    age, which is missing, lowers them by 0.2500.
    Missing: age.
    """
    it = "them" if found.unit == "log-odds" else "it"
    most, others = found.contributions[:TOLD], found.contributions[TOLD:]
    told = [
        f"The answer is {shown(found.prediction)}: {_subject(found)}.",
        f"{_background(found)} {'they are' if it == 'them' else 'it is'} {_amount(found, found.base)} on average.",
        *(_sentence(each, it) for each in most if each.amount),
    ]
    if others:
        rest = sum(each.amount for each in others)
        who = f"The other feature, {others[0].feature}, changes" if len(others) == 1 else f"{len(others)} others change"
        told.append(f"{who} {it} by {rest:+.4f}{'' if len(others) == 1 else ' together'}.")
    if any(each.error for each in most):
        told.append("± is the standard error: these amounts are estimated on samples.")
    if found.missing:
        told.append(f"Missing: {', '.join(found.missing)}.")
    if found.unknown:
        told.append(f"Left out, since nothing was learned of it: {', '.join(found.unknown)}.")
    return told


def _subject(found: Explanation) -> str:
    if found.unit == "number":
        return "what follows explains this number"
    against = "" if found.against is None else f" against {shown(found.against)}"
    return f"{found.unit} {_amount(found, found.value)} for {shown(found.about)}{against}"


def _background(found: Explanation) -> str:
    return (
        f"Over {found.rows} events that came with the model" if found.rows > 1 else "For the event it is compared with"
    )


def _amount(found: Explanation, value: float) -> str:
    if found.unit != "log-odds":
        return f"{value:.4f}"
    # Beyond this exp() has no number, and nobody sees a difference.
    return f"{value:.4f} ({1 / (1 + exp(-max(-700.0, min(700.0, value)))):.1%})".replace("%)", " %)")


def _sentence(each: Contribution, it: str) -> str:
    named = f"{each.feature}, which is missing," if each.value is None else f"{each.feature} = {shown(each.value)}"
    error = f" ± {each.error:.4f}" if each.error else ""
    return f"{named} {'raises' if each.amount > 0 else 'lowers'} {it} by {abs(each.amount):.4f}{error}."


def shown(value: Any) -> str:
    """A label, or a feature's value."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)
