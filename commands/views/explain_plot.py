"""The picture of an explanation: what each feature contributed, as bars from the base to the answer. Needs [plot]."""

from pathlib import Path

from matplotlib.figure import Figure

from serving.explanation import Contribution, Explanation
from serving.explanation.words import shown

# Okabe and Ito's colours: apart for every kind of colour vision, and on paper.
BLUE, VERMILION = "#0072B2", "#D55E00"
BARS_MAX = 12


def draw(path: Path, found: Explanation, *, title: str) -> None:
    """Write the picture; what counts least is drawn together."""
    several, rest = list(found.contributions[:BARS_MAX]), found.contributions[BARS_MAX:]
    if rest:
        several.append(Contribution(f"{len(rest)} others", "", sum(each.amount for each in rest), 0.0))
    figure = Figure(figsize=(8, 1.8 + 0.34 * len(several)), layout="constrained")
    axes = figure.subplots()
    start = found.base
    for row, each in enumerate(several):
        colour = BLUE if each.amount >= 0 else VERMILION
        axes.barh(row, each.amount, left=start, color=colour, xerr=each.error or None, ecolor="#555555")
        start += each.amount
    axes.use_sticky_edges = False  # bars would end at the picture's edge
    axes.margins(x=0.08)
    axes.axvline(found.base, color="#999999", linestyle=":", linewidth=1)
    axes.axvline(found.value, color="#000000", linewidth=1)
    axes.set_yticks(range(len(several)), [_named(each) for each in several])
    axes.invert_yaxis()
    about = "" if found.about is None else f" of {shown(found.about)}"
    axes.set_xlabel(f"{found.unit}{about}: from {found.base:.4g} (dotted, on average) to {found.value:.4g}")
    axes.set_title(title, loc="left", fontsize=10)
    figure.savefig(path, dpi=120)


def _named(each: Contribution) -> str:
    value = "missing" if each.value is None else shown(each.value)
    return f"{each.feature} = {value:.24}" if value else each.feature
