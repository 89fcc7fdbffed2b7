"""`anabranch watch`: what a model says on its topics, as it comes."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Which(StrEnum):
    """The topics that can be watched."""

    SIGNALS = "signals"
    ANSWERS = "answers"
    LIFECYCLE = "lifecycle"
    ALERTS = "alerts"
    DEAD_LETTERS = "dead-letters"
    REPORTS = "reports"
    UPDATES = "updates"


def _which(text: str) -> Which:
    """A topic by its name; or as `[topics]` has it, with a _.

    Raises:
        typer.BadParameter: there is no such topic.
    """
    from anabranch.errors import did_you_mean

    known = [str(each) for each in Which]
    named = text.replace("_", "-")
    if named not in known:
        listed = f"one of {', '.join(known)}"
        raise typer.BadParameter(f"{text!r} is no topic of a model: {did_you_mean(named, known, instead=listed)}")
    return Which(named)


TOPICS = f"[{'|'.join(Which)}]"


def watch(
    config: Annotated[Path, typer.Argument(help="the model's TOML file")],
    topic: Annotated[
        list[Which] | None,
        typer.Option(parser=_which, metavar=TOPICS, help="only this topic; may be repeated; default: all"),
    ] = None,
    since_start: Annotated[bool, typer.Option("--since-start", help="include existing messages")] = False,
    json: Annotated[bool, typer.Option("--json", help="print each message as a line of JSON")] = False,
) -> None:
    """Print the messages on the model's topics, from signals to updates, as they arrive, until Ctrl-C.

    With --since-start, existing messages come topic by topic, as the brokers send them.
    """
    from anabranch.kafka.tail import Tail
    from commands import wiring
    from commands.views import watch as watch_view
    from consumers.kafka.topics import require

    settings = wiring.settings_at(config)
    keys = watch_view.keys(settings.topics, topic or Which)
    require(settings.kafka, keys)
    try:
        with Tail(settings.kafka, list(keys), start="earliest" if since_start else "latest") as tail:
            typer.echo(f"watching {', '.join(keys)}; Ctrl-C ends it", err=True)
            while True:
                for at, message in watch_view.heard(tail.poll(0.5), keys, model=settings.name):
                    if json:
                        wiring.print_message(message)
                    else:
                        print(f"{at:%m-%d %H:%M:%S}  {watch_view.line(message)}", flush=True)
    # The way to end it, and no failure.
    except KeyboardInterrupt:
        pass
