"""`anabranch forget`: what there is of one entity and what ends it; tombstones; and the model without it."""

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from config.settings import Settings
    from consumers.forgetting import Traces
    from consumers.kafka.traces import Where

STILL = (
    "A model holds what it has learned in numbers that all events have moved: that its bytes do not name somebody does "
    "not mean that it was not learned of them. Only a model that was learned without their records was not."
)
COPIES = (
    "Not looked at: followers, which keep a model in memory until a newer one is announced; what other systems have "
    "read of these topics; copies and mirrors of brokers and stores; logs."
)


def forget(
    config: Annotated[Path, typer.Argument(help="the model's TOML file")],
    entity: Annotated[str, typer.Option(help="who: the Kafka key of their events, or the value of --field")],
    field: Annotated[str, typer.Option(help="the feature that holds it; without it the Kafka key does")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="do it; without it nothing is written")] = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="with --yes: relearn the log without their records, and announce that")
    ] = False,
    versions: Annotated[
        bool, typer.Option("--versions", help="with --yes: also end the bytes of older versions that name them")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="only say where their name still stands, anywhere; exit code 1 if it does")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Say what there is of a customer, or whatever events are about, and what ends it; with --yes, end what can be.

    Topics, checkpoints and published models are looked at. Where a topic is compacted, --yes writes tombstones under
    the keys that are theirs alone; what only retention ends is told with the day on which it does. With --rebuild the
    model is learned again without their records, as `anabranch rebuild --without` does: it takes over from a running
    learner. With --versions the published versions that name them are ended, but for the one in service; they can be
    neither restored nor reproduced after that. See that producers send no more of them first; docs/PRIVACY.md says what
    is promised.

    The entity is given as producers write it, also where it is behind a pseudonym.

    With --check, after all of that: every record of every topic, all checkpoints and published models are read byte for
    byte. Exit code 1: their name stands somewhere yet; each such place is told, and until when it is kept there.
    """
    import orjson

    from anabranch.errors import ConfigError
    from commands import wiring
    from commands.rebuild import relearn
    from consumers.forgetting import WORD_MIN, Entity
    from consumers.kafka import traces as on_kafka

    if check and yes:
        raise ConfigError("--check only looks, and --yes does what is to be done: say --check once that is done")
    if (rebuild or versions) and not yes:
        raise ConfigError("--rebuild and --versions change what is served: look first, and then say --yes as well")
    settings = wiring.settings_at(config)
    if field in settings.privacy.hidden:
        typer.echo(f"{field!r} is hidden: only the events topic, and dead letters of before, can hold it", err=True)
    if len(entity) < WORD_MIN:
        typer.echo(f"{entity!r} is too short to be looked for in models and checkpoints", err=True)
    traces = on_kafka.read(settings, Entity(entity, field))
    if check:
        _check(settings, traces, json=json)
        return
    found = on_kafka.survey(settings, traces)
    stretches = traces.stretches()
    records = sum(each.end - each.start for each in stretches)
    buried = on_kafka.bury(settings, traces) if yes else 0
    if json:
        told = {"found": [each._asdict() for each in found], "records": records, "tombstones": buried, "done": yes}
        print(orjson.dumps(told).decode())
    else:
        _print(found, said=f"{settings.name}, by {traces.entity.in_words.removeprefix('by ')}")
        _print_end(records, buried, yes=yes, rebuild=rebuild)
    if rebuild and records:
        relearn(settings, without=stretches, json=json)
    if versions:
        ended, left = on_kafka.bury_versions(settings, traces)
        typer.echo(f"{ended} older versions ended; {left} in service still name them", err=True)


def _check(settings: "Settings", traces: "Traces", *, json: bool) -> None:
    import orjson

    from consumers.kafka.remains import remains

    found = remains(settings, traces)
    if json:
        print(orjson.dumps({"found": [each._asdict() for each in found]}).decode())
    else:
        _print(found, said=f"{settings.name}, byte for byte")
        print(textwrap.fill(COPIES, width=100))
    if found:
        raise typer.Exit(1)


def _print(found: "list[Where]", *, said: str) -> None:
    if not found:
        print(f"{said}: nothing is found")
        return
    print(f"{said}:")
    width = max(len(each.place) for each in found)
    for each in found:
        print(f"  {each.place:{width}}  {each.number:>7,} {each.what}\n  {'':{width}}          ends by: {each.ends}")


def _print_end(records: int, buried: int, *, yes: bool, rebuild: bool) -> None:
    if yes:
        print(f"{buried} tombstones written")
    if not rebuild and records:
        print(f"A rebuild without them leaves out {records:,} records of events and labels: --yes --rebuild")
    print("\n".join(textwrap.fill(each, width=100) for each in (STILL, COPIES)))
    if not yes:
        print("Nothing was written: say --yes")
