"""`anabranch backtest`: the same lane over a file, without Kafka; or several of them side by side."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from commands.data_options import (
    Data,
    Delay,
    DelayColumn,
    Drop,
    Encoding,
    FollowersLate,
    Id,
    Keep,
    LabelsFile,
    Missing,
    Target,
    Ts,
    TsFormat,
)

PICTURES = (".png", ".svg", ".pdf")


def backtest(
    configs: Annotated[list[Path], typer.Argument(help="the model's TOML file; several with --compare")],
    data: Data,
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
    followers_late: FollowersLate = 0,
    limit: Annotated[int | None, typer.Option(help="use only the first N rows", min=1)] = None,
    warm_up: Annotated[
        Path | None, typer.Option(help="train the first champion on this file, folder or pattern")
    ] = None,
    compare: Annotated[bool, typer.Option("--compare", help="show all configurations in one table")] = False,
    processes: Annotated[
        int, typer.Option(help="with --compare: so many configurations at once; 0 = one a core", min=0)
    ] = 0,
    plot: Annotated[
        Path | None, typer.Option(help="plot the run to this .png, .svg or .pdf file; needs \\[plot]")
    ] = None,
    json: Annotated[bool, typer.Option(help="print the result as one JSON object")] = False,
) -> None:
    """Run the learning code over a file and print scores, signals, swaps and the learning state's hash.

    Exit code 3: more than a tenth of the rows could not be used (refused, duplicates, no label).
    """
    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))  # the result says it all
    if compare and followers_late:
        raise typer.BadParameter("a table of several says nothing of followers", param_hint="--followers-late")
    if compare and plot is not None:
        raise typer.BadParameter("a picture shows one configuration; leave --compare out", param_hint="--plot")
    if len(configs) > 1 and not compare:
        raise typer.BadParameter("several configurations: give --compare too", param_hint="CONFIGS")
    columns = {"keep": keep, "drop": drop, "missing": missing}
    reading = {"target": target, "ts": ts, "ts_format": ts_format, "id": id_, "encoding": encoding, **columns}
    late = {"delay": delay, "delay_column": delay_column, "labels": labels, "limit": limit}
    if compare:
        at_once = processes or os.cpu_count() or 1
        _compare(configs, data, reading=reading, late=late, warm_up=warm_up, json=json, processes=at_once)
    else:
        _one(
            configs[0], data, reading=reading, late=late, followers_late=followers_late, warm_up=warm_up, plot=plot,
            json=json,
        )  # fmt: skip


def _one(
    config: Path,
    paths: list[Path],
    *,
    reading: dict[str, Any],
    late: dict[str, Any],
    followers_late: int,
    warm_up: Path | None,
    plot: Path | None,
    json: bool,
) -> None:
    """One configuration: its result, and its picture."""
    from commands import data, trial, wiring
    from commands import trial as event_time
    from commands.views import backtest as backtest_view
    from consumers.timing import SystemClock
    from evaluation.backtest import Backtest
    from evaluation.swaps import Trace

    draw = None if plot is None else _painter(plot)
    settings = wiring.settings_at(config)
    files = data.files(settings, paths, **reading, label_optional=late["labels"] is not None)
    before = None if warm_up is None else data.files(settings, [warm_up], **reading)
    event_time.warn_of_times(settings, files)
    trial.warn_of_keys(settings, files)
    trial.warn_of_strings(settings, files)
    settings, values = data.late_or_not(settings, files, **late)
    trace = Trace(window=min(settings.scores.window, 500))
    run = Backtest(
        settings,
        first=wiring.first_champion(settings, warm_up=before),
        values=values,
        timestamp_of=files.timestamp_of(),
        clock=SystemClock(),
        observer=None if draw is None else trace,
        followers_late=followers_late,
    )
    with backtest_view.progress(run, quiet=json):
        result: dict[str, Any] = run.run()
    _refuse_nothing_learned(result, files.name)
    _print_json(result) if json else backtest_view.show(result)
    if draw is not None:
        title = f"{settings.name}: {files.name}, {result['events']:,} events"
        draw(plot, trace, run.said, title=title, loss=run.loop.owner.lane.task.loss_name)
        print(f"drew {plot}", file=sys.stderr)
    _tell_unused([result])


def _compare(
    configs: list[Path],
    paths: list[Path],
    *,
    reading: dict[str, Any],
    late: dict[str, Any],
    warm_up: Path | None,
    json: bool,
    processes: int,
) -> None:
    """Several configurations: one table."""
    from commands import backtest_compare

    def note(config: Path) -> None:
        if sys.stderr.isatty():
            print(f"running {config} …", file=sys.stderr)

    results = backtest_compare.compared(
        configs, paths, reading=reading, late=late, warm_up=warm_up, note=note, processes=processes
    )
    named = ", ".join(map(str, paths))
    for result in results:
        _refuse_nothing_learned(result, named)
    _print_json({"data": named, "results": results}) if json else backtest_compare.show(results)
    _tell_unused(results)


def _painter(plot: Path) -> Any:
    """What draws; asked for before the run, so that nobody waits for a picture that cannot be drawn."""
    from anabranch.errors import ConfigError

    if plot.suffix.lower() not in PICTURES or not plot.parent.is_dir():
        raise typer.BadParameter(
            f"{plot}: write a {', '.join(PICTURES)} in a folder that is there", param_hint="--plot"
        )
    _try_path(plot)
    try:
        from commands.views.backtest_plot import draw
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"--plot needs the extra [plot] ({error.name} is not installed): pip install matplotlib, "
            "or in a checkout pip install -e '.[plot]'"
        ) from error
    return draw


def _try_path(path: Path) -> None:
    """Nobody should wait for a picture that cannot be written."""
    was_there = path.exists()
    try:
        # For appending, so that a picture that is there stays until the new one is drawn.
        path.open("ab").close()
    except OSError as error:
        raise typer.BadParameter(f"{path}: cannot be written: {error.strerror}", param_hint="--plot") from error
    if not was_there:
        path.unlink()


def _print_json(result: dict[str, Any]) -> None:
    import orjson

    print(orjson.dumps(result).decode())


def _tell_unused(results: list[dict[str, Any]]) -> None:
    """The first refusal of each stage and the shares, on standard error; the exit code goes by the worst."""
    from commands import wiring
    from consumers.intake import Read

    for result in results:
        for each in result["refusals"]:
            where = f"{each['count']:,} × {each['stage']}, first at offset {each['offset']:,}"
            print(f"refused: {where}: {each['reason']}", file=sys.stderr)
    wiring.exit_by(
        max((Read(**result["read"]) for result in results), key=lambda read: max(read.unused, read.unusable))
    )


def _refuse_nothing_learned(result: dict[str, Any], named: str) -> None:
    """Zeros are no result."""
    from anabranch.errors import ConfigError

    if result["events"]:
        return
    if result["dead_letters"]:
        reason = result["refusals"][0]["reason"]
        raise ConfigError(f"{named}: every row was refused; the first for this reason: {reason}")
    if result["waiting_for_label"]:
        raise ConfigError(f"{named}: none of its {result['waiting_for_label']:,} events has a label")
    raise ConfigError(f"{named}: there are no events in it")
