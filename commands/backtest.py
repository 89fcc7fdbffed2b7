"""`anabranch backtest`: the same lane over a file, without Kafka."""

from pathlib import Path
from typing import Annotated, Any

import typer


def backtest(
    config: Annotated[Path, typer.Argument(help="the TOML file of the model")],
    data: Annotated[Path, typer.Option(help="a .csv, .csv.gz, .jsonl or .jsonl.gz")],
    target: Annotated[str, typer.Option(help="the column of the label")] = "target",
    limit: Annotated[int | None, typer.Option(help="only the first so many rows")] = None,
    warm_up: Annotated[Path | None, typer.Option(help="train the first champion on this file")] = None,
    json: Annotated[bool, typer.Option(help="print the result as one JSON object")] = False,
) -> None:
    """Run the lane over a file: scores, signals, swaps and the learning state's hash."""
    import orjson
    import structlog

    from anabranch.clock import SystemClock
    from commands import backtest_view, wiring
    from consumers import files
    from consumers.backtest import Backtest

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))  # the result says it all
    settings = wiring.settings_at(config)
    run = Backtest(
        settings,
        first=wiring.first_champion(settings, warm_up=warm_up, published=None, target=target),
        values=lambda: files.events(data, target=target),
        timestamp_of=wiring.timestamp_of(data),
        clock=SystemClock(),
        limit=limit,
    )
    with backtest_view.progress(run, quiet=json):
        result: dict[str, Any] = run.run()
    if json:
        print(orjson.dumps(result).decode())
    else:
        backtest_view.show(result)
    if not result["events"] and result["dead_letters"]:
        reason = result["refusals"][0]["reason"]
        raise typer.BadParameter(f"every row was refused; the first for this reason: {reason}", param_hint="--data")
