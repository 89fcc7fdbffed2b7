"""The picture of a backtest: rolling error, signals, the arena, and the swaps through all of them. Needs [plot]."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from anabranch.messages import DriftSignal, Message, ModelUpdate
from evaluation.swaps import Curve, Trace

# Okabe and Ito's colours: apart for every kind of colour vision, and on paper.
BLACK, GREY, BLUE, GREEN = ("#000000", "#999999", "#0072B2", "#009E73")
VERMILION, PURPLE, ORANGE = ("#D55E00", "#CC79A7", "#E69F00")
KINDS = {"recruit": BLUE, "standing": GREEN, "displaced": ORANGE}
LINES: dict[str, tuple[str, Literal["-", "--", ":"]]] = {
    "swap": (VERMILION, "-"),
    "rollback": (PURPLE, "--"),
    "canary": (VERMILION, ":"),
}
NAMED_MAX = 12
"""With more swaps than this, their versions are not written above them."""
WINNERS_MAX = 6
"""With more than this, nor who won."""
SHADOWS_NAMED_MAX = 8
"""So many shadows have their name at their curve."""
CHARACTER, ROW = 0.0078, 0.075
"""The width of a small character and the height of a line of them, as shares of the axes."""
LEAST_EVIDENCE = 1e-4

UNITS = {"zero-one": "error rate", "brier": "Brier score", "log": "bounded log loss", "absolute": "absolute error"}

_COUNT = FuncFormatter(lambda value, _: f"{value:,.0f}")
_SHARE = FuncFormatter(lambda value, _: f"{value:g}")


def draw(path: Path, trace: Trace, said: Sequence[Message], *, title: str, loss: str) -> None:
    """Write the picture; the suffix of `path` says as what (.png, .svg, .pdf)."""
    signals = [each for each in said if isinstance(each, DriftSignal)]
    swaps = [each for each in said if isinstance(each, ModelUpdate) and each.kind in LINES]
    detectors = sorted({each.detector for each in signals})
    # Not by pyplot, which keeps every figure alive and may want a display.
    figure = Figure(figsize=(11, 6.2 + 0.25 * len(detectors)), layout="constrained")
    heights = (3, 0.35 + 0.3 * len(detectors), 2.4)
    error, alarms, arena = figure.subplots(3, 1, sharex=True, gridspec_kw={"height_ratios": heights})
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    _draw_error(error, trace, loss=loss)
    _draw_signals(alarms, signals, detectors)
    _draw_arena(arena, [each for each in trace.curves.values() if each.points], swaps)
    for axes in (error, alarms, arena):
        _draw_swaps(axes, swaps)
    _name_swaps(error, swaps)
    arena.set_xlabel("accepted events")
    arena.set_xlim(0, max(1, trace.events))
    figure.align_ylabels([error, arena])
    arena.xaxis.set_major_formatter(_COUNT)
    figure.savefig(path, dpi=130)


def _draw_error(axes: Axes, trace: Trace, *, loss: str) -> None:
    events, values = zip(*trace.error, strict=True) if trace.error else ((), ())
    axes.plot(events, values, color=BLACK, linewidth=1.2)
    axes.set_ylabel(f"{UNITS.get(loss, loss)},\nlast {trace.window:,} events")
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color=GREY, alpha=0.3)


def _draw_signals(axes: Axes, signals: Sequence[DriftSignal], detectors: Sequence[str]) -> None:
    """One row a detector; filled where retraining was decided."""
    for row, detector in enumerate(detectors):
        for triggered in (True, False):
            at = [each.event_number for each in signals if each.detector == detector and each.triggered is triggered]
            face = BLACK if triggered else "none"
            axes.scatter(at, [row] * len(at), s=30, marker="v", edgecolors=BLACK, facecolors=face, linewidths=0.9)
    axes.set_yticks(range(len(detectors)), detectors)
    axes.set_ylim(-0.6, max(0.6, len(detectors) - 0.4))
    axes.set_ylabel("signals")
    if not detectors:
        axes.text(0.5, 0.5, "none", transform=axes.transAxes, ha="center", va="center", color=GREY)
    else:
        _legend(axes, [_marker("retraining", face=BLACK), _marker("signal only", face="none")])


def _draw_arena(axes: Axes, curves: Sequence[Curve], swaps: Sequence[ModelUpdate]) -> None:
    """Each shadow's evidence, up to the win that was its last."""
    for curve in curves:
        points = [*curve.points, *_win_of(curve, swaps)]
        events, shares = zip(*points, strict=True)
        # A logarithmic scale has no 0.
        shown = [max(share, LEAST_EVIDENCE) for share in shares]
        axes.plot(events, shown, color=KINDS.get(curve.kind, GREY), linewidth=1, alpha=0.85)
    _name_shadows(axes, curves)
    axes.axhline(1, color=BLACK, linewidth=1, linestyle=":")
    axes.set_yscale("log")
    axes.set_ylim(LEAST_EVIDENCE, 10)
    axes.yaxis.set_major_formatter(_SHARE)
    axes.set_ylabel("evidence in the arena\n(1 wins)")
    axes.grid(axis="y", color=GREY, alpha=0.3)
    present = [kind for kind in KINDS if any(curve.kind == kind for curve in curves)]
    lines = [Line2D([], [], color=KINDS[kind], label=kind) for kind in present]
    seen = [kind for kind in LINES if any(swap.kind == kind for swap in swaps)]
    lines += [Line2D([], [], color=LINES[kind][0], linestyle=LINES[kind][1], label=kind) for kind in seen]
    _legend(axes, lines)


def _name_shadows(axes: Axes, curves: Sequence[Curve]) -> None:
    """Who came nearest to a win, at the best point of each."""
    best = {curve.name: max(curve.points, key=lambda point: point[1]) for curve in curves}
    nearest = sorted(best.items(), key=lambda each: each[1][1], reverse=True)[:SHADOWS_NAMED_MAX]
    for name, (event, share) in nearest:
        at = (event, max(share, LEAST_EVIDENCE))
        axes.annotate(name, at, xytext=(2, 2), textcoords="offset points", fontsize="x-small", clip_on=True)


def _win_of(curve: Curve, swaps: Sequence[ModelUpdate]) -> list[tuple[int, float]]:
    """The point of its win: the champion's exchange ends the contest before it can be sampled."""
    last = curve.points[-1][0]
    wins = [each for each in swaps if each.member == curve.name and each.event_number >= last and each.verdict]
    return [(wins[0].event_number, wins[0].verdict.evidence)] if wins and wins[0].verdict else []


def _draw_swaps(axes: Axes, swaps: Sequence[ModelUpdate]) -> None:
    width = 1.3 if len(swaps) <= NAMED_MAX else 0.8
    for swap in swaps:
        color, style = LINES[swap.kind]
        axes.axvline(swap.event_number, color=color, linestyle=style, linewidth=width, zorder=0.5)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _name_swaps(axes: Axes, swaps: Sequence[ModelUpdate]) -> None:
    """The version that went live, and who won, above the line; as high as it takes to cover no other."""
    if len(swaps) > NAMED_MAX:
        return
    left, right = axes.get_xlim()
    ends: list[float] = []  # of the last text in each row, from the lowest
    for swap in swaps:
        text = f"v{swap.version} {swap.member}" if len(swaps) <= WINNERS_MAX else f"v{swap.version}"
        at = (swap.event_number - left) / (right - left)
        row = next((n for n, end in enumerate(ends) if end < at), len(ends))
        ends[row : row + 1] = [at + 0.02 + CHARACTER * len(text)]
        axes.annotate(
            text,
            (swap.event_number, 1.01 + ROW * row),
            xycoords=("data", "axes fraction"),
            ha="left",
            va="bottom",
            fontsize="small",
            color=LINES[swap.kind][0],
        )


def _marker(label: str, *, face: str) -> Line2D:
    return Line2D([], [], linestyle="", marker="v", markeredgecolor=BLACK, markerfacecolor=face, label=label)


def _legend(axes: Axes, handles: Sequence[Any]) -> None:
    """Beside the axes, where it covers nothing."""
    if handles:
        axes.legend(handles=list(handles), loc="upper left", bbox_to_anchor=(1.005, 1), frameon=False, fontsize="small")
