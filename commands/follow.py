"""`anabranch follow`: watches a model's updates and loads each, as a scoring service would."""

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from anabranch.follower import Follower
    from anabranch.kafka import Kafka

HINT_S = 5.0
LOOK_S = 1.0


def follow(
    name: Annotated[str, typer.Argument(help="the model's name")],
    config: Annotated[Path | None, typer.Option(help="take the brokers from this configuration")] = None,
    bootstrap: Annotated[str | None, typer.Option(help="broker addresses; also ANABRANCH_BOOTSTRAP")] = None,
    topic: Annotated[str, typer.Option(help="the updates topic, including its prefix")] = "model-updates",
    partition: Annotated[int | None, typer.Option(help='the partition of the model, with scope = "partition"')] = None,
    trust: Annotated[
        list[str] | None,
        typer.Option(help="take only what this public key has signed (`anabranch keys show`); repeat it for several"),
    ] = None,
    once: Annotated[bool, typer.Option(help="stop after the first model")] = False,
    timeout: Annotated[float | None, typer.Option(help="seconds to wait for the first model")] = None,
    json: Annotated[bool, typer.Option(help="print each update as a line of JSON")] = False,
) -> None:
    """Load each champion as it is announced, after checking its bytes, digest and canary predictions."""
    from anabranch import follower
    from anabranch.errors import NoChampionYet
    from anabranch.messages import ModelUpdate
    from anabranch.scope import GLOBAL, of_partition
    from commands import wiring

    def show(update: ModelUpdate) -> None:
        if json:
            wiring.print_message(update)
        else:
            size = "" if update.artifact is None else f", {update.artifact.size_bytes / 1024:.0f} KiB"
            print(f"{update.model} version {update.version} ({update.kind}{size}): {update.reason}", flush=True)

    # The topics of a learner share their prefix, so the one follows from the other.
    artifacts = topic.replace("model-updates", "model-artifacts")
    trusted: tuple[str, ...] = ()
    scope = GLOBAL if partition is None else of_partition(partition)
    if config is not None:
        settings = wiring.settings_at(config)
        topic, trusted = settings.topics.name("updates"), settings.model.trusted
        artifacts = settings.topics.name("artifacts")
        if settings.name == name:
            scope = wiring.scope_of(settings, partition)
    kafka = wiring.kafka_options(config, bootstrap)
    began_s = time.monotonic()
    _see(name, kafka, topic=topic, artifacts=artifacts, timeout_s=timeout)
    how = {"topic": topic, "scope": scope, "trusted": trusted, "trusted_keys": trust or None, "on_update": show}
    with follower.follow(name, kafka=kafka, **how) as model:
        typer.echo(f"waiting for models of {name} on {topic} at {kafka['bootstrap.servers']}", err=True)
        came = _came(model, timeout_s=timeout and max(0.0, timeout - (time.monotonic() - began_s)))
        while came and not once:
            # The follower works in a thread of its own; this one only waits for Ctrl-C.
            threading.Event().wait(3600)
    if not came:  # by now the follower knows whether a broker answered
        why = f": {model.last_refusal}" if model.last_refusal else f"; {_known(model)}"
        raise NoChampionYet(f"no model of {name!r} on {topic} within {timeout:g} s{why}")


def _see(name: str, kafka: "Kafka", *, topic: str, artifacts: str, timeout_s: float | None) -> None:
    """What waiting does not mend is said at once; brokers that are away may come, while there is time."""
    from anabranch.errors import KafkaRefused, KafkaUnavailable
    from consumers.kafka.topics import require

    is_short = timeout_s is not None and timeout_s <= HINT_S
    try:
        require(kafka, [topic, artifacts], timeout_s=timeout_s if is_short and timeout_s else LOOK_S)
    except KafkaUnavailable as error:
        if isinstance(error, KafkaRefused):
            raise
        if is_short:
            raise KafkaUnavailable(f"no model of {name!r} on {topic} within {timeout_s:g} s: {error}") from error
        typer.echo(f"waiting: {error}", err=True)


def _came(model: "Follower", *, timeout_s: float | None) -> bool:
    """Wait for the first model; after a while, say which others there are: names are easily mistyped."""
    from anabranch.errors import NoChampionYet

    try:
        model.wait(timeout_s=HINT_S if timeout_s is None else timeout_s)
        return True
    except NoChampionYet:
        if timeout_s is not None:
            return False
    typer.echo(f"still waiting; {model.last_refusal or _known(model)}", err=True)
    model.wait()
    return True


def _known(model: "Follower") -> str:
    """Which models have been announced."""
    from anabranch.errors import KafkaUnavailable
    from anabranch.kafka.updates import announced

    try:
        known = sorted(announced(model.kafka, topic=model.topic))
    except KafkaUnavailable as error:
        return str(error)
    named = [name if scope == "global" else f"{name} (--partition {scope[1:]})" for name, scope in known]
    return f"models on {model.topic}: {', '.join(named) or 'none'}"
