"""`anabranch keys`: the keys that updates are signed with."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="The keys that updates are signed with.", no_args_is_help=True)


@app.callback()
def keys() -> None:
    """The keys that updates are signed with."""


@app.command()
def new(
    file: Annotated[Path, typer.Argument(help="where the private key is to lie; it must not be there yet")],
) -> None:
    """Write a new private key that only you may read, and print its public key: a line that followers are given.

    The learner finds the file by `publish.key`. Keep it as you keep passwords: who has it can announce models.
    """
    from consumers import keys as files

    print(files.make(file).public)


@app.command()
def show(file: Annotated[Path, typer.Argument(help="a private key that `keys new` has written")]) -> None:
    """Print the public key once more: its id, a colon, and the key."""
    from consumers import keys as files

    print(files.read(file).public)
