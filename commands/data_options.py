"""The options of the verbs that read files."""

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[
    list[Path],
    typer.Option(
        help="a .csv, .parquet or .jsonl file (text may be .gz), a folder of them, or a quoted pattern; may be repeated"
    ),
]
Target = Annotated[str, typer.Option(help="the label column")]
Ts = Annotated[str | None, typer.Option(help="the timestamp column; without it, each row counts as one second")]
TsFormat = Annotated[str | None, typer.Option(help="format of the timestamps, as for strptime: '%d/%m/%Y %H:%M'")]
Id = Annotated[str | None, typer.Option("--id", help="the column of the event's id; default: file name and row number")]
Delay = Annotated[
    str | None, typer.Option(help="labels come so much later than their events: 1000 (events), 10m, 7d (event time)")
]
DelayColumn = Annotated[
    str | None, typer.Option(help="the column that says how many seconds later the label of its event comes")
]
FollowersLate = Annotated[
    int,
    typer.Option(
        help="events that pass until followers have an announced model: their rate times the seconds it takes", min=0
    ),
]
LabelsFile = Annotated[
    Path | None,
    typer.Option(
        "--labels", help="a second file with the labels: columns id, ts, label, and perhaps revision and blocked"
    ),
]
Keep = Annotated[
    list[str] | None,
    typer.Option(help="keep this column as a feature although it looks like an id or a time; '*': all"),
]
Drop = Annotated[list[str] | None, typer.Option(help="leave this column out of the features; may be repeated")]
Missing = Annotated[list[str] | None, typer.Option(help="an additional word for a missing value; may be repeated")]
Encoding = Annotated[
    str | None, typer.Option(help="encoding of the text, if not detected automatically: cp1252, utf-16, …")
]
