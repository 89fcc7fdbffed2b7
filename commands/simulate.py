"""`anabranch simulate`: the learning loop through crashes, takeovers and faults, thousands of times."""

import itertools
import os
import shlex
from pathlib import Path
from typing import Annotated

import typer


def simulate(
    config: Annotated[
        Path | None, typer.Argument(help="the model's TOML file; default: built-in models, and poison")
    ] = None,
    seeds: Annotated[int, typer.Option(help="number of schedules to run", min=1)] = 1000,
    first: Annotated[int, typer.Option("--first-seed", help="seed of the first schedule", min=0)] = 0,
    seed: Annotated[int | None, typer.Option(help="replay this seed alone, and print its steps")] = None,
    data: Annotated[Path | None, typer.Option(help="use these events instead of synthetic ones")] = None,
    target: Annotated[str, typer.Option(help="the label column in --data")] = "target",
    ts: Annotated[str | None, typer.Option(help="the timestamp column in --data")] = None,
    events: Annotated[int, typer.Option(help="events per schedule, if a configuration is given", min=1)] = 300,
    malformed: Annotated[
        int, typer.Option("--records", help="number of malformed records to feed to the guard", min=0)
    ] = 100_000,
    guard_seed: Annotated[int | None, typer.Option(help="replay this run of malformed records alone")] = None,
    answers: Annotated[int, typer.Option(help="about how many malformed predictions models make", min=0)] = 100_000,
    model_seed: Annotated[int | None, typer.Option(help="replay this run with misbehaving models alone")] = None,
    processes: Annotated[int, typer.Option(help="number of parallel processes; 0 = one per core", min=0)] = 0,
) -> None:
    """Crash the learner anywhere, let others take over, tear its blobs; check that each event was learned exactly once.

    Each seed is one schedule, over a log and a store in memory. Before that, the guard is fuzzed with malformed
    records, a thousand per run, and misbehaving models predict anything, as champion and as shadows. A failing seed is
    printed with its last steps and the command that replays it; the exit code is then 1.
    """
    from commands import data as given_data
    from commands import wiring
    from commands.views import simulation as simulation_view
    from evaluation.simulation import guard_fuzz, model_fuzz
    from evaluation.simulation.campaign import MODELS, Campaign, configured, shipped, with_workers

    if data is not None and config is None:
        raise typer.BadParameter("it needs a configuration", param_hint="--data")
    if config is None:
        campaign, guard_runs = Campaign(tuple(map(shipped, MODELS))), guard_fuzz.shipped()
    else:
        settings = wiring.settings_at(config)
        wiring.fitting(settings)
        given: list[tuple[float, bytes]] = []
        if data is not None:
            files = given_data.files(settings, [data], target=target, ts=ts)
            given_data.refuse_nothing_accepted(settings, files, limit=events)
            records = itertools.islice(given_data.records(files), events)
            given = [(each.timestamp_s, each.value or b"") for each in records]
        campaign = Campaign(with_workers(configured(settings, events=events, given=given)))
        guard_runs = guard_fuzz.GuardFuzz((settings,))
    if seed is not None:
        simulation_view.show(campaign, seed)
    elif guard_seed is not None:
        simulation_view.show(guard_runs, guard_seed)
    elif model_seed is not None:
        simulation_view.show(model_fuzz.shipped(), model_seed)
    else:
        again = _replay(config, data, target=target, ts=ts, events=events)
        processes = processes or os.cpu_count() or 1
        count = -(-malformed // guard_fuzz.RECORDS)
        simulation_view.fuzz_guard(guard_runs, range(first, first + count), processes=processes, again=again)
        fuzzes = range(first, first + -(-answers // model_fuzz.ANSWERS))
        simulation_view.fuzz(model_fuzz.shipped(), fuzzes, processes=processes)
        simulation_view.run(campaign, range(first, first + seeds), processes=processes, again=again)


def _replay(config: Path | None, data: Path | None, *, target: str, ts: str | None, events: int) -> str:
    """The command line that runs a seed again, less the seed."""
    words = ["anabranch", "simulate"]
    if config is not None:
        words += [str(config), "--events", str(events)]
    if data is not None:
        words += ["--data", str(data), "--target", target, *(["--ts", ts] if ts is not None else [])]
    return shlex.join(words)
