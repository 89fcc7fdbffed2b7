"""`anabranch check`: whether a configuration can be used, without starting anything."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from anabranch.settings import Settings


def check(
    config: Annotated[Path, typer.Argument(help="the TOML file of the model")],
    broker: Annotated[
        bool, typer.Option("--broker", help="ask the brokers as well: the topics and their settings")
    ] = False,
) -> None:
    """Read the configuration, build the model, and see that its state can be checkpointed faithfully.

    Without --broker nothing is connected to: of [kafka], librdkafka says whether it knows the settings.
    """
    from commands import surroundings, wiring

    settings = wiring.settings_at(config)
    with wiring.naming(config):
        lane = wiring.fitting(settings)
        surroundings.look(settings)
    metrics = ", ".join(lane.scores.values())
    print(f"{config}: good. {settings.name}: {settings.task}, loss {lane.task.loss_name}, scores {metrics}")
    if broker:
        _ask(settings)
    print(f"detectors: {', '.join(settings.detectors) or 'off'}; model: {lane.champion.model}")


def _ask(settings: "Settings") -> None:
    """What a learner would ask the brokers at its start, and more; all that is wrong is said before it ends."""
    from anabranch.kafka_topics import require
    from consumers import topic_faults, topics

    for fault in topic_faults.shortcomings(settings):
        typer.echo(f"warning: {fault}", err=True)
    needed = [settings.topics.name(which) for which in topics.LEARNED]
    require(settings.kafka, needed)
    for fault in topic_faults.transactions(settings):
        typer.echo(f"warning: {fault}", err=True)
    print(f"brokers: they answer, and all {len(needed)} topics are there")
