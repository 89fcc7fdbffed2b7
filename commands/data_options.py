"""The options of the verbs that read files."""

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[
    list[Path],
    typer.Option(
        help="a .csv, .parquet or .jsonl (text also as .gz), a folder of them, or a quoted pattern; may be repeated"
    ),
]
Target = Annotated[str, typer.Option(help="the column of the label")]
Ts = Annotated[str | None, typer.Option(help="the column of the time; without one, a row is a second")]
TsFormat = Annotated[str | None, typer.Option(help="how its times are written, as in strptime: '%d/%m/%Y %H:%M'")]
Id = Annotated[str | None, typer.Option("--id", help="the column of the event's id; else file and row")]
Keep = Annotated[
    list[str] | None, typer.Option(help="a column that is a feature though it looks like an id or a time; '*': all")
]
Drop = Annotated[list[str] | None, typer.Option(help="a column that is no feature; may be repeated")]
Missing = Annotated[list[str] | None, typer.Option(help="a further word for a missing value; may be repeated")]
Encoding = Annotated[str | None, typer.Option(help="of the text, if it is not seen by itself: cp1252, utf-16, …")]
