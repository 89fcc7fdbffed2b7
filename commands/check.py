"""`anabranch check`: whether a configuration can be used, without starting anything."""

from pathlib import Path
from typing import Annotated

import typer

from commands.data_options import Drop, Encoding, Id, Keep, Missing, Target, Ts, TsFormat


def check(
    config: Annotated[Path, typer.Argument(help="the TOML file of the model")],
    data: Annotated[list[Path] | None, typer.Option(help="see that its models learn the first rows of this")] = None,
    target: Target = "target",
    ts: Ts = None,
    ts_format: TsFormat = None,
    id_: Id = None,
    keep: Keep = None,
    drop: Drop = None,
    missing: Missing = None,
    encoding: Encoding = None,
) -> None:
    """Read the configuration, build the model, and see that its state can be checkpointed faithfully.

    Nothing is connected to: of [kafka], librdkafka says whether it knows the settings. With --data, a fresh model of
    each kind learns the first events of a file, so that one that takes no strings shows here.
    """
    from commands import surroundings, wiring

    settings = wiring.settings_at(config)
    with wiring.naming(config):
        lane = wiring.fitting(settings)
        surroundings.look(settings)
    if data:
        from commands import trial
        from commands.data import files, refuse_nothing_accepted

        given = files(
            settings, data, keep=keep, drop=drop, missing=missing,
            target=target, ts=ts, ts_format=ts_format, id=id_, encoding=encoding,
        )  # fmt: skip
        refuse_nothing_accepted(settings, given, limit=trial.EVENTS)
        with wiring.naming(config):
            trial.refuse_what_cannot_learn(settings, given)
    metrics = ", ".join(lane.scores.values())
    print(f"{config}: good. {settings.name}: {settings.task}, loss {lane.task.loss_name}, scores {metrics}")
    print(f"detectors: {', '.join(settings.detectors) or 'off'}; model: {lane.champion.model}")
