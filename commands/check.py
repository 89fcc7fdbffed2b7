"""`anabranch check`: whether a configuration can be used, without starting anything."""

from pathlib import Path
from typing import Annotated

import typer


def check(config: Annotated[Path, typer.Argument(help="the TOML file of the model")]) -> None:
    """Read the configuration, build the model, and see that its state can be checkpointed faithfully."""
    from anabranch import statetree
    from anabranch.errors import ModelSpecError
    from commands import wiring
    from detectors.watch import Watch
    from learners import catalogue
    from learners.lane import Lane

    settings = wiring.settings_at(config)
    model = catalogue.build(settings.model, seed=settings.seed)
    lane = Lane(settings, model, watch=Watch(settings))
    refused = statetree.refusals(model, trusted=settings.model.trusted)
    if refused:
        raise ModelSpecError("the model's state cannot be kept:\n" + "\n".join(refused))
    metrics = ", ".join(lane.scores.values())
    print(f"{config}: good. {settings.name}: {settings.task}, loss {lane.task.loss_name}, scores {metrics}")
    print(f"detectors: {', '.join(settings.detectors) or 'off'}; model: {model}")
