"""`anabranch check`: whether a configuration can be used, without starting anything."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands.data_options import Drop, Encoding, Id, Keep, Missing, Target, Ts, TsFormat

if TYPE_CHECKING:
    from config.settings import Settings


def check(
    config: Annotated[Path, typer.Argument(help="the model's TOML file")],
    broker: Annotated[
        bool, typer.Option("--broker", help="also check the brokers: the topics and their settings")
    ] = False,
    data: Annotated[
        list[Path] | None, typer.Option(help="check that the models can learn the first rows of this")
    ] = None,
    target: Target = "target",
    ts: Ts = None,
    ts_format: TsFormat = None,
    id_: Id = None,
    keep: Keep = None,
    drop: Drop = None,
    missing: Missing = None,
    encoding: Encoding = None,
) -> None:
    """Validate the configuration, build the model, and check that its state can be checkpointed faithfully.

    Without --broker it makes no connections; librdkafka checks whether it knows the [kafka] settings. With --data, a
    fresh model of each kind learns the first events of a file, which reveals models that cannot handle strings.
    """
    from commands import preflight, wiring

    settings = wiring.settings_at(config)
    with wiring.naming(config):
        lane = wiring.fitting(settings)
        preflight.look(settings)
        preflight.named(settings)
    if data:
        from commands import trial
        from commands.data import files, refuse_nothing_accepted

        given = files(
            settings, data, keep=keep, drop=drop, missing=missing,
            target=target, ts=ts, ts_format=ts_format, id=id_, encoding=encoding,
        )  # fmt: skip
        # Before the trial, which any model passes on a file of which nothing is accepted.
        refuse_nothing_accepted(settings, given, limit=trial.EVENTS)
        with wiring.naming(config):
            trial.refuse_what_cannot_learn(settings, given)
    metrics = ", ".join(lane.scores.names)
    print(f"{config}: good. {settings.name}: {settings.task}, loss {lane.task.loss_name}, scores {metrics}")
    if settings.computed.any:
        made, hidden = (", ".join(each) or "nothing" for each in (settings.computed.names, settings.computed.hidden))
        print(f"computed: {made}; hidden from models: {hidden}")
    if lane.segmented is not None:
        print(f"segments: by {lane.segmented.by}; their own model: {lane.segmented.fresh()}")
    if broker:
        _ask(settings)
    print(f"detectors: {', '.join(settings.detectors) or 'off'}; model: {lane.champion.model}")


def _ask(settings: "Settings") -> None:
    """Check what a learner needs of the brokers, and more; every fault is reported before it fails."""
    from anabranch.errors import KafkaRefused
    from consumers.kafka import topics
    from consumers.kafka.source import labels_partitions
    from consumers.kafka.topics import require

    # Before what is missing, since require() ends the command.
    for fault in topics.shortcomings(settings):
        typer.echo(f"warning: {fault}", err=True)
    needed = topics.needed(settings)
    require(settings.kafka, needed)
    if unread := topics.unread_labels(settings):
        raise KafkaRefused(unread)
    labels_partitions(settings)
    for fault in topics.transactions(settings):
        typer.echo(f"warning: {fault}", err=True)
    print(f"brokers: reachable, and all {len(needed)} topics exist")
