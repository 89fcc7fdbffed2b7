"""`anabranch state`: what the last checkpoint holds."""

from pathlib import Path
from typing import Annotated

import typer


def state(
    config: Annotated[Path, typer.Argument(help="the TOML file of the model")],
    partition: Annotated[int | None, typer.Option(help='which model, with scope = "partition"')] = None,
    json: Annotated[bool, typer.Option(help="print one JSON object")] = False,
) -> None:
    """Show the last checkpoint in the store: events, positions, scores, and the learning state's hash."""
    import orjson

    from commands import wiring
    from consumers.checkpoints import store_of
    from consumers.inspection import inspect

    settings = wiring.settings_at(config)
    scope = wiring.scope_of(settings, partition)
    found = inspect(settings, store_of(settings, scope), scope=scope)
    if json:
        print(orjson.dumps(found, option=orjson.OPT_NON_STR_KEYS).decode())
        return
    for name, value in found.items():
        print(f"{name}: {value}")
