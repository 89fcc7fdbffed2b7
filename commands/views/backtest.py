"""How a backtest looks to a person: progress while it runs, then tables."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from anabranch.messages import LabelsReport, Message, ModelReport, SegmentsReport
from commands import views as figures
from evaluation.backtest import Backtest


@contextmanager
def progress(run: Backtest, *, quiet: bool) -> Iterator[None]:
    """Shows how far it is, on standard error."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield
        return
    with Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console) as bar:
        task = bar.add_task("starting")

        def note(message: Message) -> None:
            if isinstance(message, ModelReport):
                scores = figures.listed(message.windowed)
                bar.update(task, description=f"{message.event_number:,} events  version {message.version}  {scores}")

        run.listener = note
        yield


def show(result: dict[str, Any]) -> None:
    """The result as tables."""
    console = Console()
    scores = figures.listed(result["scores"])
    console.print(
        f"[bold]{result['model']}[/]: {result['events']:,} events, {result['events_per_second']:,.0f} a second"
    )
    console.print(scores)
    followers = result["followers"]
    as_followers = figures.listed(followers["scores"])
    late = f", {followers['late']:,} events late" if followers["late"] else ""
    console.print(
        f"followers{late}: {as_followers or 'not compared'}; {followers['announced']:,} announcements, "
        f"{followers['bytes'] / 1e6:,.2f} MB",
        soft_wrap=True,
    )
    counts = {"refused": "dead_letters", "duplicates": "duplicates", "without a label": "waiting_for_label"}
    if any(result[key] for key in counts.values()):
        console.print(", ".join(f"{name} {result[key]:,}" for name, key in counts.items() if result[key]))
    if result["labels"] is not None:
        console.print(figures.labels(LabelsReport.model_validate(result["labels"])), soft_wrap=True)
    if "segments" in result:
        console.print(figures.segments(SegmentsReport.model_validate(result["segments"])), soft_wrap=True, markup=False)
    for why, count in result["unusable_answers"].items():
        console.print(f"{count:,} answers could not be used, and count as wrong: {why}")
    signals = "; ".join(map(_signal, result["signals"]))
    console.print(f"signals: {signals or 'none'}")
    if result["swaps"]:
        console.print(_swaps(result["swaps"]))
    else:
        console.print("swaps: none")
    for line in _held_back(result["held_back"]):
        console.print(line, markup=False, soft_wrap=True)
    for each in result["fairness"]:
        console.print(_gaps(each))
    # Not wrapped, since a hash that is broken over two lines cannot be copied.
    console.print(f"learning state hash {result['state_hash']}", soft_wrap=True)


HELD_BACK_SHOWN = 3


def _held_back(steps: list[dict[str, Any]]) -> list[str]:
    """The last winners that did not go live, and why; a shadow may win again and again."""
    last = [f"offset {each['offset']:,}: {each['member']} {each['reason']}" for each in steps[-HELD_BACK_SHOWN:]]
    more = len(steps) - len(last)
    return [f"winners held back before: {more:,}", *last] if more else last


def _gaps(fairness: dict[str, Any]) -> Table:
    """How far groups lie apart, as counted at the end."""
    table = Table(f"gaps by {escape(fairness['feature'])}", "", "95 %", "from", "to", box=SIMPLE_HEAD, pad_edge=False)
    for gap in fairness["gaps"]:
        ends = f"{figures.figure(gap['low'])} to {figures.figure(gap['high'])}"
        table.add_row(
            gap["criterion"], figures.figure(gap["difference"]), ends, escape(gap["least"]), escape(gap["most"])
        )
    return table


def _signal(signal: dict[str, Any]) -> str:
    moved = f", moved {', '.join(signal['moved'])}" if "moved" in signal else ""
    triggered = " (triggered)" if signal["triggered"] else ""
    return f"{signal['detector']} at {signal['offset']:,}{triggered}{moved}"


def _swaps(swaps: list[dict[str, Any]]) -> Table:
    table = Table("offset", "version", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.add_column("winner", no_wrap=True)
    table.add_column("gain in the arena, %", no_wrap=True)
    table.add_column("events")
    table.add_column("trained on")
    for swap in swaps:
        low, gain, high = (100 * each for each in swap["gain"] or [0.0, 0.0, 0.0])
        table.add_row(
            f"{swap['offset']:,}",
            f"{swap['version']}, {swap['kind']}",
            swap["member"],
            f"{gain:+z.1f} \\[{low:z.1f}, {high:z.1f}]" if swap["gain"] else "–",
            f"{swap['arena_events']:,}" if swap["gain"] else "–",
            _trained_on(swap["trained_on"]),
        )
    return table


def _trained_on(trained_on: dict[str, Any]) -> str:
    """The offsets; who learned none of them before it entered began there."""
    ranges = trained_on["ranges"]
    if ranges and not trained_on["events"]:
        return f"fresh from {ranges[-1]['start']:,}"
    return ", ".join(f"{each['start']:,}–{each['end']:,}" for each in ranges) or "all before"
