"""What came of a run of the demo: one object of plain values, and the same as tables."""

from typing import Any

from rich.console import Console
from rich.table import Table

from anabranch.messages import ModelUpdate
from commands.demo.story import Story
from commands.demo.stream import Change


def summary(story: Story, *, without_adaptation: dict[str, float], seconds: float) -> dict[str, Any]:
    """Everything of interest, as JSON can hold it."""
    changes = [_change(story, change) for change in story.stream.changes]
    answers = {change["version"] for change in changes}
    others = [update for update in story.updates if update.kind != "first" and update.version not in answers]
    return {
        "changes": changes,
        "other_swaps": [_swap(story, update) for update in others],
        "signals": [{"offset": each.offset, "detector": each.detector} for each in story.signals],
        **_figures(story.report.scores if story.report else {}),
        "without_adaptation": _figures(without_adaptation),
        "events": story.learned,
        "scored_by_follower": story.scored,
        "dead_letters": len(story.dead_letters),
        "seconds": round(seconds, 1),
    }


def _figures(scores: dict[str, float]) -> dict[str, float]:
    return {"accuracy": round(scores["accuracy"], 4), "pr_auc": round(scores["rollingprauc"], 4)}


def _change(story: Story, change: Change) -> dict[str, Any]:
    """A planted change and what answered it."""
    window = story.window(change)
    signal = next((each for each in story.signals if each.offset in window), None)
    update = next((each for each in story.updates if each.offset in window and _answers(each, change)), None)
    return {
        "offset": change.offset,
        "what": change.words,
        "detected_offset": signal.offset if signal else None,
        "delay_events": signal.offset - change.offset if signal else None,
        "detector": signal.detector if signal else None,
        **(_swap(story, update) if update else _NO_SWAP),
    }


def _answers(update: ModelUpdate, change: Change) -> bool:
    """Whether the winner was recruited after the change: an older recruit that wins now has learned of it by chance."""
    ranges = update.trained_on.ranges
    return update.kind == "swap" and bool(ranges) and ranges[-1].end > change.offset


def _swap(story: Story, update: ModelUpdate) -> dict[str, Any]:
    verdict, ranges = update.verdict, update.trained_on.ranges
    seconds = story.seconds_to_follower(update)
    return {
        "swap_offset": update.offset,
        "version": update.version,
        "kind": update.kind,
        "member": update.member,
        "training_range": [ranges[0].start, ranges[-1].end] if ranges else None,
        "trained_events": update.trained_on.events,
        "arena_events": verdict.events if verdict else None,
        "gain": [round(each, 4) for each in (verdict.low, verdict.gain, verdict.high)] if verdict else None,
        "follower_seconds": None if seconds is None else round(seconds, 3),
    }


_NO_SWAP: dict[str, Any] = dict.fromkeys(
    (
        "swap_offset",
        "version",
        "kind",
        "member",
        "training_range",
        "trained_events",
        "arena_events",
        "gain",
        "follower_seconds",
    )
)


# ── for people ──────────────────────────────────────────────────────────────────────────────────────────────────────


def show(result: dict[str, Any], console: Console) -> None:
    """The result as tables."""
    console.print(_changes(result["changes"]))
    missed = [change for change in result["changes"] if change["swap_offset"] is None]
    if missed:
        named = ", ".join(f"{change['offset']:,}" for change in missed)
        console.print(f"[bold red]no swap answered the change at {named}[/]")
    # A refresh has nothing to tell one by one, and there may be a hundred.
    refreshes = [swap for swap in result["other_swaps"] if swap["kind"] == "refresh"]
    if refreshes:
        console.print(f"also: {len(refreshes)} refreshes, since the copy that the follower had was losing")
    for swap in (each for each in result["other_swaps"] if each["kind"] != "refresh"):
        console.print(
            f"also: {swap['kind']} to version {swap['version']} at {swap['swap_offset']:,}, {swap['member']},"
            f" gain {_gain(swap['gain'])}"
        )
    console.print(_comparison(result))
    console.print(
        f"{result['events']:,} events learned, {result['scored_by_follower']:,} scored by the follower,"
        f" {result['dead_letters']} bad records set aside as dead letters, {result['seconds']:.0f} s in all"
    )


def _changes(changes: list[dict[str, Any]]) -> Table:
    """One column a change: the rows fit any terminal."""
    table = Table("", *(f"{n}: {change['what']}" for n, change in enumerate(changes, 1)), title="planted changes")
    rows = {
        "from offset": lambda c: f"{c['offset']:,}",
        "drift signal": lambda c: f"{c['detector']}, {c['delay_events']:,} events later" if c["detector"] else "none",
        "swap": lambda c: "[bold red]none[/]" if c["swap_offset"] is None else _swapped(c),
        "trained on offsets": _trained_on,
        "events learned with the gap": lambda c: _dash(c["trained_events"], lambda n: f"{n:,}"),
        "events in the arena": lambda c: _dash(c["arena_events"], lambda n: f"{n:,}"),
        "gain (Brier loss)": lambda c: _dash(c["gain"], _gain),
        "announced to follower": lambda c: _dash(c["follower_seconds"], lambda s: f"{s:.2f} s"),
    }
    for name, cell in rows.items():
        table.add_row(name, *map(cell, changes))
    return table


def _swapped(change: dict[str, Any]) -> str:
    return f"version {change['version']} at {change['swap_offset']:,}"


def _trained_on(change: dict[str, Any]) -> str:
    if change["training_range"] is None:
        return "–"
    first, last = change["training_range"]
    return f"{first:,} to {last:,}" if change["trained_events"] else f"none: fresh from {first:,} on"


def _dash(value: Any, words: Any) -> str:
    return "–" if value is None else words(value)


def _gain(gain: list[float] | None) -> str:
    if gain is None:
        return "–"
    low, mean, high = gain
    return f"{mean:+z.3f} \\[{low:+z.3f}, {high:+z.3f}]"


def _comparison(result: dict[str, Any]) -> Table:
    table = Table("", "accuracy", "PR-AUC", title="the whole run, on every prediction as it was made")
    table.add_row("with Anabranch", f"[bold]{result['accuracy']:.4f}[/]", f"[bold]{result['pr_auc']:.4f}[/]")
    plain = result["without_adaptation"]
    table.add_row("the same model, learning but never exchanged", f"{plain['accuracy']:.4f}", f"{plain['pr_auc']:.4f}")
    return table
