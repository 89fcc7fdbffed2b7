"""`anabranch state`: what the last checkpoint holds."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from config.settings import Settings
    from consumers.ports import Committed

BROKER_S = 2.0
"""How long to wait for a broker to report what is committed."""


def state(
    config: Annotated[Path, typer.Argument(help="the model's TOML file")],
    partition: Annotated[int | None, typer.Option(help='the partition of the model, with scope = "partition"')] = None,
    json: Annotated[bool, typer.Option(help="print one JSON object")] = False,
) -> None:
    """Show the checkpoint that a learner would resume from: events, positions, scores, and the learning state's hash.

    This is the one committed by the consumer group; if no broker responds, the newest in the store.
    """
    import orjson

    from commands import wiring
    from consumers.checkpoint import inspect
    from consumers.stores import store_of

    settings = wiring.settings_at(config)
    scope = wiring.scope_of(settings, partition)
    committed, named_by = committed_of(settings, partition)
    # It only looks: a store that is not there must not come into being by that.
    store = store_of(settings, scope, make=False)
    found = inspect(settings, store, scope=scope, committed=committed, named_by=named_by)
    if json:
        print(orjson.dumps(found, option=orjson.OPT_NON_STR_KEYS).decode())
        return
    for name, value in found.items():
        print(f"{name}: {value}")


def committed_of(settings: "Settings", partition: int | None) -> "tuple[Committed | None, str]":
    """What the group holds for a model; or None, and what names its newest checkpoint instead."""
    import threading

    from anabranch.errors import KafkaRefused, KafkaUnavailable
    from anabranch.events import Partition
    from anabranch.kafka import admin, partitions, reach
    from consumers.kafka.group import Group, newest_of

    try:
        # A short question first, so that brokers that are away are given up after two seconds.
        reach(settings.kafka, timeout_s=BROKER_S)
        group = Group(settings, stopping=threading.Event())
        events = [Partition(group.topic, each) for each in partitions(settings.kafka, group.topic)]
        known = group.committed(admin(settings.kafka), events, timeout_s=BROKER_S, asked_max=1)
    except KafkaUnavailable:
        return None, "the store's manifest: no broker answers that knows what is committed"
    except KafkaRefused as error:
        return None, f"the store's manifest: {error}"
    return newest_of(sorted(known) if partition is None else [Partition(group.topic, partition)], known), ""
