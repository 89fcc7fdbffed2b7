"""`anabranch inspect`: what a file holds, before anything learns from it."""

from pathlib import Path
from typing import Annotated

import typer

from commands.data_options import Drop, Encoding, Id, Keep, Missing, Target, Ts, TsFormat


def inspect(
    data: Annotated[
        list[Path], typer.Argument(help="tables: .csv or .parquet files, a folder of them, or a quoted pattern")
    ],
    target: Target = "target",
    ts: Ts = None,
    ts_format: TsFormat = None,
    id_: Id = None,
    keep: Keep = None,
    drop: Drop = None,
    missing: Missing = None,
    encoding: Encoding = None,
    config: Annotated[Path | None, typer.Option(help="read the table as this configuration would")] = None,
    json: Annotated[bool, typer.Option(help="print the result as one JSON object")] = False,
) -> None:
    """Show for each column its contents, missing values and anomalies, and which columns will be features."""
    import orjson

    from anabranch.errors import ConfigError
    from commands.data import files
    from commands.views import inspect as inspect_view
    from config import loading
    from evaluation.files import reading_of
    from evaluation.tables.survey import survey

    settings = None if config is None else loading.load(config)
    given = files(
        settings, data, keep=keep, drop=drop, missing=missing,
        target=target, ts=ts, ts_format=ts_format, id=id_, encoding=encoding,
        label_optional=True,
    )  # fmt: skip
    if not given.is_table:
        raise ConfigError(
            f"{given.name}: JSON lines are events already; `anabranch backtest` says what it refuses of them"
        )
    with reading_of(given.paths):
        found = {"data": given.name, **survey(given.table())}
    print(orjson.dumps(found).decode()) if json else inspect_view.show(found)
