"""`anabranch doctor`: looks at everything that a learner stands on, and says what to do about what is wrong."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from anabranch.errors import AnabranchError
    from config.settings import Settings
    from consumers.finding import Finding

PROBE = b"written by `anabranch doctor`, and removed at once"

FREE_MIN_BYTES = 2**30
"""A learner writes a checkpoint beside those before it, and segments of events that wait for labels."""


def doctor(
    config: Annotated[Path, typer.Argument(help="the model's TOML file")],
    audit_days: Annotated[
        int, typer.Option(min=0, help="for how many days topics have to keep what must be answered for; 0: not asked")
    ] = 0,
    json: Annotated[bool, typer.Option("--json", help="print each finding as a line of JSON")] = False,
) -> None:
    """Look at brokers, topics, rights, retention, clocks, keys, disk, store and followers. Exit code 1: a failure.

    It changes nothing, but for a few bytes in the store of checkpoints that it removes at once. Each finding has a code
    that stays the same, and what to do.
    """
    failures = warnings = 0
    for each in findings(config, audit_days=audit_days):
        failures += each.level == "failure"
        warnings += each.level == "warning"
        _print(each, json=json)
    if not json:
        print(f"{_counted(failures, 'failure')}, {_counted(warnings, 'warning')}")
    if failures:
        raise typer.Exit(1)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def findings(config: Path, *, audit_days: int = 0) -> "Iterator[Finding]":
    """Everything that is looked at, one after the other; what stands on something that fails is left out."""
    from commands import wiring
    from config import loading
    from consumers.finding import warning

    loaded: list[Settings] = []

    def read() -> str:
        loaded.append(wiring.settings_at(config))
        return f"{config} can be used"

    yield tried("config.valid", read, fix="see docs/CONFIGURATION.md, and try again with `anabranch check`")
    for settings in loaded:
        if plain := loading.secrets_in_file(config):
            fix = "write ${env:NAME} or ${file:/run/secrets/x} instead, and change what others may have read"
            yield warning("config.secrets", f"in the file itself stand: {', '.join(plain)}", fix)
        yield from _around(settings)
        yield from _on_brokers(settings, audit_days=audit_days)


def tried(
    code: str, step: Callable[[], str], *, fix: str, beyond: "type[AnabranchError] | tuple[()]" = ()
) -> "Finding":
    """A step that raises where something is wrong, as a finding.

    Args:
        step: returns what is good, in words.
        beyond: what it raises that is a finding of another code, and is raised here too.
    """
    from anabranch.errors import AnabranchError
    from consumers.finding import failure, good

    try:
        return good(code, step())
    except beyond:
        raise
    except AnabranchError as error:
        return failure(code, str(error), fix)


# ── On this machine ─────────────────────────────────────────────────────────────────────────────────────────────────


def _around(settings: "Settings") -> "Iterator[Finding]":
    from consumers.finding import warning
    from consumers.keys import on_loopback

    yield tried("keys.signing", lambda: _key(settings), fix="`anabranch keys new FILE`, and set `publish.key` to it")
    yield tried("keys.trusted", lambda: _trusted(settings), fix="copy the line that `anabranch keys show FILE` prints")
    away = not on_loopback(settings.kafka)
    if away and settings.publish.key is None:
        what = "updates are not signed: whoever may write to the topics can announce a model to all who follow"
        yield warning("keys.unsigned", what, "`anabranch keys new FILE`, and set `publish.key` to it")
    if away and settings.control.trusted_keys is None:
        what = "requests need no signature: whoever may write to the control topic can retire, freeze or swap the model"
        yield warning("keys.control", what, "set `control.trusted_keys`, and `control.key` where people ask")
    protocol = str(settings.kafka.get("security.protocol", "plaintext")).lower()
    if away and protocol in ("plaintext", "sasl_plaintext"):
        what = (
            f"security.protocol is {protocol}, and brokers are on other machines: anybody between can read and change"
        )
        yield warning("kafka.plaintext", what, 'set kafka."security.protocol" to "ssl" or "sasl_ssl"')
    yield tried("store.writable", lambda: _written(settings), fix="see checkpoint.store: the place, and who may write")
    yield from _disk(settings)


def _key(settings: "Settings") -> str:
    from consumers import keys

    if settings.publish.key is None:
        return "no `publish.key` is set"
    return (
        f"{settings.publish.key} holds key {keys.read(Path(settings.publish.key)).id}, and only its owner may read it"
    )


def _trusted(settings: "Settings") -> str:
    from anabranch.signatures import TrustedKeys

    trusted = settings.score.trusted_keys
    return (
        "no `score.trusted_keys` are set" if trusted is None else f"{len(TrustedKeys(trusted).keys)} keys are trusted"
    )


def _written(settings: "Settings") -> str:
    """See that something can be written in the store, and read again. A folder that is not there yet is not made."""
    import uuid

    from anabranch.errors import CheckpointCorrupt
    from commands import preflight
    from consumers.stores import store_of

    preflight.look(settings)
    folder = _folder(settings)
    if folder is not None and not folder.exists():
        return f"{folder} can be made"
    blobs, name = store_of(settings, make=False).blobs, f"doctor-{uuid.uuid4().hex}"
    blobs.write(name, PROBE)
    found = blobs.read(name)
    blobs.remove(name)
    if found != PROBE:
        raise CheckpointCorrupt(f"{blobs.where(name)}: what was written is not what is read")
    return f"{settings.checkpoint.store} can be written and read"


def _folder(settings: "Settings") -> Path | None:
    """The folder of the model's checkpoints; None, where they lie in a bucket."""
    path = settings.checkpoint.store.removeprefix("file://")
    return None if "://" in path else Path(path).absolute() / settings.name


def _disk(settings: "Settings") -> "Iterator[Finding]":
    import shutil

    from consumers.finding import good, warning

    folder = _folder(settings)
    if folder is None:
        return
    nearest = next(each for each in (folder, *folder.parents) if each.exists())
    free, used = shutil.disk_usage(nearest).free, sum(each.stat().st_size for each in _files(folder))
    what = f"{free / 2**30:.1f} GB are free where checkpoints lie, which take {used / 2**30:.3f} GB"
    if free < max(FREE_MIN_BYTES, used):
        yield warning("store.disk", what, "make room: a learner waits while the disk is full, and learns nothing")
    else:
        yield good("store.disk", what)


def _files(folder: Path) -> list[Path]:
    return [each for each in folder.rglob("*") if each.is_file()]


# ── On the brokers ──────────────────────────────────────────────────────────────────────────────────────────────────


def _on_brokers(settings: "Settings", *, audit_days: int) -> "Iterator[Finding]":
    import time

    from anabranch.errors import AnabranchError, KafkaForbidden
    from consumers.finding import failure
    from consumers.kafka import diagnosis
    from consumers.kafka.topics import needed, require

    reached = tried("kafka.reachable", lambda: _reached(settings), fix="see `[kafka]`, and whether brokers run")
    yield reached
    if reached.level == "failure":
        return

    def there() -> str:
        require(settings.kafka, needed(settings))
        return f"all {len(needed(settings))} topics are there"

    try:
        topics = tried("topics.there", there, fix="`anabranch topics create CONFIG`", beyond=KafkaForbidden)
    except KafkaForbidden as error:
        topics = failure("acl.topics", str(error), "grant them, with `kafka-acls --add`; see docs/RIGHTS.md")
    yield topics
    if topics.level == "failure":
        return
    now_s = time.time()
    steps: list[tuple[str, Callable[[], Iterator[Finding]]]] = [
        ("topics.settings", lambda: _topics(settings)),
        ("acl.topics", lambda: diagnosis.rights(settings)),
        ("retention.window", lambda: diagnosis.retention(settings, now_s=now_s)),
        ("retention.audit", lambda: diagnosis.kept_for(settings, days=audit_days) if audit_days else iter(())),
        ("retention.privacy", lambda: diagnosis.kept_too_long(settings)),
        ("clock.skew", lambda: diagnosis.clocks(settings, now_s=now_s)),
        ("versions.river", lambda: _versions(settings)),
        ("followers.behind", lambda: _followers(settings, now_s=now_s)),
        ("workers.there", lambda: _workers(settings)),
    ]
    for code, step in steps:
        try:
            yield from step()
        except AnabranchError as error:
            yield failure(code, f"cannot be looked at: {error}", "see `[kafka]`, and whether brokers run")


def _reached(settings: "Settings") -> str:
    from anabranch.kafka import reach

    return f"{len(reach(settings.kafka).brokers)} brokers answer"


def _topics(settings: "Settings") -> "Iterator[Finding]":
    """What `check --broker` tells as well: each sentence ends in what to do."""
    from consumers.finding import failure, good, warning
    from consumers.kafka import topics

    said = "see the end of the sentence; `kafka-configs --alter` changes a topic's settings"
    found = [warning("topics.settings", fault, said) for fault in topics.shortcomings(settings)]
    if unread := topics.unread_labels(settings):
        found.append(failure("topics.unread-labels", unread, "see the end of the sentence"))
    held = topics.transactions(settings)
    found += [warning("topics.transactions", fault, "see that producers commit or abort") for fault in held]
    yield from found or [good("topics.settings", "topics are set as a learner needs them")]


def _versions(settings: "Settings") -> "Iterator[Finding]":
    import river

    from anabranch.candidates import order
    from anabranch.kafka import updates
    from consumers.finding import good, warning

    every = updates.records(settings.kafka, topic=settings.topics.name("updates"))
    mine = [update for _, update in every if update.model == settings.name]
    newest = max(mine, key=order, default=None)
    if newest is None or newest.river == river.__version__:
        yield good("versions.river", f"River {river.__version__}; nothing is announced that was made with another")
    else:
        what = f"the newest version was made with River {newest.river}, and here is {river.__version__}"
        yield warning(
            "versions.river", what, "`anabranch rebuild` after an upgrade; followers need the learner's River"
        )


def _followers(settings: "Settings", *, now_s: float) -> "Iterator[Finding]":
    from anabranch.kafka import updates
    from anabranch.scope import GLOBAL
    from commands.followers import seen
    from consumers.finding import good, warning

    if settings.scope != GLOBAL:
        return
    kafka, names = settings.kafka, settings.topics
    announced = updates.all_updates(kafka, topic=names.name("updates"), model=settings.name)
    told = updates.acknowledged(kafka, topic=names.name("acks"), model=settings.name)
    behind = [each for each in seen(told, announced, now_ts=now_s)["followers"] if each["why"]]
    if behind:
        what = "; ".join(f"{each['follower']} (version {each['version']}): {each['why']}" for each in behind)
        yield warning("followers.behind", what, "`anabranch followers CONFIG` shows them all, with what they refused")
    else:
        yield good("followers.behind", "no follower that tells of itself is behind or silent")


def _workers(settings: "Settings") -> "Iterator[Finding]":
    from anabranch.kafka import members, partitions
    from consumers.finding import good, warning
    from consumers.jobs.worker import group_of

    if settings.retrain.executor != "topic":
        return
    group = str(group_of(settings.kafka, model=settings.name)["group.id"])
    there = len(members(settings.kafka, group))
    at_once = len(partitions(settings.kafka, settings.topics.name("train_jobs")))
    if there:
        yield good(
            "workers.there", f"{there} workers are in group {group}, of which {min(there, at_once)} can have a job"
        )
    else:
        what = f"nobody is in group {group}: a job waits for {settings.retrain.job_timeout:g} s (retrain.job_timeout)"
        yield warning("workers.there", what, "`anabranch train CONFIG`, on any machine")


def _print(each: "Finding", *, json: bool) -> None:
    import orjson

    if json:
        print(orjson.dumps(each._asdict()).decode())
        return
    print(f"{each.level:8} {each.code:20} {each.what}")
    if each.fix:
        print(f"{'':29} fix: {each.fix}")
