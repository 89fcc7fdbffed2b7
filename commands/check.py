"""`anabranch check`: whether a configuration can be used, without starting anything."""

from pathlib import Path
from typing import Annotated

import typer


def check(config: Annotated[Path, typer.Argument(help="the TOML file of the model")]) -> None:
    """Read the configuration, build the model, and see that its state can be checkpointed faithfully.

    Nothing is connected to: of [kafka], librdkafka says whether it knows the settings.
    """
    from anabranch import statetree
    from anabranch.errors import ModelSpecError
    from commands import surroundings, wiring

    settings = wiring.settings_at(config)
    lane = wiring.lane_of(settings)
    model = lane.champion.model
    with wiring.naming(config):
        refused = statetree.refusals(model, trusted=settings.model.trusted)
        if refused:
            raise ModelSpecError("the model's state cannot be kept:\n" + "\n".join(refused))
        surroundings.look(settings)
    metrics = ", ".join(lane.scores.values())
    print(f"{config}: good. {settings.name}: {settings.task}, loss {lane.task.loss_name}, scores {metrics}")
    print(f"detectors: {', '.join(settings.detectors) or 'off'}; model: {model}")
