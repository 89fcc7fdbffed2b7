"""`anabranch followers`: who serves which version of a model, and how soon new ones are taken."""

import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from anabranch.messages import ModelAck, ModelUpdate

SILENT_S = 90.0
"""A follower that is there tells so every thirty seconds."""

GONE_S = 3600.0


def followers(
    config: Annotated[Path, typer.Argument(help="the model's TOML file")],
    partition: Annotated[int | None, typer.Option(help='the partition of the model, with scope = "partition"')] = None,
    json: Annotated[bool, typer.Option(help="print one JSON object")] = False,
) -> None:
    """Show who serves which version of a model, how far behind, and how soon new versions are taken.

    Scorers tell it by themselves, other followers with `follow(…, ack_as="a name")`. One that has said nothing for a
    minute and a half is silent; an hour later it is left out, as one that has ended well.
    """
    import orjson
    from rich.console import Console

    from anabranch.kafka import updates
    from commands import wiring

    settings = wiring.settings_at(config)
    scope, topics = wiring.scope_of(settings, partition), settings.topics
    kafka, name = settings.kafka, settings.name
    announced = updates.all_updates(kafka, topic=topics.name("updates"), model=name, scope=scope)
    told = updates.acknowledged(kafka, topic=topics.name("acks"), model=name, scope=scope)
    found = seen(told, announced, now_ts=time.time())
    if json:
        print(orjson.dumps(found).decode())
    else:
        _show(found, Console(), name=name)


def seen(told: "list[ModelAck]", announced: "list[ModelUpdate]", *, now_ts: float) -> dict[str, Any]:
    """What is to be shown.

    Args:
        told: what followers have said, oldest first.
        announced: the updates, oldest first.
    """
    from anabranch.candidates import order

    announced = [each for each in announced if each.kind != "canary"]  # what followers tell is what most keys have
    places = [order(each) for each in announced]
    last = {each.follower: each for each in told}
    rows = [_row(each, places, now_ts) for _, each in sorted(last.items()) if not _is_gone(each, now_ts)]
    taken = [each.taken_s for each in _first_told(told) if each.taken_s is not None]
    return {
        "champion": announced[-1].version if announced else 0,
        "followers": rows,
        "taken": {"updates": len(taken), "p50_s": _quantile(taken, 50), "p99_s": _quantile(taken, 99)},
    }


def _is_gone(ack: "ModelAck", now_ts: float) -> bool:
    return ack.left or now_ts - ack.ts > GONE_S


def _first_told(told: "list[ModelAck]") -> "list[ModelAck]":
    """Of each version at each follower the first word: later ones repeat it."""
    first: dict[tuple[str, int, int], ModelAck] = {}
    for each in told:
        first.setdefault((each.follower, each.epoch, each.seq), each)
    return list(first.values())


def _row(ack: "ModelAck", places: list[tuple[int, int]], now_ts: float) -> dict[str, Any]:
    behind = sum((ack.epoch, ack.seq) < each for each in places)
    silent_s = now_ts - ack.ts
    why = f"silent for {silent_s:.0f} s" if silent_s > SILENT_S else ack.last_refusal if behind else ""
    return {
        "follower": ack.follower,
        "version": ack.version,
        "behind": behind,
        "seen_s": round(silent_s, 1),
        "taken_s": ack.taken_s,
        "refused": ack.refusals,
        "why": why,
    }


def _quantile(values: list[float], percent: int) -> float | None:
    if len(values) < 2:
        return values[0] if values else None
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _show(found: dict[str, Any], console: Any, *, name: str) -> None:
    from rich.table import Table

    table = Table(title=f"{name}: version {found['champion']} is announced", title_justify="left")
    for head in ("follower", "version", "versions behind", "seen, s ago", "took, s", "refused", "why"):
        table.add_column(head, overflow="fold")
    for row in found["followers"]:
        took = "" if row["taken_s"] is None else f"{row['taken_s']:.2f}"
        refused = ", ".join(f"{count} {check}" for check, count in row["refused"].items())
        told = (row["follower"], row["version"], row["behind"], row["seen_s"], took, refused, row["why"])
        table.add_row(*map(str, told))
    console.print(table)
    if not found["followers"]:
        console.print('nobody has told that it follows: scorers do, others with follow(…, ack_as="a name")')
    taken = found["taken"]
    if taken["updates"]:
        console.print(
            f"from the announcement to its use: p50 {taken['p50_s']:.2f} s, p99 {taken['p99_s']:.2f} s, "
            f"{taken['updates']} updates"
        )
