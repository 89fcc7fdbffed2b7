"""The registry: the versions of models as their updates tell them, their aliases, and what reports say of them since.

It stores nothing of its own: an alias is what the updates before it made of it, so its history cannot be rewritten
without rewriting the log.

>>> Reference.read("models:/fraud@champion")
Reference(model='fraud', version=None, alias='champion')
>>> Reference.read("models:/fraud/7").text, Reference.read("fraud").text
('models:/fraud/7', 'models:/fraud@champion')
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Self

from anabranch.candidates import order
from anabranch.errors import ConfigError, SignatureError
from anabranch.kafka import Kafka, headers_of, tail
from anabranch.kafka.updates import records
from anabranch.messages import ModelReport, ModelUpdate
from anabranch.scope import GLOBAL, Scope
from anabranch.signatures import KEY, TrustedKeys

ALIASES = ("champion", "canary", "retired")
"""What answers for all keys, or for those that a rollout leaves; what answers for a share; what is out of service."""

_REFERENCE = re.compile(r"(?:models:/)?(?P<model>[a-z0-9._-]+)(?:/(?P<version>\d+)|@(?P<alias>[a-z]+))?")


class Reference(NamedTuple):
    """Which version of a model is meant: by its number, or by an alias."""

    model: str
    version: int | None
    alias: str
    """Empty where the version is given."""

    @classmethod
    def read(cls, text: str) -> Self:
        """Of `models:/fraud/7`, `models:/fraud@champion`, or a name alone, which means the champion.

        Raises:
            ConfigError: it is none of these.
        """
        found = _REFERENCE.fullmatch(text)
        alias = "" if found is None else found["alias"] or ("" if found["version"] else "champion")
        if found is None or (alias and alias not in ALIASES):
            raise ConfigError(
                f"{text!r} names no published model; write models:/name/7 or models:/name@champion "
                f"(aliases: {', '.join(ALIASES)})"
            )
        return cls(found["model"], int(found["version"]) if found["version"] else None, alias)

    @property
    def text(self) -> str:
        """As it is written in full."""
        return f"models:/{self.model}" + (f"@{self.alias}" if self.version is None else f"/{self.version}")


class Announced(NamedTuple):
    """An update, and where it lies."""

    update: ModelUpdate
    partition: int
    offset: int
    signature: str
    """Who has signed it, and whether that was verified; in words."""


def read(kafka: Kafka, *, topic: str, keys: TrustedKeys | None = None) -> dict[tuple[str, str], list[Announced]]:
    """All models on a topic of updates, by name and scope; the updates of each, oldest first.

    Args:
        keys: the signatures are compared with these; None: they are told, and not verified.

    Raises:
        KafkaUnavailable: no broker answers, or there is no such topic.
    """
    found: dict[tuple[str, str], list[Announced]] = {}
    for message, update in records(kafka, topic=topic):
        signature = _signature(bytes(message.value() or b""), headers_of(message), keys)
        each = Announced(update, message.partition() or 0, message.offset() or 0, signature)
        found.setdefault((update.model, update.scope), []).append(each)
    return {name: sorted(found[name], key=lambda each: order(each.update)) for name in sorted(found)}


def _signature(value: bytes, headers: Iterable[tuple[str, bytes]], keys: TrustedKeys | None) -> str:
    headers = list(headers)
    named = [key.decode(errors="replace")[:16] for name, key in headers if name == KEY]
    if keys is None:
        return f"by key {named[0]}, not verified: no trusted keys were given" if named else "not signed"
    try:
        keys.verify(value, headers)
    except SignatureError as error:
        return f"NOT TRUSTED: {error}"
    return f"by key {named[0]}, verified"


def find(reference: Reference, announced: Sequence[Announced], *, topic: str) -> Announced:
    """The version that is meant; of one that was announced twice the later announcement.

    Args:
        announced: of that model, oldest first.

    Raises:
        ConfigError: there is none; says which there are.
    """
    if reference.version is None:
        return _by_alias(reference, announced, topic=topic)
    for each in reversed(announced):
        if each.update.version == reference.version and each.update.kind != "retired":
            return each
    known = sorted({each.update.version for each in announced if each.update.kind != "retired"})
    shown = ", ".join(map(str, known[-10:])) or "none"
    raise ConfigError(f"{reference.text}: not on {topic}; versions there: {'… ' if len(known) > 10 else ''}{shown}")


def _by_alias(reference: Reference, announced: Sequence[Announced], *, topic: str) -> Announced:
    version = aliases(each.update for each in announced).get(reference.alias)
    if version is None:
        raise ConfigError(
            f"{reference.text}: no version is its {reference.alias} now; `anabranch models list {reference.model}` "
            f"shows what is on {topic}"
        )
    return find(reference._replace(version=version, alias=""), announced, topic=topic)


# ── Aliases, and their history ──────────────────────────────────────────────────────────────────────────────────────


class AliasChange(NamedTuple):
    """An alias came to name another version, or none."""

    alias: str
    before: int | None
    after: int | None
    ts: float
    """When it was announced, epoch seconds."""
    event_number: int
    kind: str
    by: str
    """Who asked for it; empty: the learner decided."""
    reason: str


def changes(updates: Iterable[ModelUpdate]) -> Iterator[AliasChange]:
    """What became of the aliases, oldest first.

    The topic is compacted: of a version only its last announcement is left, and of retirements the last one.

    Args:
        updates: of one model, oldest first.
    """
    now: dict[str, int | None] = dict.fromkeys(ALIASES)
    for update in updates:
        for alias, version in _set_by(update, now).items():
            if now[alias] != version:
                yield AliasChange(
                    alias=alias,
                    before=now[alias],
                    after=version,
                    ts=update.announced_ts,
                    event_number=update.event_number,
                    kind=update.kind,
                    by=update.by,
                    reason=update.reason,
                )
                now[alias] = version


def _set_by(update: ModelUpdate, now: dict[str, int | None]) -> dict[str, int | None]:
    if update.kind == "retired":
        return {"champion": None, "canary": None, "retired": update.version}
    if update.kind == "canary":
        # The champion of before may have been announced so long ago that only this update still names it.
        return {"champion": update.beside or now["champion"], "canary": update.version}
    return {"champion": update.version, "canary": None, "retired": None}


def aliases(updates: Iterable[ModelUpdate]) -> dict[str, int]:
    """What each alias names now; those that name nothing are left out."""
    now = {each.alias: each.after for each in changes(updates)}
    return {alias: version for alias, version in now.items() if version is not None}


# ── What reports say of a version ───────────────────────────────────────────────────────────────────────────────────


def reports(kafka: Kafka, *, topic: str, model: str, scope: str = GLOBAL) -> list[ModelReport]:
    """The reports of a model that are still on their topic, in the order of its events.

    Raises:
        KafkaUnavailable: no broker answers, or there is no such topic.
    """
    partition = Scope(scope).number
    # By their keys, since most are of other models, and a report is long.
    every = (report for _, report in tail.told(kafka, topic, ModelReport, key=f"{model}/"))
    mine = [each for each in every if each.model == model and partition in (None, each.partition)]
    return sorted(mine, key=lambda each: each.event_number)


class Since(NamedTuple):
    """How a version has done since it was announced, as the reports that are left tell it."""

    reports: int
    events: int
    """Accepted events between the announcement and the last report."""
    scores: dict[str, float]
    """Windowed, as the last report has them."""
    loss: float | None
    """The champion's mean loss, over the reports."""
    groups: dict[str, float]
    fairness: tuple[dict[str, Any], ...] = ()
    """By sensitive feature, the groups and their gaps, as the last report has them."""


def since(update: ModelUpdate, told: Iterable[ModelReport]) -> Since:
    """How a version has done.

    Args:
        told: reports of its model, in the order of events.
    """
    mine = [each for each in told if each.version == update.version and each.event_number >= update.event_number]
    if not mine:
        return Since(0, 0, {}, None, {})
    last = mine[-1]
    losses = [member.loss for each in mine for member in each.members if member.kind == "champion"]
    return Since(
        reports=len(mine),
        events=last.event_number - update.event_number,
        scores=dict(last.windowed),
        loss=sum(losses) / len(losses) if losses else None,
        groups={f"{each.feature} {each.group}".lstrip(): each.rate for each in last.groups},
        fairness=tuple(each.model_dump(mode="json") for each in last.fairness),
    )
