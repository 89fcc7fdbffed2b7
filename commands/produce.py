"""`anabranch produce`: publishes the rows of a file as events."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

_STEP_S = 0.02


def produce(
    data: Annotated[Path, typer.Option(help="a .csv, .csv.gz, .jsonl or .jsonl.gz")],
    topic: Annotated[str | None, typer.Option(help="with its prefix; else the configuration's, or events")] = None,
    target: Annotated[str, typer.Option(help="the column that holds the label")] = "target",
    ts: Annotated[str | None, typer.Option(help="the column that holds the time; without one, now")] = None,
    rate: Annotated[float | None, typer.Option(help="events per second; without it, as fast as it goes")] = None,
    limit: Annotated[int | None, typer.Option(help="stop after so many")] = None,
    partition: Annotated[int | None, typer.Option(help="all to this partition, so that their order is kept")] = None,
    config: Annotated[Path | None, typer.Option(help="take the brokers and the topic from this configuration")] = None,
    bootstrap: Annotated[str | None, typer.Option(help="the brokers; also ANABRANCH_BOOTSTRAP")] = None,
) -> None:
    """Publish the rows of a file as events, keyed by their id."""
    from itertools import islice

    import orjson
    from rich.console import Console
    from rich.progress import track

    from anabranch.kafka_clients import partitions, producer
    from commands import wiring
    from consumers import files
    from consumers.kafka_outlet import KafkaOutlet

    kafka = wiring.kafka_options(config, bootstrap)
    topic = topic or wiring.topic_of("events", config)
    partitions(kafka, topic)  # says so if there is none
    outlet = KafkaOutlet(producer(kafka))
    where = {} if partition is None else {"partition": partition}
    events = islice(files.events(data, target=target, ts=ts, now_s=time.time()), limit)
    sent = 0
    console = Console(stderr=True)
    shown = track(
        paced(events, rate),
        description=f"{data.name} to {topic}",
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
    for value in shown:
        key = orjson.loads(value).get("id", "") if partition is None else ""
        outlet.send(topic, key=key, value=value, **where)
        sent += 1
    outlet.flush()
    print(f"{sent} events published on {topic}")


def paced(values: Iterator[bytes], rate: float | None) -> Iterator[bytes]:
    """The values, no faster than `rate` a second."""
    began = time.monotonic()
    for number, value in enumerate(values):
        if rate is not None:
            ahead = number / rate - (time.monotonic() - began)
            if ahead > _STEP_S:
                time.sleep(ahead)
        yield value
