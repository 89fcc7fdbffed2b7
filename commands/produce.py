"""`anabranch produce`: publishes the rows of a file as events."""

import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.data_options import Data, Drop, Encoding, Id, Keep, Missing, Target, TsFormat

if TYPE_CHECKING:
    from consumers.kafka.sink import KafkaSink
    from evaluation.backtest import LabelValue

_STEP_S = 0.02


def _positive(rate: float | None) -> float | None:
    if rate is not None and not rate > 0:
        raise typer.BadParameter(
            f"{rate:g} events per second would never finish; omit it to publish as fast as possible"
        )
    return rate


def produce(
    data: Data,
    topic: Annotated[str | None, typer.Option(help="with its prefix; default: as configured, or events")] = None,
    target: Target = "target",
    ts: Annotated[str | None, typer.Option(help="the timestamp column; without it, the current time")] = None,
    ts_format: TsFormat = None,
    id_: Id = None,
    keep: Keep = None,
    drop: Drop = None,
    missing: Missing = None,
    encoding: Encoding = None,
    rate: Annotated[
        float | None, typer.Option(help="events per second; without it, as fast as possible", callback=_positive)
    ] = None,
    limit: Annotated[int | None, typer.Option(help="stop after this many events", min=1)] = None,
    labels_after: Annotated[
        str | None,
        typer.Option(help="publish each label by itself, so much later than its event: 1000 (events), 10s, 1d"),
    ] = None,
    partition: Annotated[
        int | None, typer.Option(help="send all events to this partition, which preserves their order", min=0)
    ] = None,
    config: Annotated[Path | None, typer.Option(help="take the brokers and the topic from this configuration")] = None,
    bootstrap: Annotated[str | None, typer.Option(help="broker addresses; also ANABRANCH_BOOTSTRAP")] = None,
) -> None:
    """Publish the rows of a file as events, keyed by their id."""
    from itertools import islice

    from anabranch.errors import ConfigError
    from anabranch.kafka import producer
    from commands import wiring
    from commands.data import delay_of, files
    from config import loading
    from consumers.kafka.sink import KafkaSink
    from consumers.kafka.topics import require
    from evaluation.late import delayed

    kafka = wiring.kafka_options(config, bootstrap)
    topic, labels = topic or wiring.topic_of("events", config), wiring.topic_of("labels", config)
    require(kafka, [topic] if labels_after is None else [topic, labels])
    stopping = threading.Event()
    sink = KafkaSink(producer(kafka), stopping=stopping)
    reading: dict[str, Any] = {"target": target, "ts": ts, "ts_format": ts_format, "id": id_, "encoding": encoding}
    settings = None if config is None else loading.load(config)
    given = files(settings, data, keep=keep, drop=drop, missing=missing, **reading)
    events = islice(given.events(now_s=time.time()), limit)
    # Without times of their own, events are as far apart as they are published.
    values = events if labels_after is None else delayed(events, delay_of(labels_after, rate=None if ts else rate))
    shown = _shown(paced(values, rate), f"{given.name} to {topic}")
    sent = _send(shown, sink, topic=topic, labels=labels, partition=partition, stopping=stopping)
    if not sent and not stopping.is_set():
        raise ConfigError(f"{given.name}: there are no events in it")
    _tell(sent, topic if labels_after is None else f"{topic}, and their labels on {labels}", stopping=stopping)


def _shown(values: "Iterator[bytes | LabelValue]", what: str) -> "Iterable[bytes | LabelValue]":
    """The values, with a bar on a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(values, description=what, console=console, disable=not console.is_terminal, transient=True)


def _tell(sent: int, where: str, *, stopping: threading.Event) -> None:
    print(f"{sent} events published on {where}{', then interrupted' if stopping.is_set() else ''}")
    if stopping.is_set():
        # What shells report of a program that Ctrl-C has ended: 128 and the number of the signal.
        raise typer.Exit(130)


def _send(
    values: "Iterable[bytes | LabelValue]",
    sink: "KafkaSink",
    *,
    topic: str,
    labels: str,
    partition: int | None,
    stopping: threading.Event,
) -> int:
    """How many events were published; Ctrl-C ends it, and sets `stopping`."""
    sent = 0
    try:
        for each in values:
            # A label is no event, and goes by the key of its event to a topic of its own.
            value, to = (each, topic) if isinstance(each, bytes) else (each.value, labels)
            sink.send(to, key=_id(value) if partition is None else "", value=value, partition=partition)
            sent += to == topic
    except KeyboardInterrupt:
        stopping.set()
    # After Ctrl-C as well: what is counted as published must have been delivered.
    sink.flush()
    return sent


def _id(value: bytes) -> str:
    """What the event is called; nothing for a line that is no event: it goes out as it is, and is refused later."""
    import orjson

    try:
        return str(orjson.loads(value)["id"])
    except (ValueError, LookupError, TypeError):
        return ""


def paced(values: "Iterator[bytes | LabelValue]", rate: float | None) -> "Iterator[bytes | LabelValue]":
    """The values, no faster than `rate` events a second."""
    began, number = time.monotonic(), -1
    for value in values:
        number += isinstance(value, bytes)
        if rate is not None:
            ahead = number / rate - (time.monotonic() - began)
            # A sleep for each event would be longer than it should be: they go out in small bursts instead.
            if ahead > _STEP_S:
                time.sleep(ahead)
        yield value
