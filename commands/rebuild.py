"""`anabranch rebuild`: the model once more, from the log."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from consumers.loop import LearningLoop


def rebuild(
    config: Annotated[Path, typer.Argument(help="the TOML file of the model")],
    json: Annotated[bool, typer.Option(help="print every message as a line of JSON")] = False,
) -> None:
    """Learn the whole log again: after an update of River, a lost checkpoint, or a change of the model.

    A running learner is taken over and leaves with exit code 75. Followers keep their champion until the new one has
    learned what is in the log now; it is announced under the next epoch, and version numbers go on. When that is done,
    or when it is stopped before, `anabranch learn` goes on from there.
    """
    from commands import wiring
    from consumers.kafka import topics
    from consumers.owner import StartOptions
    from consumers.supervisor import supervise

    settings = wiring.settings_at(config)
    first = wiring.first_champion(settings)
    listener = wiring.print_message if json else None

    def make(stopping: threading.Event, before: "LearningLoop | None") -> "LearningLoop":
        if before is None:
            topics.see(settings)
        return wiring.learning_loop(
            settings, first=first, how=StartOptions(rebuild=True), before=before, listener=listener, stopping=stopping
        )

    loop = supervise(make, until_end=True)
    for owner in loop.owners.values():
        if not json:
            version = f"announced as version {owner.lane.version} of epoch {owner.epoch}"
            done = "not announced yet" if owner.rebuilding else version
            print(f"{owner.lane.events} events learned again; {done}; `anabranch learn` goes on from here")
