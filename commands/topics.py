"""`anabranch topics create`: the topics of a model, with the settings they need."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="The topics of a model.", no_args_is_help=True)


@app.callback()
def topics() -> None:
    """The topics of a model."""


@app.command()
def create(config: Annotated[Path, typer.Argument(help="the model's TOML file")]) -> None:
    """Create the topics that do not exist yet; existing ones are left unchanged."""
    from anabranch.kafka import reach
    from config import loading
    from consumers.kafka.topics import create as create_topics

    settings = loading.load(config)
    reach(settings.kafka)  # says so if nobody answers
    for name, answer in create_topics(settings).items():
        print(f"{name}: {answer}")
