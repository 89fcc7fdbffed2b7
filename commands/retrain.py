"""`anabranch retrain`: asks a running learner to retrain now."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from anabranch.messages import Act, Decision, Retire, Retrain
    from anabranch.signatures import Signer
    from config.settings import Settings

Asked = TypeVar("Asked", bound="Retire | Retrain | Decision | Act")


def retrain(
    model: Annotated[str, typer.Argument(help="the model's name, or its TOML file")],
    reason: Annotated[str, typer.Option(help="the reason; it is recorded in the answer")],
    by: Annotated[str | None, typer.Option(help="who requests it; default: the current user")] = None,
    events: Annotated[int, typer.Option(min=0, help="retrain on this many of the last events; 0: as configured")] = 0,
    topic: Annotated[str | None, typer.Option(help="the control topic, including its prefix")] = None,
    bootstrap: Annotated[str | None, typer.Option(help="broker addresses; also ANABRANCH_BOOTSTRAP")] = None,
) -> None:
    """Request a retraining. Retrained models compete like any others; the answer is published on `model-answers`."""
    import getpass
    import time
    import uuid

    from anabranch.messages import Retrain

    def request(name: str) -> Retrain:
        return Retrain(
            id=uuid.uuid4().hex, model=name, ts=time.time(), reason=reason, by=by or getpass.getuser(), events=events
        )

    asked, where, answers = send(model, request, topic=topic, bootstrap=bootstrap)
    print(f"requested a retraining of {asked.model}: {asked.id} on {where}; the answer will be on {answers}")


def send(
    model: str, request: Callable[[str], Asked], *, topic: str | None, bootstrap: str | None
) -> tuple[Asked, str, str]:
    """Put a request to a model on its control topic.

    Args:
        model: its name, or its TOML file.
        request: makes the request to the model of this name.

    Returns:
        The request, the topic it is on, and that of the answer.
    """
    from anabranch.kafka import producer
    from anabranch.messages import CONTROL_PARTITION, encode
    from commands import wiring
    from config import loading
    from consumers.kafka.sink import KafkaSink
    from consumers.kafka.topics import require

    config = Path(model) if model.endswith(".toml") else None
    settings = loading.load(config) if config else None
    kafka = wiring.kafka_options(config, bootstrap)
    asked = request(settings.name if settings else model)
    where = topic or (settings.topics.name("control") if settings else "model-control")
    require(kafka, [where])
    prefix = where.removesuffix("model-control")
    updates = settings.topics.name("updates") if settings else f"{prefix}model-updates"
    warning = unknown(kafka, asked.model, updates=updates)
    if warning:
        typer.echo(f"warning: {warning}", err=True)
    sink, value = KafkaSink(producer(kafka)), encode(asked)
    signer = _signer(settings)
    headers = () if signer is None else signer.headers(value)
    sink.send(where, key=asked.model, value=value, partition=CONTROL_PARTITION, headers=headers)
    sink.flush()
    return asked, where, settings.topics.name("answers") if settings else f"{prefix}model-answers"


def _signer(settings: "Settings | None") -> "Signer | None":
    """What signs a request: the key of the configuration, or the one that the environment names; None: nobody does."""
    import os

    from consumers import keys

    file = os.environ.get("ANABRANCH_CONTROL_KEY") if settings is None else settings.control.key
    return keys.read(Path(file)) if file else None


def unknown(kafka: dict[str, object], model: str, *, updates: str) -> str:
    """The warning if no such model has been announced: nobody answers a mistyped name."""
    from anabranch.errors import KafkaUnavailable
    from anabranch.kafka.updates import announced

    try:
        known = sorted({name for name, _ in announced(kafka, topic=updates)})
    except KafkaUnavailable as error:
        return f"cannot check whether there is a model {model}: {error}"
    if model in known:
        return ""
    return f"no champion of {model} is on {updates} (there: {', '.join(known) or 'none'}); the request is sent anyway"
