"""`anabranch check`: whether a configuration can be used, without starting anything."""

from pathlib import Path
from typing import Annotated

import typer


def check(config: Annotated[Path, typer.Argument(help="the TOML file of the model")]) -> None:
    """Read the configuration, build the model, and see that its state can be checkpointed faithfully.

    Nothing is connected to: of [kafka], librdkafka says whether it knows the settings.
    """
    from commands import surroundings, wiring

    settings = wiring.settings_at(config)
    with wiring.naming(config):
        lane = wiring.fitting(settings)
        surroundings.look(settings)
    metrics = ", ".join(lane.scores.values())
    print(f"{config}: good. {settings.name}: {settings.task}, loss {lane.task.loss_name}, scores {metrics}")
    print(f"detectors: {', '.join(settings.detectors) or 'off'}; model: {lane.champion.model}")
