"""`anabranch follow`: watches a model's updates and loads each, as a scoring service would."""

import threading
from pathlib import Path
from typing import Annotated

import typer


def follow(
    name: Annotated[str, typer.Argument(help="the model's name")],
    config: Annotated[Path | None, typer.Option(help="take the brokers from this configuration")] = None,
    bootstrap: Annotated[str | None, typer.Option(help="the brokers; also ANABRANCH_BOOTSTRAP")] = None,
    topic: Annotated[str, typer.Option(help="the topic of the updates, with its prefix")] = "model-updates",
    partition: Annotated[int | None, typer.Option(help='which model, with scope = "partition"')] = None,
    once: Annotated[bool, typer.Option(help="stop after the first model")] = False,
    timeout: Annotated[float | None, typer.Option(help="seconds to wait for the first model")] = None,
    json: Annotated[bool, typer.Option(help="print each update as a line of JSON")] = False,
) -> None:
    """Load each champion as it is announced: bytes, digest and canary predictions are checked first."""
    from anabranch import follower
    from anabranch.messages import ModelUpdate
    from commands import wiring

    def show(update: ModelUpdate) -> None:
        if json:
            wiring.print_message(update)
        else:
            size = update.artifact.size_bytes / 1024
            print(
                f"{update.model} version {update.version} ({update.kind}, {size:.0f} KiB): {update.reason}", flush=True
            )

    trusted: tuple[str, ...] = ()
    if config is not None:
        settings = wiring.settings_at(config)
        topic, trusted = settings.topics.name("updates"), settings.model.trusted
    scope = "global" if partition is None else f"p{partition}"
    kafka = wiring.kafka_options(config, bootstrap)
    with follower.follow(name, kafka=kafka, topic=topic, scope=scope, trusted=trusted, on_update=show) as model:
        typer.echo(f"waiting for models of {name} on {topic} at {kafka['bootstrap.servers']}", err=True)
        model.wait(timeout_s=timeout)
        while not once:
            threading.Event().wait(3600)
