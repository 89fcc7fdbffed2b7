"""How the columns of a file look to a person."""

from datetime import UTC, datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table


def show(found: dict[str, Any]) -> None:
    """One line a column, then what is left out, the label and the time."""
    console = Console()
    console.print(f"[bold]{escape(found['data'])}[/]: {found['rows']:,} rows, {len(found['features'])} features")
    table = Table("feature", "kind", "missing", "values", "first odd cell", box=SIMPLE_HEAD, pad_edge=False)
    for each in found["features"]:
        table.add_row(escape(each["column"]), each["kind"], _share(each["missing"]), _values(each), _odd(each))
    console.print(table)
    for name, reason in found["left_out"].items():
        console.print(f"left out: {name or 'a column without a name'}: {reason}", markup=False, soft_wrap=True)
    # Without markup: names of columns and labels may hold brackets.
    console.print(_label(found["label"]), markup=False, soft_wrap=True)
    console.print(_time(found["time"]), markup=False, soft_wrap=True)


def _share(share: float) -> str:
    return f"{share:.1%}" if share else ""


def _values(each: dict[str, Any]) -> str:
    if each["low"] is not None and each["kind"] in ("integer", "number"):
        return f"{each['low']:,.6g} to {each['high']:,.6g}"
    return "more than 10,000 different" if each["distinct"] is None else f"{each['distinct']:,} different"


def _odd(each: dict[str, Any]) -> str:
    first = each["first_odd"]
    return "" if first is None else escape(f"row {first['row']:,}: {first['cell'][:40]!r} ({each['odd']:,} of them)")


def _label(label: dict[str, Any] | None) -> str:
    if label is None:
        return "label: no column is called 'target'; --target names the one that holds it"
    shares = ", ".join(f"{name} {share:.1%}" for name, share in label["balance"].items())
    held = shares or _values(label)
    without = f"; {_share(label['missing'])} of the rows have none" if label["missing"] else ""
    odd = f"; first odd cell: {_odd(label)}" if label["first_odd"] else ""
    return f"label {label['column']}: {label['kind']}, {held}{without}{odd}"


def _time(time: dict[str, Any] | None) -> str:
    if time is None:
        return "time: none (--ts COLUMN names one); each row counts as one second"
    if time["fault"]:
        return f"time {time['column']}: {time['fault']}"
    begin, end = (datetime.fromtimestamp(time[key], tz=UTC).isoformat(" ", "seconds") for key in ("first_s", "last_s"))
    order = (
        f"{time['out_of_order']:.1%} of the rows lie before their predecessor" if time["out_of_order"] else "in order"
    )
    return f"time {time['column']}: {time['read_as']}, {begin} to {end}, {order}"
