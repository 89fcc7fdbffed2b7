"""`anabranch audit`: what changed, who asked for it and why, as a file that others can verify; who answered when."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True, help="What changed of a model, by whom and why, in a file that can be verified."
)

CONFIG = Annotated[Path, typer.Argument(help="the model's TOML file")]


@app.command()
def at(
    config: CONFIG,
    moment: Annotated[str, typer.Argument(help="RFC 3339, as 2026-11-27T02:00:00Z")],
    partition: Annotated[int | None, typer.Option(help='the partition of the model, with scope = "partition"')] = None,
) -> None:
    """Say which version was announced as the champion at a moment, since when, by whom and why."""
    from anabranch.kafka import updates
    from commands import wiring
    from config import loading
    from operations.alerts.sinks import moment as told
    from operations.registry import changes

    settings, at_s = loading.load(config), wiring.moment_of(moment)
    scope, topic = wiring.scope_of(settings, partition), settings.topics.name("updates")
    every = changes(updates.all_updates(settings.kafka, topic=topic, model=settings.name, scope=scope))
    before = [each for each in every if each.alias == "champion" and each.ts <= at_s]
    if not before or before[-1].after is None:
        print(f"no version of {settings.name} was announced for all keys at {moment}")
        return
    last = before[-1]
    by = last.by or "the learner"
    print(f"models:/{settings.name}/{last.after} since {told(last.ts)} ({last.kind}), {by}: {last.reason}")


@app.command()
def export(config: CONFIG, file: Annotated[Path, typer.Argument(help="the file; it must not be there yet")]) -> None:
    """Write what the topics hold of updates, requests, answers, signals, alerts and steps to a file, chained by hash.

    Keep the head that is printed elsewhere: with it anybody can verify later that the file was not changed.
    """
    import time

    import orjson

    from anabranch.errors import ConfigError
    from config import loading
    from operations import audit

    settings = loading.load(config)
    lines = list(audit.written(audit.records(settings.kafka, settings), model=settings.name, made_ts=time.time()))
    try:
        with file.open("xb") as out:
            out.writelines(lines)
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror}") from error
    last = orjson.loads(lines[-1])
    print(f"{file}: {last['records']} records, head {last['head']}")


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="a file that `export` has written")],
    head: Annotated[str, typer.Option(help="the head that `export` printed, as it was kept elsewhere")] = "",
    trust: Annotated[list[str] | None, typer.Option(help="a public key; one must have signed each update")] = None,
) -> None:
    """See that a file is as it was written; no broker is needed. Exit code 1: it is not."""
    from anabranch.errors import ConfigError
    from anabranch.signatures import TrustedKeys
    from operations import audit

    try:
        with file.open("rb") as lines:
            found = audit.verified(lines, keys=None if trust is None else TrustedKeys(trust))
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
    if head and head != found.head:
        raise audit.AuditError(f"{file}: its head is {found.head}, and not {head}: it is another file")
    signed = "" if trust is None else f", {found.signed} updates signed by keys that are trusted"
    print(f"{file}: {found.model}, {found.records} records as they were written{signed}; head {found.head}")
