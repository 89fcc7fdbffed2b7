"""`anabranch audit`: what changed, who asked for it and why, as a file that others can verify; who answered when."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from anabranch.chain import Head
    from anabranch.messages import AuditRecord
    from anabranch.scope import Scope
    from anabranch.signatures import TrustedKeys
    from config.settings import Settings

app = typer.Typer(
    no_args_is_help=True, help="What changed of a model, by whom and why, in a file that can be verified."
)

PARTITION = Annotated[int | None, typer.Option(help='the partition of the model, with scope = "partition"')]
CONFIG = Annotated[Path, typer.Argument(help="the model's TOML file")]


@app.command()
def at(
    config: CONFIG,
    moment: Annotated[str, typer.Argument(help="RFC 3339, as 2026-11-27T02:00:00Z")],
    partition: PARTITION = None,
) -> None:
    """Say which version was announced as the champion at a moment, since when, by whom and why."""
    from commands import wiring
    from config import loading
    from operations import audit
    from operations.alerts.sinks import moment as told

    settings, at_s = loading.load(config), wiring.moment_of(moment)
    scope = wiring.scope_of(settings, partition)
    topic = settings.topics.name("audit")
    found = audit.answering(audit.changes(settings.kafka, topic=topic, model=settings.name, scope=scope), at_s)
    if found is None:
        _at_before_the_chain(settings, scope, at_s, moment)
        return
    kind, name = found.details.get("kind", ""), f"models:/{settings.name}/{found.version}"
    answers = "answers nothing: it was retired" if kind == "retired" else f"announced as {kind}"
    print(f"{name} since {told(found.ts)} ({answers}), {found.who}: {found.why}")
    print(
        f"  record {found.number} of {topic}, envelope {found.envelope}, sha256 {found.details.get('sha256', 'none')}"
    )


def _at_before_the_chain(settings: "Settings", scope: "Scope", at_s: float, moment: str) -> None:
    """By the topic of updates, which is compacted: of a version only its last announcement is there."""
    from anabranch.kafka import updates
    from operations.alerts.sinks import moment as told
    from operations.registry import changes

    topic = settings.topics.name("updates")
    every = changes(updates.all_updates(settings.kafka, topic=topic, model=settings.name, scope=scope))
    before = [each for each in every if each.alias == "champion" and each.ts <= at_s]
    if not before or before[-1].after is None:
        print(f"no version of {settings.name} was announced for all keys at {moment}")
        return
    last = before[-1]
    by = last.by or "the learner"
    print(f"models:/{settings.name}/{last.after} since {told(last.ts)} ({last.kind}), {by}: {last.reason}")
    print(f"  by {topic}: the audit holds no announcement of before {moment}")


@app.command("list")
def listing(
    config: CONFIG,
    partition: PARTITION = None,
    kind: Annotated[list[str] | None, typer.Option(help="only changes of this kind, as `request`; repeatable")] = None,
    since: Annotated[str | None, typer.Option(help="RFC 3339: only what was recorded from then on")] = None,
    until: Annotated[str | None, typer.Option(help="RFC 3339: only what was recorded before")] = None,
    json: Annotated[bool, typer.Option("--json", help="print each record as a line of JSON")] = False,
) -> None:
    """List the changes of a model, oldest first: when, who, what, why, before and after."""
    from typing import get_args

    from anabranch.errors import ConfigError, did_you_mean
    from anabranch.messages import AuditKind, encode
    from commands import wiring
    from config import loading
    from operations import audit

    known = get_args(AuditKind)
    for named in kind or ():
        if named not in known:
            raise ConfigError(f"--kind {named}: {did_you_mean(named, known, instead='one of ' + ', '.join(known))}")
    settings = loading.load(config)
    scope = wiring.scope_of(settings, partition)
    first_s = 0.0 if since is None else wiring.moment_of(since, option="--since")
    last_s = float("inf") if until is None else wiring.moment_of(until, option="--until")
    records = audit.changes(settings.kafka, topic=settings.topics.name("audit"), model=settings.name, scope=scope)
    for each in records:
        if first_s <= each.ts < last_s and (not kind or each.kind in kind):
            print(encode(each).decode() if json else _in_words(each))


def _in_words(record: "AuditRecord") -> str:
    from operations.alerts.sinks import moment

    step = record.details.get("step") or record.details.get("kind") or record.details.get("act") or record.kind
    withheld = "" if record.done else f", not done: {record.details.get('withheld', '')}"
    change = f"{record.before or 'nothing'} → {record.after}" if record.before or record.after else ""
    what = record.kind if step == record.kind else f"{record.kind} {step}"
    return f"{record.number:>5}  {moment(record.ts)}  {what}: {record.who}: {record.why} [{change}]{withheld}"


@app.command()
def export(config: CONFIG, file: Annotated[Path, typer.Argument(help="the file; it must not be there yet")]) -> None:
    """Write what the topics hold of changes, updates, requests, answers, signals, alerts and steps to a file, chained.

    Keep the head that is printed elsewhere: with it anybody can verify later that the file was not changed.
    """
    import time

    import orjson

    from anabranch.errors import ConfigError
    from config import loading
    from operations import audit

    settings = loading.load(config)
    found = audit.records(settings.kafka, settings)
    chained = settings.topics.name("audit")
    lines = list(audit.written(found, model=settings.name, made_ts=time.time(), chained=chained))
    try:
        with file.open("xb") as out:
            out.writelines(lines)
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror}") from error
    last = orjson.loads(lines[-1])
    print(f"{file}: {last['records']} records, head {last['head']}")


@app.command()
def verify(
    what: Annotated[Path, typer.Argument(help="a file that `export` has written; or the model's TOML file")],
    head: Annotated[str, typer.Option(help="the head that was printed, as it was kept elsewhere")] = "",
    trust: Annotated[list[str] | None, typer.Option(help="a public key; one must have signed each record")] = None,
) -> None:
    """See that a file is as it was written, without a broker; or that the topic of the audit is as learners told it.

    The topic is compared with the head that the learner has committed with its offsets, too: an end that is missing
    shows by that. Exit code 1: something is not as it was.
    """
    from anabranch.signatures import TrustedKeys

    keys = None if trust is None else TrustedKeys(trust)
    if what.suffix == ".toml":
        _verify_topic(what, head, keys)
    else:
        _verify_file(what, head, keys)


def _verify_file(file: Path, head: str, keys: "TrustedKeys | None") -> None:
    from anabranch.errors import ConfigError
    from operations import audit

    try:
        with file.open("rb") as lines:
            found = audit.verified(lines, keys=keys)
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
    if head and head != found.head:
        raise audit.AuditError(f"{file}: its head is {found.head}, and not {head}: it is another file")
    signed = "" if keys is None else f", {found.signed} updates signed by keys that are trusted"
    print(f"{file}: {found.model}, {found.records} records as they were written{signed}; head {found.head}")
    print(f"  of these {found.changes} changes in the learner's own chain; {found.chain or 'none'}")


def _verify_topic(config: Path, head: str, keys: "TrustedKeys | None") -> None:
    from anabranch.chain import Head
    from anabranch.scope import GLOBAL
    from commands import wiring
    from config import loading
    from operations import audit

    settings = loading.load(config)
    topic = settings.topics.name("audit")
    chain = audit.followed(settings.kafka, topic=topic, model=settings.name, keys=keys or wiring.trusted_by(settings))
    for scope, kept in _committed(settings):
        chain.compare(settings.name, scope, kept)
    if head:
        chain.compare(settings.name, GLOBAL, Head.read(head))
    if chain.faults:
        raise audit.AuditError(f"{topic}: " + "; ".join(chain.faults[: audit.FAULTS_MAX]))
    print(f"{topic}: {settings.name}, {chain.records} records as they were told; {audit.heads(chain) or 'none'}")


def _committed(settings: "Settings") -> "list[tuple[str, Head]]":
    """The head of the chain as the learner has committed it, by scope."""
    import orjson

    from anabranch.chain import Head
    from anabranch.kafka import partitions
    from anabranch.scope import GLOBAL, of_partition
    from commands.state import committed_of
    from consumers.checkpoint import CheckpointRef

    every = [None] if settings.scope == GLOBAL else sorted(partitions(settings.kafka, settings.topics.name("events")))
    found = []
    for partition in every:
        committed, _ = committed_of(settings, partition)
        if committed is not None and committed.metadata:
            scope = GLOBAL if partition is None else of_partition(partition)
            ref = CheckpointRef.read(orjson.loads(committed.metadata), scope=scope)
            found.append((str(scope), Head.read(ref.audit)))
    return found
