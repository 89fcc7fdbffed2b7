"""`anabranch models list`, `show`, `diff` and `compare`: the registry, read from the topics alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from anabranch.kafka import Kafka
    from anabranch.messages import DriftSignal, ModelReport, ModelUpdate
    from anabranch.signatures import TrustedKeys
    from config.records import Topics
    from operations.cards import Card
    from operations.registry import Announced, Reference


class Format(StrEnum):
    """How a card is printed."""

    MARKDOWN = "markdown"
    JSON = "json"
    HTML = "html"


VERSION = Annotated[str, typer.Argument(help="models:/NAME/7, models:/NAME@champion (or @canary, @retired), or NAME")]
CONFIG = Annotated[Path | None, typer.Option(help="a TOML file with the brokers, topics and keys to read with")]
PARTITION = Annotated[int | None, typer.Option(help='the partition of the model, with scope = "partition"')]
BOOTSTRAP = Annotated[str | None, typer.Option(help="broker addresses; also ANABRANCH_BOOTSTRAP")]
PREFIX = Annotated[str, typer.Option(help="what the topics' names begin with, where no --config says it")]
TRUST = Annotated[list[str] | None, typer.Option(help="a public key that signatures are compared with; repeatable")]
AS_JSON = Annotated[bool, typer.Option("--json", help="print one JSON object")]


def listing(
    model: Annotated[str | None, typer.Argument(help="only this model, with all its versions")] = None,
    config: CONFIG = None,
    partition: PARTITION = None,
    prefix: PREFIX = "",
    bootstrap: BOOTSTRAP = None,
    json: AS_JSON = False,
) -> None:
    """List the models on the topic of updates; of one model its versions, and what its aliases have named."""
    import orjson

    log = _Log.of(config, partition=partition, prefix=prefix, bootstrap=bootstrap)
    if model is None:
        models = log.all_models()
        print(orjson.dumps(models).decode()) if json else _print_models(models)
    else:
        versions = log.versions(model)
        print(orjson.dumps(versions).decode()) if json else _print_versions(versions)


def show(
    model: VERSION,
    form: Annotated[Format, typer.Option("--format", help="of the card")] = Format.MARKDOWN,
    config: CONFIG = None,
    partition: PARTITION = None,
    trust: TRUST = None,
    prefix: PREFIX = "",
    bootstrap: BOOTSTRAP = None,
) -> None:
    """Print the card of a version: where it comes from, what it learned, how it was judged, and how it has done since.

    Signatures are verified with --trust, or with `score.trusted_keys` of --config. Reports are kept for a week: "since"
    reaches back as far as they do.
    """
    import orjson

    from operations import cards

    card = _Log.of(config, partition=partition, prefix=prefix, bootstrap=bootstrap, trust=trust).card(model)
    if form is Format.JSON:
        print(orjson.dumps(card).decode())
    else:
        print(cards.page(card) if form is Format.HTML else cards.markdown(card))


def export(
    model: VERSION,
    mlflow: Annotated[Path | None, typer.Option(help="a folder, which is made: the version as an MLflow model")] = None,
    cyclonedx: Annotated[Path | None, typer.Option(help="a file: a CycloneDX 1.6 bill of materials, JSON")] = None,
    in_toto: Annotated[Path | None, typer.Option(help="a file: an in-toto statement of its provenance, JSON")] = None,
    config: CONFIG = None,
    partition: PARTITION = None,
    trust: TRUST = None,
    prefix: PREFIX = "",
    bootstrap: BOOTSTRAP = None,
) -> None:
    """Write a version for other tools: what its card and its bytes tell, in their formats.

    The MLflow model holds the bytes as they were announced; it is loaded by `anabranch.pyfunc` of the client's wheel.
    """
    from anabranch.errors import ConfigError
    from operations import exports

    if mlflow is None and cyclonedx is None and in_toto is None:
        raise ConfigError("say what is to be written: --mlflow FOLDER, --cyclonedx FILE, --in-toto FILE")
    log = _Log.of(config, partition=partition, prefix=prefix, bootstrap=bootstrap, trust=trust)
    card = log.card(model)
    for file, form in ((cyclonedx, exports.cyclonedx), (in_toto, exports.in_toto)):
        if file is not None:
            _write(file, form(card))
    if mlflow is not None:
        exports.mlflow(card, log.bytes_of(model), mlflow, trusted=log.trusted)
    written = [str(each) for each in (mlflow, cyclonedx, in_toto) if each is not None]
    print(f"{card['name']}, sha256 {card['artifact']['sha256']}: {', '.join(written)}")


def _write(file: Path, document: dict[str, Any]) -> None:
    import orjson

    from anabranch.errors import ConfigError

    try:
        with file.open("xb") as out:
            out.write(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror}") from error


def diff(
    before: VERSION,
    after: VERSION,
    config: CONFIG = None,
    partition: PARTITION = None,
    prefix: PREFIX = "",
    bootstrap: BOOTSTRAP = None,
    json: AS_JSON = False,
) -> None:
    """Show what is not the same in the cards of two versions."""
    import orjson

    from operations import cards

    log = _Log.of(config, partition=partition, prefix=prefix, bootstrap=bootstrap)
    first, second = log.card(before), log.card(after)
    found = cards.differences(first, second)
    if json:
        print(orjson.dumps({path: list(values) for path, values in found.items()}).decode())
        return
    for path, (left, right) in found.items():
        print(f"{path}\n  - {left}\n  + {right}")
    print(f"{len(found)} differences between {first['name']} and {second['name']}")


def compare(
    models: Annotated[list[str], typer.Argument(help="versions, as `show` takes them")],
    config: CONFIG = None,
    partition: PARTITION = None,
    prefix: PREFIX = "",
    bootstrap: BOOTSTRAP = None,
    json: AS_JSON = False,
) -> None:
    """Show the scores of several versions beside each other, when they were announced and since.

    Each has its own events behind it: this tells how each did in its time, and not which would do better now, which is
    what the arena finds.
    """
    import orjson

    from operations import cards

    log = _Log.of(config, partition=partition, prefix=prefix, bootstrap=bootstrap)
    found = [log.card(each) for each in models]
    if json:
        print(
            orjson.dumps(
                [{key: each[key] for key in ("name", "scores", "since", "verdict")} for each in found]
            ).decode()
        )
        return
    heads = [f"{each['name']} {when}" for each in found for when in ("then", "since")]
    _print_table("", ("score", *heads), cards.scores(found))


# ── What is read ────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class _Log:
    """The topics that tell of models; each is read once.

    Attributes:
        trusted: classes outside River that models may hold.
    """

    kafka: "Kafka"
    topics: "Topics"
    partition: int | None
    keys: "TrustedKeys | None"
    trusted: tuple[str, ...] = ()
    told: "dict[tuple[str, str], list[ModelReport]]" = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        config: Path | None,
        *,
        partition: int | None,
        prefix: str,
        bootstrap: str | None,
        trust: list[str] | None = None,
    ) -> "_Log":
        """The log of a configuration, or of these options."""
        from anabranch.signatures import TrustedKeys
        from commands import wiring
        from config import loading
        from config.records import Topics

        kafka = wiring.kafka_options(config, bootstrap)
        if config is None:
            return cls(kafka, Topics(prefix=prefix), partition, None if trust is None else TrustedKeys(trust))
        settings = loading.load(config)
        given = trust or settings.score.trusted_keys
        keys = None if given is None else TrustedKeys(given)
        return cls(kafka, settings.topics, partition, keys, settings.model.trusted)

    @cached_property
    def every(self) -> "dict[tuple[str, str], list[Announced]]":
        """The updates of all models."""
        from operations import registry

        return registry.read(self.kafka, topic=self.topics.name("updates"), keys=self.keys)

    def all_models(self) -> list[dict[str, Any]]:
        """Each model with what its aliases name."""
        from operations import registry

        return [
            {
                "model": name,
                "scope": scope,
                "aliases": registry.aliases(each.update for each in found),
                "announcements": len(found),
                "kind": found[-1].update.kind,
                "event_number": found[-1].update.event_number,
                "announced_ts": found[-1].update.announced_ts,
            }
            for (name, scope), found in self.every.items()
        ]

    def versions(self, text: str) -> dict[str, Any]:
        """All versions of a model, and the history of its aliases."""
        from operations import registry

        found = self._of(registry.Reference.read(text))
        updates = [each.update for each in found]
        return {
            "model": updates[0].model,
            "scope": updates[0].scope,
            "aliases": registry.aliases(updates),
            "versions": [_brief(each) for each in updates],
            "alias_history": [each._asdict() for each in registry.changes(updates)],
        }

    def card(self, text: str) -> "Card":
        """The card of a version."""
        from operations import cards, registry

        reference = registry.Reference.read(text)
        found = self._of(reference)
        chosen = registry.find(reference, found, topic=self.topics.name("updates"))
        update, updates = chosen.update, [each.update for each in found]
        named = [alias for alias, number in registry.aliases(updates).items() if number == update.version]
        return cards.card(
            chosen,
            registry.since(update, self._reports(update.model, update.scope)),
            model=self._contents(update),
            signal=self._signal(update),
            aliases=named,
            history=registry.changes(updates),
        )

    def bytes_of(self, text: str) -> bytes:
        """A version as it was announced, verified by its digest.

        Raises:
            ArtifactError: its bytes are gone, or are others.
        """
        from anabranch import artifact
        from anabranch.kafka import artifacts
        from operations import registry

        reference = registry.Reference.read(text)
        update = registry.find(reference, self._of(reference), topic=self.topics.name("updates")).update
        packed = artifacts.fetch(self.kafka, update)
        artifact.unpack(packed, sha256=update.pointer.sha256, trusted=self.trusted)
        return packed

    def _of(self, reference: "Reference") -> "list[Announced]":
        """The updates of a model.

        Raises:
            ConfigError: there are none.
        """
        from anabranch.errors import ConfigError, did_you_mean
        from anabranch.scope import GLOBAL, of_partition

        scope = GLOBAL if self.partition is None else of_partition(self.partition)
        if found := self.every.get((reference.model, scope)):
            return found
        scopes = [each for name, each in self.every if name == reference.model]
        if scopes:
            raise ConfigError(
                f"{reference.model} has models of {', '.join(scopes)}, and none of {scope}: see --partition"
            )
        names = sorted({name for name, _ in self.every})
        near = did_you_mean(reference.model, names, instead=f"there: {', '.join(names) or 'none'}")
        raise ConfigError(f"no update of {reference.model} is on {self.topics.name('updates')}; {near}")

    def _reports(self, model: str, scope: str) -> "list[ModelReport]":
        from operations import registry

        if (model, scope) not in self.told:
            topic = self.topics.name("reports")
            self.told[model, scope] = registry.reports(self.kafka, topic=topic, model=model, scope=scope)
        return self.told[model, scope]

    def _contents(self, update: "ModelUpdate") -> dict[str, Any]:
        """What the model's bytes hold; or why they cannot be read, which is no reason to show nothing."""
        from anabranch import artifact
        from anabranch.errors import AnabranchError
        from anabranch.kafka import artifacts
        from operations import cards

        try:
            packed = artifacts.fetch(self.kafka, update)
            return cards.contents(artifact.unpack(packed, sha256=update.pointer.sha256, trusted=self.trusted))
        except AnabranchError as error:
            return {"fault": str(error)}

    def _signal(self, update: "ModelUpdate") -> "DriftSignal | None":
        """The signal that brought a version, if its topic still has it."""
        from contextlib import suppress

        from anabranch.errors import KafkaUnavailable
        from anabranch.kafka.tail import Tail
        from anabranch.messages import DriftSignal, UnreadableMessage, decode

        if not update.trigger:
            return None
        with suppress(KafkaUnavailable, UnreadableMessage), Tail(self.kafka, [self.topics.name("signals")]) as tail:
            for message in tail.until_caught_up():
                if bytes(message.key() or b"") == update.trigger.encode():
                    return decode(DriftSignal, bytes(message.value() or b""))
        return None


def _brief(update: "ModelUpdate") -> dict[str, Any]:
    keys = ("version", "kind", "event_number", "announced_ts", "member", "parent", "by", "reason")
    return {
        **{key: getattr(update, key) for key in keys},
        "gain": None if update.verdict is None else update.verdict.gain,
        "size_bytes": None if update.artifact is None else update.artifact.size_bytes,
    }


# ── What is printed ─────────────────────────────────────────────────────────────────────────────────────────────────


def _print_models(found: list[dict[str, Any]]) -> None:
    from operations.alerts.sinks import moment

    rows = [
        (
            each["model"],
            each["scope"],
            ", ".join(f"{alias}: {number}" for alias, number in each["aliases"].items()),
            str(each["announcements"]),
            f"{each['event_number']:,}",
            f"{each['kind']}, {moment(each['announced_ts'])}",
        )
        for each in found
    ]
    _print_table("models", ("model", "scope", "aliases", "announcements", "events", "last announced"), rows)


def _print_versions(found: dict[str, Any]) -> None:
    from operations.alerts.sinks import moment
    from operations.cards import ALIAS_HEADS, alias_rows, number, version

    rows = [
        (
            str(each["version"]),
            each["kind"],
            moment(each["announced_ts"]),
            f"{each['event_number']:,}",
            each["member"],
            version(each["parent"]),
            number(each["gain"]),
            each["by"] or "the learner",
            each["reason"],
        )
        for each in found["versions"]
    ]
    heads = ("version", "kind", "announced", "events", "member", "parent", "gain", "by", "why")
    _print_table(f"{found['model']} ({found['scope']})", heads, rows)
    _print_table("aliases", ALIAS_HEADS, alias_rows(found["alias_history"]))


def _print_table(title: str, heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    Console().print(table)
