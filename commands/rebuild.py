"""`anabranch rebuild`: the model once more, from the log."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from consumers.loop import LearningLoop


def rebuild(
    config: Annotated[Path, typer.Argument(help="the model's TOML file")],
    json: Annotated[bool, typer.Option(help="print every message as a line of JSON")] = False,
) -> None:
    """Relearn the whole log: after a River upgrade, a lost checkpoint, or a change of the model.

    It takes over from a running learner, which exits with code 75. Followers keep their champion until the new one has
    learned what is now in the log; it is announced under the next epoch, and version numbers continue. When that is
    done, or if it is stopped before, `anabranch learn` resumes from there.
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
            print(f"{owner.lane.events} events relearned; {done}; `anabranch learn` resumes from here")
