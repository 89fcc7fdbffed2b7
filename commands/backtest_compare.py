"""Several configurations over one file, side by side: how good, how many swaps, how many of them wrong, how fast."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog
from rich.console import Console
from rich.table import Table

from anabranch.errors import ConfigError
from anabranch.events import AcceptedEvent, Prediction
from commands import data, trial, wiring
from commands import trial as event_time
from commands import views as figures
from config.settings import Settings
from consumers.jobs.processes import ProcessExecutor
from consumers.timing import CpuClock
from evaluation.backtest import Backtest
from evaluation.swaps import SPAN_EVENTS, LaneSwapEvaluation
from learners.parts import LaneParts


def compared(
    configs: Sequence[Path],
    paths: Sequence[Path],
    *,
    reading: dict[str, Any],
    late: dict[str, Any],
    warm_up: Path | None,
    note: Callable[[Path], None] = lambda config: None,
    processes: int = 1,
) -> list[dict[str, Any]]:
    """The result of each configuration, with what hindsight says of its swaps.

    Args:
        late: as of `data.late_or_not`.
        processes: so many at once; 1: one after another, in this process.

    Raises:
        ConfigError: one of them cannot be used, or they are not of one task.
    """
    several = [(config, wiring.settings_at(config)) for config in configs]
    tasks = {settings.task: config for config, settings in several}
    if len(tasks) > 1:
        told = ", ".join(f'{config}: "{task}"' for task, config in tasks.items())
        raise ConfigError(f"only configurations of one task can be compared; {told}")
    # For all of them before the first run, which may take minutes.
    for _, settings in several:
        files = data.files(settings, paths, **reading, label_optional=late["labels"] is not None)
        event_time.warn_of_times(settings, files)
        trial.warn_of_keys(settings, files)
        trial.warn_of_strings(settings, files)
    options = {"reading": reading, "late": late, "warm_up": warm_up}
    if min(processes, len(several)) > 1:
        return list(_side_by_side([config for config, _ in several], paths, note=note, processes=processes, **options))
    return list(_results(several, paths, note=note, **options))


def _results(
    several: Sequence[tuple[Path, Settings]], paths: Sequence[Path], *, note: Callable[[Path], None], **options: Any
) -> Iterator[dict[str, Any]]:
    for config, settings in several:
        note(config)
        yield {"config": str(config), **_result(settings, paths, **options)}


def _side_by_side(
    configs: Sequence[Path], paths: Sequence[Path], *, note: Callable[[Path], None], processes: int, **options: Any
) -> Iterator[dict[str, Any]]:
    """In processes of their own, by the executor that retraining has; in the order of the configurations."""
    executor = ProcessExecutor(processes_max=processes)
    try:
        futures = []
        for config in configs:
            note(config)
            futures.append(executor.submit(result_of, str(config), list(map(str, paths)), _plain(options)))
        for config, future in zip(configs, futures, strict=True):
            yield {"config": str(config), **future.result()}
    finally:
        executor.shutdown(cancel_futures=True)


def _plain(value: Any) -> Any:
    """Options as another process is told them: a path is its text."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return str(value) if isinstance(value, Path) else value


def result_of(config: str, paths: Sequence[str], options: dict[str, Any]) -> dict[str, Any]:
    """The result of one configuration, in whatever process this is.

    Args:
        options: `reading`, `late` and `warm_up` of `compared`, as plain values.
    """
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    late, warm_up = options["late"], options["warm_up"]
    labels = late.get("labels")
    return _result(
        wiring.settings_at(Path(config)),
        [Path(each) for each in paths],
        reading=options["reading"],
        late={**late, "labels": None if labels is None else Path(labels)},
        warm_up=None if warm_up is None else Path(warm_up),
    )


def _result(
    settings: Settings, paths: Sequence[Path], *, reading: dict[str, Any], late: dict[str, Any], warm_up: Path | None
) -> dict[str, Any]:
    clock = CpuClock()
    looking_back: list[LaneSwapEvaluation] = []

    def observer(event: AcceptedEvent, served: Prediction, answers: Mapping[str, Prediction], lane: LaneParts) -> None:
        if not looking_back:  # the lane's task knows what its metrics and constraints need
            looking_back.append(LaneSwapEvaluation(lane.task, clock=clock, trusted=settings.model.trusted))
        looking_back[0](event, served, answers, lane)

    files = data.files(settings, paths, **reading, label_optional=late["labels"] is not None)
    before = None if warm_up is None else data.files(settings, [warm_up], **reading)
    settings, values = data.late_or_not(settings, files, **late)
    run = Backtest(
        settings,
        first=wiring.first_champion(settings, warm_up=before),
        values=values,
        timestamp_of=files.timestamp_of(),
        clock=clock,
        observer=observer,
    )
    result = run.run()
    aside_s = looking_back[0].seconds if looking_back else 0.0
    hindsight = looking_back[0].hindsight if looking_back else None
    return {
        **result,
        "swaps_judged": hindsight.judged if hindsight else 0,
        "swaps_wrong": hindsight.wrong if hindsight else 0,
        "us_per_event": round((run.seconds - aside_s) / max(1, result["events"]) * 1e6, 1),
    }


def show(results: Sequence[dict[str, Any]]) -> None:
    """The results as one table."""
    scores = list(dict.fromkeys(name for result in results for name in result["scores"]))
    table = Table(title=f"{results[0]['events']:,} events", title_justify="left")
    # A name that is broken in its middle cannot be copied: it has its line, however narrow the terminal.
    table.add_column("configuration", no_wrap=True)
    for head in (*scores, "swaps", "wrong", "µs/event"):
        table.add_column(head, justify="right", no_wrap=True)
    for result in results:
        values = (result["scores"].get(name) for name in scores)
        table.add_row(
            result["config"],
            *("–" if value is None else figures.figure(value) for value in values),
            str(len(result["swaps"])),
            f"{result['swaps_wrong']} of {result['swaps_judged']}",
            f"{result['us_per_event']:.1f}",
        )
    console = Console()
    needed = Console(width=10_000).measure(table).maximum
    (console if needed <= console.width else Console(width=needed)).print(table)
    console.print(
        f"A swap is wrong if what it displaced, kept running, loses less over the next {SPAN_EVENTS:,} events than "
        "what is served; with fewer events after it, it is not judged. µs are of computing.",
        style="dim",
    )
