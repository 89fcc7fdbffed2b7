"""`anabranch explain`: why a published model answers so for an event. `anabranch explain-swap`: why it took over."""

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from config.settings import Settings
    from operations.picture import ModelPicture
    from serving.rows import Row

VERSIONS_MAX = 20
"""So many of the newest are named to who asks for one that is not there."""

CONFIG = Annotated[Path, typer.Option(help="the model's TOML file: its brokers, topics and keys")]
JSON = Annotated[bool, typer.Option("--json", help="print one JSON object")]


def explain(
    model: Annotated[str, typer.Argument(help="which version: models:/NAME/7 or models:/NAME@champion")],
    config: CONFIG,
    event: Annotated[Path | None, typer.Option(help="a file with the event, as for /api/predict; -: stdin")] = None,
    id_: Annotated[str | None, typer.Option("--id", help="the event of this id on the events topic")] = None,
    json: JSON = False,
    png: Annotated[Path | None, typer.Option(help="draw it into this file; needs the extra [plot]")] = None,
) -> None:
    """Say which of an event's features brought a version to its answer, and by how much.

    It is compared with the events that came with the model (its canary rows): all contributions, and what the model
    answers to those on average, add up to the answer. Features that the learner computes are those of the version's
    announcement, where the event does not bring them. No learner and no scorer is needed.
    """
    import orjson

    from anabranch.champion import Champion
    from commands import wiring
    from serving.explanation.words import sentences, shown
    from serving.models import Answerer

    if (event is None) == (id_ is None):
        raise typer.BadParameter("give the event either as a file or by its id", param_hint="--event, --id")
    draw = None if png is None else _painter(png)
    settings = wiring.settings_at(config)
    asked, key = _read(event) if event is not None else _found(settings, id_ or "")
    edge = settings.edge
    row = asked.within(edge)._replace(id=None if asked.id is None else edge.pseudonym(asked.id))
    key = None if key is None else edge.pseudonym(key)
    update, artifact = wiring.published(settings, model)
    answerer = Answerer(Champion(update, artifact, update.event_number, update.announced_ts))
    with _for_people():
        computed = answerer.computed(row.x, ts=row.ts or time.time(), key=key)
        found = answerer.explained(row.with_computed(computed).x)
    about = {"model": update.model, "version": update.version, **({} if row.id is None else {"id": row.id})}
    if json:
        told = {**about, **found.as_json(), **({"computed": computed} if computed else {})}
        print(orjson.dumps(told, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY).decode())
    else:
        print(f"{update.model} version {update.version}{'' if row.id is None else f', event {row.id}'}")
        print("\n".join(sentences(found)))
    if draw is not None:
        draw(png, found, title=f"{update.model} version {update.version}: {shown(found.prediction)}")


def explain_swap(
    name: Annotated[str, typer.Argument(help="the model's name")],
    version: Annotated[int, typer.Argument(help="the version that took over")],
    config: CONFIG,
    partition: Annotated[int | None, typer.Option(help='the partition of the model, with scope = "partition"')] = None,
    json: JSON = False,
) -> None:
    """Say why a version took over from another: what fired, who was recruited, the contest, and what changed since.

    It is what the dashboard tells on the page of a swap, of the same topics (`dashboard.history`); it needs no learner.
    """
    import orjson

    from anabranch.errors import ConfigError
    from commands import wiring
    from operations.stories import swap

    settings = wiring.settings_at(config)
    if settings.name != name:
        raise ConfigError(f"{config} is the configuration of {settings.name}, not of {name}")
    picture = _picture(settings, str(wiring.scope_of(settings, partition)))
    story = swap(picture, version)
    if story is None:
        versions = sorted({each.message.version for each in picture.updates})  # type: ignore[attr-defined]
        known = ", ".join(map(str, versions[-VERSIONS_MAX:])) or "none"
        raise ConfigError(f"no announcement of version {version} of {name} is known; versions there: {known}")
    if json:
        print(orjson.dumps(story, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY).decode())
        return
    update = story["update"]
    print(f"{name} version {version} ({update['kind']}), {_moment(update['at_s'])}: {update['reason']}")
    for each in story["words"]:
        print(f"{each['heading']}: {each['text']}")


def _moment(at_s: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds")


# ── the event ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _read(path: Path) -> "tuple[Row, str | None]":
    """The event in a file; it may be one as it was published."""
    data = sys.stdin.buffer.read() if str(path) == "-" else _bytes(path)
    with _for_people(str(path)):
        return _row(data), None


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}", param_hint="--event") from error


def _row(data: bytes) -> "Row":
    from serving.refusal import Refusal
    from serving.rows import rows_of, table_of

    table: Any = table_of(data)
    if isinstance(table, dict):
        table = {name: value for name, value in table.items() if name != "label"}  # what came of it is not asked about
    several, _ = rows_of(table, rows_max=1)
    if not several:
        raise Refusal(422, "there is no event in it")
    return several[0]


def _found(settings: "Settings", id_: str) -> "tuple[Row, str | None]":
    """The newest event of that id on the events topic, with its Kafka key."""
    from anabranch.errors import ConfigError
    from anabranch.kafka.tail import Tail
    from serving.refusal import Refusal

    topic, found = settings.topics.name("events"), None
    # Most events are others, and reading them costs time; JSON may write what is no plain word in several ways.
    within = id_.encode() if re.fullmatch(r"[A-Za-z0-9_.:-]+", id_) else b""
    with Tail(settings.kafka, [topic]) as tail:
        for message in tail.until_caught_up():
            value = bytes(message.value() or b"")
            if within not in value:
                continue
            try:
                row = _row(value)
            except Refusal:  # no event, or the record of a label
                continue
            if row.id == id_:
                stamp_s = message.timestamp()[1] / 1000
                found = row if row.ts is not None else row._replace(ts=stamp_s), message.key()
    if found is None:
        raise ConfigError(f"no event {id_!r} is on {topic}: its retention may have taken it; give it with --event FILE")
    row, key = found
    return row, None if key is None else bytes(key).decode("utf-8", "replace")


@contextmanager
def _for_people(where: str = "") -> Iterator[None]:
    """What the scorer would refuse is an error of the command."""
    from anabranch.errors import ExplanationError
    from serving.refusal import Refusal

    try:
        yield
    except Refusal as refusal:
        raise ExplanationError(f"{where}: {refusal.text}" if where else refusal.text) from refusal


# ── what is shown ───────────────────────────────────────────────────────────────────────────────────────────────────


def _painter(png: Path) -> Any:
    """What draws; asked for first, so that nobody waits for a picture that cannot be drawn."""
    from anabranch.errors import ConfigError

    if png.suffix.lower() != ".png" or not png.parent.is_dir():
        raise typer.BadParameter(f"{png}: write a .png in a folder that is there", param_hint="--png")
    try:
        from commands.views.explain_plot import draw
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"--png needs the extra [plot] ({error.name} is not installed): pip install matplotlib"
        ) from error
    return draw


def _picture(settings: "Settings", scope: str) -> "ModelPicture":
    """What the topics tell of a model, as the dashboard has it."""
    from operations.alerts.backlog import Backlog
    from operations.picture import ModelPicture
    from operations.reading import Reading, topics_of
    from operations.source import Source, Thinning, readable

    source, backlog, shown, now_s = Source([settings]), Backlog(), settings.dashboard, time.time()
    picture, thinning, since_s = source.picture(), Thinning(now_s, windows=False), now_s - shown.history
    with Reading(source.kafka, since_s=since_s, records_max=shown.records_max) as reading:
        reading.add(topics_of(reading.present(), source.keys), whole=source.whole)
        for message in reading.until_caught_up():
            if (record := readable(source, picture, message, thinning)) is not None:
                backlog.add(record)
    for each in backlog.in_order():
        picture.hear(each)
    return picture.models.get((settings.name, scope)) or ModelPicture(settings.name, scope)
