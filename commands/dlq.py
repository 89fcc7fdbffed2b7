"""`anabranch dlq`: dead letters by reason, time and place; and those that are mended, published once more."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from config.settings import Settings
    from consumers.redrive import Redriven
    from operations.letters import Choice, Letter

app = typer.Typer(no_args_is_help=True, help="Dead letters: records that were refused, and why.")

CONFIG = Annotated[Path, typer.Argument(help="the model's TOML file")]
STAGE = Annotated[list[str] | None, typer.Option(help="decode, schema, limits, type, label, time or learn; repeatable")]
REASON = Annotated[str, typer.Option(help="a part of the reason")]
SINCE = Annotated[str | None, typer.Option(help="written from then on: RFC 3339, as 2026-11-27T02:00:00Z")]
UNTIL = Annotated[str | None, typer.Option(help="written before then")]
TOPIC = Annotated[str, typer.Option(help="the topic of the record that was refused, including its prefix")]
PARTITION = Annotated[int | None, typer.Option(help="the partition of that record")]
OFFSETS = Annotated[str | None, typer.Option(help="its offset: 17, 100-200, or 100-")]
JSON = Annotated[bool, typer.Option("--json", help="print JSON: an object, or one a line")]


@app.command("list")
def listing(
    config: CONFIG,
    stage: STAGE = None,
    reason: REASON = "",
    since: SINCE = None,
    until: UNTIL = None,
    topic: TOPIC = "",
    partition: PARTITION = None,
    offsets: OFFSETS = None,
    newest: Annotated[int, typer.Option(min=1, help="so many of the newest")] = 50,
    json: JSON = False,
) -> None:
    """List dead letters with their reasons, in the order of the records."""
    chosen = _chosen(stage, reason, since, until, topic, partition, offsets)
    _, letters = _letters(config, chosen)
    shown = sorted(sorted(letters, key=lambda each: each.at_s)[-newest:], key=lambda each: each.place)
    for each in shown:
        _print_letter(each, json=json)
    if not json:
        print(f"{len(shown)} of {len(letters)} dead letters")


@app.command()
def show(
    config: CONFIG,
    place: Annotated[str, typer.Argument(help="of the record, as `list` prints it: TOPIC/PARTITION/OFFSET")],
) -> None:
    """Print a dead letter, and the bytes of its record as far as they were kept."""
    from anabranch.errors import ConfigError
    from operations.alerts.sinks import moment
    from operations.letters import Choice

    _, letters = _letters(config, Choice())
    found = [each for each in letters if _place(each) == place]
    if not found:
        raise ConfigError(f"no dead letter of {place}; `anabranch dlq list {config}` shows which there are")
    (letter,) = found
    kept = "" if letter.is_whole else f", of which {len(letter.value):,} were kept"
    kept = {"": kept, "values": "; redacted ([privacy])", "all": ", all taken out ([privacy])"}[letter.told.redacted]
    print(f"{place}: refused at {moment(letter.at_s)}, stage {letter.told.stage}\n{letter.told.reason}")
    print(f"{letter.told.value_bytes:,} bytes{kept}:\n{letter.value.decode(errors='backslashreplace')}")


@app.command()
def stats(
    config: CONFIG,
    stage: STAGE = None,
    reason: REASON = "",
    since: SINCE = None,
    until: UNTIL = None,
    topic: TOPIC = "",
    partition: PARTITION = None,
    offsets: OFFSETS = None,
    json: JSON = False,
) -> None:
    """Count dead letters by reason and hour. Reasons that differ only in what they quote, or in numbers, are one."""
    import orjson

    from operations.alerts.sinks import moment
    from operations.letters import statistics

    _, letters = _letters(config, _chosen(stage, reason, since, until, topic, partition, offsets))
    found = statistics(letters)
    if json:
        print(orjson.dumps(found).decode())
        return
    print(f"{found['letters']} dead letters")
    for each in found["by_reason"]:
        print(f"{each['letters']:>8}  {each['stage']}: {each['reason']}")
    for each in found["by_hour"]:
        print(f"{each['letters']:>8}  in the hour from {moment(each['start'])}")
    for place, count in found["by_partition"].items():
        print(f"{count:>8}  of {place}")


@app.command()
def redrive(
    config: CONFIG,
    why: Annotated[str, typer.Option("--why", help="what was mended; it is told in the headers of the records")],
    stage: STAGE = None,
    reason: REASON = "",
    since: SINCE = None,
    until: UNTIL = None,
    topic: TOPIC = "",
    partition: PARTITION = None,
    offsets: OFFSETS = None,
    send: Annotated[bool, typer.Option("--send", help="publish them; without it nothing is published")] = False,
    by: Annotated[str | None, typer.Option(help="who does it; default: the current user")] = None,
    rate: Annotated[float, typer.Option(min=0.1, help="records a second")] = 100.0,
    at_most: Annotated[int, typer.Option(min=1, help="so many of the oldest")] = 10_000,
    json: JSON = False,
) -> None:
    """Publish refused records once more, after what they were refused for is mended; without --send only say which.

    Each is checked with this configuration first; those that would be refused again are left out. A record goes to its
    partition with its key and headers, and headers that say where it came from, by whom and why. An event that was
    learned meanwhile is refused by its id. Restart the learner with the mended configuration before --send.
    """
    import getpass

    from anabranch.kafka import producer
    from consumers import redrive as redriving
    from consumers.kafka.sink import KafkaSink

    settings, letters = _letters(config, _chosen(stage, reason, since, until, topic, partition, offsets))
    planned = _plan(settings, letters[:at_most])
    for each in planned:
        _print_planned(each, json=json)
    good = sum(not each.fault for each in planned)
    _tell(f"{len(planned)} of {len(letters)} chosen: {good} can be published, {len(planned) - good} cannot")
    if not send:
        _tell(f"nothing was published: {'say --send' if good else 'first mend what they are refused for'}")
        return
    sink = KafkaSink(producer(settings.kafka))
    count = redriving.send(planned, sink, by=by or getpass.getuser(), why=why, rate=rate)
    _tell(f"{count} published")
    if count:
        _recorded(config, f"{count} of {len(letters)} dead letters published once more", why=why, by=by)


def _recorded(config: Path, what: str, *, why: str, by: str | None) -> None:
    """Tell the learner, which records it in the audit."""
    import getpass
    import time
    import uuid

    from anabranch.messages import Act
    from commands.retrain import send

    def told(name: str) -> Act:
        return Act(
            id=uuid.uuid4().hex,
            model=name,
            ts=time.time(),
            act="redrive",
            what=what,
            why=why,
            by=by or getpass.getuser(),
        )

    act, where, _ = send(str(config), told, topic=None, bootstrap=None)
    _tell(f"told to the learner for its audit: {act.id} on {where}")


# ── What is chosen, and what is printed ─────────────────────────────────────────────────────────────────────────────


def _chosen(
    stage: list[str] | None,
    reason: str,
    since: str | None,
    until: str | None,
    topic: str,
    partition: int | None,
    offsets: str | None,
) -> "Choice":
    """The options as a choice.

    Raises:
        ConfigError: one of them is no stage, no moment, or no offset.
    """
    from typing import get_args

    from anabranch.errors import ConfigError, did_you_mean
    from anabranch.messages import DeadLetter
    from commands import wiring
    from operations import letters

    known = get_args(DeadLetter.model_fields["stage"].annotation)
    listed = f"one of {', '.join(known)}"
    for each in stage or ():
        if each not in known:
            raise ConfigError(f"--stage {each}: {did_you_mean(each, known, instead=listed)}")
    first, last = (0, None) if offsets is None else letters.offsets(offsets)
    return letters.Choice(
        stages=tuple(stage or ()),
        reason=reason,
        since_s=None if since is None else wiring.moment_of(since, option="--since"),
        until_s=None if until is None else wiring.moment_of(until, option="--until"),
        topic=topic,
        partition=partition,
        first_offset=first,
        last_offset=last,
    )


def _letters(config: Path, chosen: "Choice") -> "tuple[Settings, list[Letter]]":
    from config import loading
    from operations import letters

    settings = loading.load(config)
    found = letters.read(settings.kafka, topic=settings.topics.name("dead_letters"), model=settings.name)
    return settings, [each for each in found if chosen.takes(each)]


def _plan(settings: "Settings", letters: "list[Letter]") -> "list[Redriven]":
    import time

    from consumers import redrive
    from consumers.kafka.reader import records_at

    originals = records_at(settings.kafka, (each.place for each in letters))
    return list(redrive.plan((each.told for each in letters), originals, settings, now_s=time.time()))


def _place(letter: "Letter") -> str:
    return "/".join(map(str, letter.place))


def _print_letter(letter: "Letter", *, json: bool) -> None:
    import orjson

    from operations.alerts.sinks import moment

    if json:
        told: dict[str, Any] = {**letter.told.model_dump(mode="json"), "at_s": letter.at_s}
        print(orjson.dumps(told).decode())
    else:
        print(f"{moment(letter.at_s)}  {_place(letter)}  {letter.told.stage}: {letter.told.reason}")


def _print_planned(each: "Redriven", *, json: bool) -> None:
    import orjson

    place = f"{each.letter.topic}/{each.letter.partition}/{each.letter.offset}"
    if json:
        print(orjson.dumps({"record": place, "fault": each.fault, "note": each.note}).decode())
    else:
        print(f"{place}: {f'left out: {each.fault}' if each.fault else each.note or 'can be published'}")


def _tell(text: str) -> None:
    # Not on standard output, which --json leaves to the records.
    typer.echo(text, err=True)
