"""`anabranch calibrate`: how sensitive each detector may be on your own history."""

import re
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer

from commands.data_options import (
    Data,
    Delay,
    DelayColumn,
    Drop,
    Encoding,
    Id,
    Keep,
    LabelsFile,
    Missing,
    Target,
    Ts,
    TsFormat,
)

EVENTS_MAX = 1_000_000


def calibrate(
    config: Annotated[Path, typer.Argument(help="the model's TOML file")],
    data: Data,
    false_alarms: Annotated[str, typer.Option(help="how many to tolerate, in how many events")] = "1/100000",
    target: Target = "target",
    ts: Ts = None,
    ts_format: TsFormat = None,
    id_: Id = None,
    keep: Keep = None,
    drop: Drop = None,
    missing: Missing = None,
    encoding: Encoding = None,
    delay: Delay = None,
    delay_column: DelayColumn = None,
    labels: LabelsFile = None,
    limit: Annotated[int | None, typer.Option(help="use only the first N rows", min=1)] = None,
    rise: Annotated[
        float | None,
        typer.Option(help="rise in mean loss to measure delays for; default: half the mean, at least .05", min=0.0),
    ] = None,
) -> None:
    """Choose each detector's threshold from the model's losses on a file, and print the settings to use.

    The file is learned once, test-then-train; its losses, shuffled in blocks, serve as a history without drift.
    """
    from rich.console import Console

    from commands import trial, wiring
    from commands.data import files
    from detectors.calibration import HORIZON_EVENTS, KNOBS, RUNS, Bench, chosen
    from detectors.catalogue import signal_of
    from detectors.error_signals import ErrorSignal

    settings = wiring.settings_at(config)
    rate = _rate(false_alarms)
    reading: dict[str, Any] = {"target": target, "ts": ts, "ts_format": ts_format, "id": id_, "encoding": encoding}
    reading["label_optional"] = labels is not None
    given = files(settings, data, keep=keep, drop=drop, missing=missing, **reading)
    trial.warn_of_strings(settings, given)
    known = _history(settings, given, delay=delay, delay_column=delay_column, labels=labels, limit=limit)
    # Enough events for three false alarms at the bearable rate; on fewer, none would say nothing.
    events = min(EVENTS_MAX, max(50_000, int(3 / rate)))
    console = Console()
    pasted = []
    for name, detector in settings.detectors.items():
        signal = signal_of(name, settings)
        if not isinstance(signal, ErrorSignal) or detector.use not in KNOBS:
            console.print(f"{name}: {detector.use} has no threshold on the error; left unchanged")
            continue
        losses = known.wrongs if signal.of_labels else known.losses
        bench = Bench(losses, seed=settings.seed, events=events, rise=rise)
        trials = list(bench.trials(name, detector, rate=rate))
        best = chosen(trials)
        console.print(_table(name, trials, best, events=events, mean=bench.mean, rise=bench.rise))
        if best is None:
            console.print(f"{name}: no value keeps false alarms to {false_alarms}; leave the detector out")
            continue
        pasted.append(_toml(name, {**detector.model_dump(), best.parameter: best.value}))
    if pasted:
        console.print(_legend(rises=RUNS, horizon_events=HORIZON_EVENTS), style="dim")
    print("\n" + "\n\n".join(pasted))


def _history(settings: Any, given: Any, **late: Any) -> Any:
    """The losses on the files, whose labels come with their events or later."""
    from commands.data import late_or_not, records
    from evaluation.history import history

    heeding, values = late_or_not(settings, given, **late)
    return history(heeding, records(given, values, labels=settings.topics.name("labels")))


def _legend(*, rises: int, horizon_events: int) -> str:
    return (
        "chosen: the smallest mean delay among the values with few enough false alarms.\n"
        f"missed: of {rises} rises, those without an alarm in {horizon_events:,} events, "
        "which count as a delay of as many."
    )


def _rate(said: str) -> float:
    """Alarms an event."""
    if not re.fullmatch(r"\d+(/\d+|\.\d+)?", said) or not 0 < (rate := float(Fraction(said))) < 1:
        raise typer.BadParameter(f"{said!r}; write for example 1/100000", param_hint="--false-alarms")
    return rate


def _table(name: str, trials: Any, best: Any, *, events: int, mean: float, rise: float) -> Any:
    from rich.table import Table

    title = (
        f"{name}: {events:,} events of mean loss {mean:.4g}\n"
        f"delays where it rises to {mean + rise:.4g} (--rise {rise:.4g})"
    )
    table = Table(trials[0].parameter, "false alarms in 100,000", "mean delay", "missed", "", title=title)
    for trial in trials:
        table.add_row(
            f"{trial.value:g}",
            f"{trial.false * 100_000 / events:.1f}",
            f"{trial.delay:,.0f}",
            str(trial.missed or ""),
            "chosen" if trial is best else "" if trial.bearable else "too often",
        )
    return table


def _toml(name: str, table: dict[str, Any]) -> str:
    lines = [f"{key} = {_value(value)}" for key, value in table.items()]
    return "\n".join([f"[detectors.{name}]", *lines])


def _value(value: Any) -> str:
    """TOML's words for JSON's are the same, but that a float must have a point or an exponent with digits around it."""
    import orjson

    return repr(value) if isinstance(value, float) else orjson.dumps(value).decode()
