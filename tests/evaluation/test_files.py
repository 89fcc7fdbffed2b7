"""Events from files: what the columns become, and what is wrong with a file."""

import gzip
import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from anabranch.errors import ConfigError
from anabranch.events import AcceptedEvent, Record
from anabranch.messages import DeadLetter
from commands import data
from config.loading import build
from consumers.guard import Guard
from evaluation.files import Files, events
from evaluation.tables import SAMPLE_ROWS, TIME_OF_ROW_0, Reading

CSV = "n,price,word,flag,target\n1,0.5,red,true,1\n-2,3,blue,FALSE,0\n"


def written(folder: Path, text: str | bytes, name: str = "rows.csv") -> Path:
    """The text as a file, compressed if its name says so."""
    content = text.encode() if isinstance(text, str) else text
    path = folder / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


def read(path: Path, **how: Any) -> list[dict[str, Any]]:
    """The events as objects."""
    return [orjson.loads(each) for each in events(path, **how)]


def typed(values: dict[str, Any]) -> list[tuple[str, Any, type]]:
    """Values with their types, since 1 == True == 1.0."""
    return [(name, value, type(value)) for name, value in values.items()]


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz"])
def test_columns_have_the_type_of_their_cells(name: str, tmp_path: Path) -> None:
    """Integers, numbers, words and truths are told apart by column, and the label is taken out."""
    first, second = read(written(tmp_path, CSV, name))
    assert typed(first["features"]) == typed({"n": 1, "price": 0.5, "word": "red", "flag": True})
    assert typed(second["features"]) == typed({"n": -2, "price": 3.0, "word": "blue", "flag": False})
    assert [first["label"], second["label"]] == [1, 0]


def test_every_row_has_an_id_and_a_time_of_its_own(tmp_path: Path) -> None:
    """The id is the file's name and the row's number; a file without times counts seconds."""
    path = written(tmp_path, CSV, "rows.csv.gz")
    assert [(each["id"], each["ts"]) for each in read(path)] == [
        ("rows-0", TIME_OF_ROW_0),
        ("rows-1", TIME_OF_ROW_0 + 1),
    ]
    assert {each["ts"] for each in read(path, now_s=1.5)} == {1.5}


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz", "rows.ndjson"])
def test_json_lines_are_passed_on_as_they_are(name: str, tmp_path: Path) -> None:
    """Lines of events are the guard's to judge; empty lines are none."""
    lines = [b'{"id": "1"}', b"{broken", b'{"id": "2"}']
    path = written(tmp_path, b"\r\n".join([*lines[:2], b"", lines[2]]) + b"\n", name)
    assert list(events(path)) == lines


def test_an_empty_cell_is_a_missing_value(tmp_path: Path) -> None:
    """So is NaN, which many programs write for it, in a column of numbers; an empty label comes later."""
    rows = read(written(tmp_path, "a,b,c,target\n1,,nan,1\n,2.5,nan,\nNaN,nan,x,0\n"))
    assert [each["features"] for each in rows] == [
        {"a": 1.0, "b": None, "c": "nan"},
        {"a": None, "b": 2.5, "c": "nan"},
        {"a": None, "b": None, "c": "x"},
    ]
    assert [each["label"] for each in rows] == [1, None, 0]


def test_an_integer_column_may_meet_a_fraction_later(tmp_path: Path) -> None:
    """Beyond the rows on which types are decided a fraction is still a number."""
    text = "a,target\n" + "1,0\n" * SAMPLE_ROWS + "2.5,1\n"
    assert read(written(tmp_path, text))[-1]["features"] == {"a": 2.5}


@pytest.mark.parametrize(("cell", "word"), [("high", "high"), ("inf", "inf"), ("1_000", "1_000")])
def test_a_word_among_numbers_is_for_the_guard_to_refuse(cell: str, word: str, tmp_path: Path) -> None:
    """A cell that does not fit its column becomes a dead letter, not a different feature."""
    guard = Guard(build({"name": "m", "task": "binary", "model": {"factory": "a:b"}}))
    path = written(tmp_path, "a,target\n" + "0.5,0\n" * SAMPLE_ROWS + f"{cell},1\n")
    checked = [guard.check(Record("e", 0, n, TIME_OF_ROW_0, None, each)) for n, each in enumerate(events(path))]
    assert all(isinstance(each, AcceptedEvent) for each in checked[:-1])
    letter = checked[-1]
    assert isinstance(letter, DeadLetter)
    assert (letter.stage, letter.offset) == ("type", SAMPLE_ROWS)
    assert letter.reason == "feature 'a' is a string; it was a number before"
    assert read(path)[-1]["features"] == {"a": word}


def test_integers_beyond_64_bits_are_numbers(tmp_path: Path) -> None:
    """JSON has no larger integers; a long card number does not stop a backtest."""
    long = "12345678901234567890123"
    path = written(tmp_path, f"a,b,target\n{long},1\n".replace(",1\n", ",1,0\n") + f"7,{long},1\n")
    assert [typed(each["features"]) for each in read(path)] == [
        typed({"a": float(long), "b": 1.0}),
        typed({"a": 7.0, "b": float(long)}),
    ]


@pytest.mark.parametrize(
    ("cell", "time"),
    [
        ("2020-01-01 00:00:00", "2020-01-01 00:00:00Z"),
        ("2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z"),
        ("2020-01-01T00:00:00+01:00", "2020-01-01T00:00:00+01:00"),
        ("2020-01-01T00:00:00-05:00", "2020-01-01T00:00:00-05:00"),
        ("2020-01-01", "2020-01-01 00:00:00Z"),
        ("1577836800", 1577836800),
    ],
)
def test_a_column_can_hold_the_time(cell: str, time: object, tmp_path: Path) -> None:
    """A time without a zone is UTC; the column is no feature, and the guard takes what comes of it."""
    path = written(tmp_path, f"when,a,target\n{cell},1,0\n")
    (row,) = read(path, ts="when")
    assert (row["ts"], row["features"]) == (time, {"a": 1})
    guard = Guard(build({"name": "m", "task": "binary", "model": {"factory": "a:b"}}))
    assert isinstance(guard.check(Record("e", 0, 0, 1.6e9, None, json.dumps(row).encode())), AcceptedEvent)


def test_quoted_cells_may_hold_commas_and_lines(tmp_path: Path) -> None:
    """CSV is read as spreadsheets write it: with quotes, a byte order mark and blank lines."""
    text = '\ufeff"a,b",target\r\n"x, ""y""\nz",1\r\n\r\n\r\n'
    assert [(each["features"], each["label"]) for each in read(written(tmp_path, text))] == [({"a,b": 'x, "y"\nz'}, 1)]


FAULTS = {
    "no target": ("a,b\n1,2\n", {}, "no column 'target'; it has a, b; name the label column by --target"),
    "a target written otherwise": (
        "a,Target\n1,2\n",
        {},
        "no column 'target'; it has a, Target; did you mean 'Target'? Name the label column by --target",
    ),
    "no column of that name": ("a,b\n1,2\n", {"target": "c", "label_optional": True}, "no column 'c'; it has a, b"),
    "no time": (CSV, {"ts": "when"}, "no column 'when'; it has n, price"),
    "an empty file": ("", {}, "it is empty; the first row must name the columns"),
    "a long row behind a good one": ("a,target\n1,0\n1,0,5\n", {}, "row 1 has 3 cells, the header 2"),
    "a missing time": ("when,target\n,1\n", {"ts": "when"}, "row 0: no time"),
    "two columns of one name": ("a,a,target\n1,2,3\n", {}, "two columns are called 'a'; rename one"),
    "a short row": ("a,target\n1,0\n1\n", {}, "row 1 has 1 cells, the header 2"),
    "a long row": ("a,target\n1,0,5\n", {}, "row 0 has 3 cells, the header 2"),
    "neither UTF-8 nor cp1252": (b"a,target\n\xff\x81,1\n", {}, "cannot be read: 'charmap' codec"),
}


@pytest.mark.parametrize("text", ["a;b\n1;2\n3;4\n", "a,b,target\n1,2,\n3,4,\n"])
def test_labels_may_come_from_elsewhere(tmp_path: Path, text: str) -> None:
    """Then a column of them need not be there; the separator is found without its name."""
    found = read(written(tmp_path, text), label_optional=True)
    assert [(each["features"], each["label"]) for each in found] == [({"a": 1, "b": 2}, None), ({"a": 3, "b": 4}, None)]


@pytest.mark.parametrize(("text", "how", "said"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_file_is_named(text: str | bytes, how: dict[str, Any], said: str, tmp_path: Path) -> None:
    """The error says which file, and which column or row."""
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as raised:
        read(path, **how)
    assert str(raised.value).startswith(f"{path}: {said}")


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    """A missing file, one of an unknown kind, and a damaged archive."""
    torn = tmp_path / "torn.csv.gz"
    torn.write_bytes(gzip.compress(CSV.encode() * 99)[:-30])
    for name, said in (("no.csv", "cannot be read: No such file"), ("rows.xlsx", "of no known kind")):
        with pytest.raises(ConfigError, match=f"{name}: {said}"):
            read(tmp_path / name)
    with pytest.raises(ConfigError, match=r"torn\.csv\.gz: cannot be read: "):
        read(torn)


def test_a_table_of_more_rows_than_a_day_has_seconds_is_learned_to_its_end(tmp_path: Path) -> None:
    """Rows without a time are a second apart; what stands for the broker's timestamp goes with them."""
    path = tmp_path / "long.csv"
    path.write_text("a,target\n" + "1,1\n" * 90_000)
    guard = Guard(build({"name": "m", "task": "binary", "model": {"steps": [{"use": "naive_bayes.GaussianNB"}]}}))
    checked = [guard.check(record) for record in data.records(Files([path], Reading()))]
    assert (len(checked), guard.accepted, guard.refused) == (90_000, 90_000, 0)
