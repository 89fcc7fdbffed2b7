"""Tables as other programs write them: numbers, missing values, dialects, times, ids, and Parquet."""

import codecs
import gzip
import json
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pytest

from anabranch.errors import ConfigError
from commands import data, trial
from config.loading import build
from evaluation.files import Files, events
from evaluation.tables import SAMPLE_ROWS, Reading
from evaluation.tables.columns import Column
from evaluation.tables.numbers import MISSING
from support.command_line import anabranch

TEN = [f"{n}.25" for n in range(10)]


def read(path: Path, text: str | bytes, *, said: list[str] | None = None, **how: Any) -> list[dict[str, Any]]:
    """The events in a file of that text."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return [orjson.loads(each) for each in events(path, tell=(said if said is not None else []).append, **how)]


def values(cells: list[str], said: list[str] | None = None) -> list[Any]:
    """A column's cells as values."""
    column = Column("a", tell=(said if said is not None else []).append)
    column.decide(cells)
    return column.values(cells, row=0)


@pytest.mark.parametrize("token", [*sorted(MISSING), "NULL", "N/A", "NaN", " - ", "unknown"])
def test_among_numbers_a_word_for_nothing_is_a_missing_value(token: str) -> None:
    """Whatever programs and people write for it."""
    assert values([*TEN, token]) == [*map(float, TEN), None]


def test_among_strings_a_word_for_nothing_is_a_string() -> None:
    """NA may be Namibia; only an empty cell is none."""
    assert values(["DE", "NA", "", "-"]) == ["DE", "NA", None, "-"]


@pytest.mark.parametrize(
    ("cells", "numbers"),
    [
        (["0,5", "1.234,56"], [0.5, 1234.56]),
        (["1,234.5", "2"], [1234.5, 2.0]),
        (["1 234,5", "2\u00a0234,5", "3\u202f234,5"], [1234.5, 2234.5, 3234.5]),
        (["$5.50", "$ 1,000.25", "0.5"], [5.5, 1000.25, 0.5]),
        (["5,5 €", "7 €"], [5.5, 7.0]),
        (["5%", "12.5 %", "0"], [5.0, 12.5, 0.0]),
        (["(5.5)", "5.5-", "-5.5", "+5.5"], [-5.5, -5.5, -5.5, 5.5]),
        (["1,5E+02", "2,5E-01"], [150.0, 0.25]),
        (["CHF 1’000.50", "2’000"], [1000.5, 2000.0]),
        (["12,34,567", "1,234"], [1234567, 1234]),
        (["1.234.567", "1.000"], [1234567, 1000]),
        (["5.5 kg", "6 kg"], [5.5, 6.0]),
    ],
)
def test_a_column_has_one_notation(cells: list[str], numbers: list[float]) -> None:
    """It is read by it, and that is said."""
    said: list[str] = []
    assert values(cells, said) == numbers
    assert len(said) == 1
    assert "are read as" in said[0]


@pytest.mark.parametrize("cells", [["$5", "€5"], ["5%", "5"], ["1,5", "1.5,2.5"], ["12A", "13B"], ["1_000", "2"]])
def test_what_is_not_written_alike_stays_a_string(cells: list[str]) -> None:
    """Five dollars are not five euros."""
    assert values(cells) == cells


def test_digits_with_leading_zeros_are_names() -> None:
    """A zip code is no quantity."""
    said: list[str] = []
    assert values(["01067", "80331"], said) == ["01067", "80331"]
    assert "leading zeros" in said[0]


def test_a_column_of_numbers_with_a_word_in_it_is_named_with_its_row(tmp_path: Path) -> None:
    """And how to say that the word is none."""
    text = "a,target\n" + "".join(f"{'broken' if n == 7 else n + 0.5},{n % 2}\n" for n in range(50))
    said: list[str] = []
    assert read(tmp_path / "a.csv", text, said=said)[0]["features"] == {"a": "0.5"}
    assert "49 of 50 cells are numbers; the first that is none: row 7, 'broken'" in said[0]
    assert read(tmp_path / "a.csv", text, missing=("broken",))[7]["features"] == {"a": None}


def test_a_column_without_values_is_decided_when_they_come(tmp_path: Path) -> None:
    """Not frozen as one of strings."""
    said: list[str] = []
    rows = read(tmp_path / "a.csv", "a,target\n" + "NA,0\n" * SAMPLE_ROWS + "1.5,1\n", said=said)
    assert [rows[0]["features"], rows[-1]["features"]] == [{"a": None}, {"a": 1.5}]
    assert said == [f"a.csv: a: no value up to row {SAMPLE_ROWS:,}; from there on it is read as numbers"]


def test_a_row_without_a_label_is_said(tmp_path: Path) -> None:
    """NA is no label, and no class."""
    said: list[str] = []
    rows = read(tmp_path / "a.csv", "a,target\n1.5,0\n2.5,NA\n3.5,1\n", said=said)
    assert [each["label"] for each in rows] == [0, None, 1]
    assert "the first is row 1 ('NA')" in said[0]


@pytest.mark.parametrize(
    ("labels", "how", "read_as"),
    [
        (["1", "0"], {"positive": "1"}, ["1", "0"]),
        (["true", "false"], {"positive": "true"}, ["true", "false"]),
        (["yes", "no"], {"truths": True}, [True, False]),
        (["yes", "no", "NA"], {"positive": "yes"}, ["yes", "no", None]),
        (["1.0", "0.0"], {}, [1, 0]),
    ],
)
def test_the_label_is_what_the_configuration_says(
    labels: list[str], how: dict[str, Any], read_as: list[Any], tmp_path: Path
) -> None:
    """Numbers where `positive` is one of them; true and false where it is not given."""
    text = "a,target\n" + "".join(f"{n}.5,{label}\n" for n, label in enumerate(labels))
    assert [each["label"] for each in read(tmp_path / "a.csv", text, **how)] == read_as


ROWS = "a,größe,target\n1.5,x,1\n2.5,ä,0\n"
DIALECTS: dict[str, tuple[bytes, str]] = {
    "semicolons": (ROWS.replace(",", ";").encode(), "separated by ';'"),
    "tabs": (ROWS.replace(",", "\t").encode(), "separated by tabs"),
    "bars": (ROWS.replace(",", "|").encode(), "separated by '|'"),
    "UTF-16": (ROWS.encode("utf-16"), "read as utf-16"),
    "UTF-16, big end first": (codecs.BOM_UTF16_BE + ROWS.encode("utf-16-be"), "read as utf-16"),
    "UTF-16 without a mark": (ROWS.encode("utf-16-le"), "read as utf-16-le"),
    "cp1252": (ROWS.encode("cp1252"), "read as cp1252"),
    "a mark": (ROWS.encode("utf-8-sig"), ""),
    "sep=": (f"sep=;\n{ROWS}".replace(",", ";").encode(), "separated by ';', the header stands in line 2"),
    "blanks": (ROWS.replace(",", " , ").encode(), ""),
    "a preamble": (f"Report of May\n\n{ROWS}".encode(), "the header stands in line 3, lines 1 to 2 passed over"),
    "a footer": (f"{ROWS}Total rows: 2\n".encode(), "row 2, the last, is taken for no row of the table"),
    "a sum": (f"{ROWS}Total,,1\n".encode(), "row 2, the last, is taken for no row of the table"),
    "separators at the end": (ROWS.replace("\n", ",\n").encode(), ""),
    "the header twice": (ROWS.encode() + b"a,gr\xc3\xb6\xc3\x9fe,target\n", "the header stands once more behind row 1"),
    "CRLF": (ROWS.replace("\n", "\r\n").encode(), ""),
    "packed, whatever its name": (gzip.compress(ROWS.encode()), ""),
}


@pytest.mark.parametrize(("text", "told"), DIALECTS.values(), ids=DIALECTS)
def test_a_table_is_read_as_programs_write_it(text: bytes, told: str, tmp_path: Path) -> None:
    """The same rows, and one line that says what was not plain."""
    said: list[str] = []
    rows = read(tmp_path / "a.csv", text, said=said)
    assert [(each["features"], each["label"]) for each in rows] == [
        ({"a": 1.5, "größe": "x"}, 1),
        ({"a": 2.5, "größe": "ä"}, 0),
    ]
    assert [told in each for each in said] == ([True] if told else [])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a,b,target\n1,2,0\n1,2,3,0\n1,2,1\n", "row 1 has 4 cells, the header 3: '1,2,3,0'; put a cell that holds"),
        ('a,b,target\n1,"x,0\n2,y,1\n', "a quote that does not end?"),
        ("a,Target\n1,0\n", "did you mean 'Target'?"),
        (b"PK\x03\x04....", "a zip archive or a spreadsheet"),
        (b"a,target\n\x81\x8d,1\n", "cannot be read: .*--encoding"),
    ],
)
def test_what_cannot_be_read_says_what_to_do(text: str | bytes, told: str, tmp_path: Path) -> None:
    """In one line."""
    with pytest.raises(ConfigError, match=told) as raised:
        read(tmp_path / "a.csv", text)
    assert "\n" not in str(raised.value)


AT = 1_772_356_200
TIMES = [
    f"{AT}", f"{AT}000", f"{AT}000000", f"{AT}000000000", f"{AT}.000", "2026-03-01 09:10:00+00",
    "2026-03-01 11:10+0200",
    "2026-03-01T09:10:00 UTC", "2026-03-01 09:10:00.00000000000Z", "2026/03/01 9:10", "01.03.2026 09:10",
    "20260301T091000Z", "20260301091000", "2026-03-01 09:10:00 GMT", "2026-03-01T10:10:00+01:00[Europe/Berlin]",
    "Sun, 01 Mar 2026 09:10:00 GMT", "2026-03-01 09:10:00 AM",
]  # fmt: skip


@pytest.mark.parametrize("cell", TIMES)
def test_a_time_is_the_same_however_it_is_written(cell: str, tmp_path: Path) -> None:
    """The guard takes it, and the moment is right."""
    path = tmp_path / "a.csv"
    path.write_text(f'when,a,target\n"{cell}",1,0\n')
    (record,) = data.records(Files([path], Reading(ts="when")))
    assert record.timestamp_s == AT


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        (
            [f"{AT}", f"{AT}", f"{AT}000"],
            rf"row 2: when = '{AT}000' is the year 58133; milliseconds\? seconds .*",
        ),
        (["2026-03-01", "9999-12-31"], "row 1: when = '9999-12-31' is the year 9999"),
        (["1890-03-01"], "the year 1890"),
        (["2026-03-01 09:10:00 CET"], "'2026-03-01 09:10:00 CET' .* the zone 'CET' has no one offset"),
        (["03/04/2026"], "may begin with the day or the month; .*--ts-format '%d/%m/%Y'"),
        (["2026-03-01", "soon"], "row 1: when = 'soon' is no time"),
    ],
)
def test_a_time_that_cannot_be_is_quoted_as_it_stands(cells: list[str], told: str, tmp_path: Path) -> None:
    """With its row, and what to do."""
    with pytest.raises(ConfigError, match=told):
        read(tmp_path / "a.csv", "when,a,target\n" + "".join(f"{cell},1,0\n" for cell in cells), ts="when")


def test_days_and_months_are_told_apart_by_the_column(tmp_path: Path) -> None:
    """By a day above 12, or by what a person says."""
    text = "when,a,target\n03/04/2026,1,0\n03/31/2026,1,0\n"
    assert read(tmp_path / "a.csv", text, ts="when")[0]["ts"] == "2026-03-04 00:00:00Z"
    rows = read(tmp_path / "a.csv", "when,a,target\n03/04/2026,1,0\n", ts="when", ts_format="%d/%m/%Y")
    assert rows[0]["ts"] == "2026-04-03 00:00:00+00:00"


def test_ids_and_times_are_no_features_unless_asked_for(tmp_path: Path) -> None:
    """Each is named; whole numbers that are no ids stay."""
    head = "order_id,when,code,a,b,target\n"
    text = head + "".join(
        f"{n + 100},2026-03-01 00:{n // 60:02}:{n % 60:02},c{n * 7919},{n},{n % 7},1\n" for n in range(300)
    )
    said: list[str] = []
    assert read(tmp_path / "a.csv", text, said=said)[5]["features"] == {"a": 5, "b": 5}
    assert "when: 300 different strings in 300 rows: a time?" in said[1]
    assert [each.split(": ")[1] for each in said] == ["order_id", "when", "code"]
    kept = read(tmp_path / "a.csv", text, keep=("code",), drop=("b",), id="order_id", ts="when")[5]
    assert (kept["id"], kept["features"]) == ("105", {"code": "c39595", "a": 5})


def test_a_column_that_the_configuration_names_is_kept() -> None:
    """Who names it has asked for it."""
    model = {"steps": [{"use": "reco.BiasedMF"}], "user": "who", "item": "what"}
    assert {"who", "what"} <= data.of_settings(build({"name": "m", "task": "reco", "model": model}))["asked"]


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    """A file with a column of many a type."""
    path = tmp_path / "p.parquet"
    columns = (
        "(i * 1.5)::DECIMAL(9, 2) AS price, 'NaN'::DOUBLE AS gone, (i % 3)::UTINYINT AS small, [i] AS list, "
        "TIMESTAMP '2026-03-01' + INTERVAL 1 HOUR * i AS at, i % 2 = 0 AS target, 'DE' AS word"
    )
    duckdb.sql(f"COPY (SELECT {columns} FROM range(5000) AS r(i)) TO '{path}' (ROW_GROUP_SIZE 2048)")  # noqa: S608  # our own words
    return path


def test_parquet_is_a_table_with_types(parquet: Path) -> None:
    """Decimals are numbers, NaN is missing, a list is no feature; the rows come in order."""
    said: list[str] = []
    rows = [orjson.loads(each) for each in events(parquet, ts="at", tell=said.append)]
    assert [each["id"] for each in rows] == [f"p-{n}" for n in range(5000)]
    assert rows[3]["features"] == {"price": 4.5, "gone": None, "small": 0, "word": "DE"}
    assert (rows[3]["ts"], rows[3]["label"]) == ("2026-03-01 03:00:00.000000Z", False)
    assert ["list" in each for each in said] == [True]


def test_a_folder_is_one_stream(tmp_path: Path) -> None:
    """In the order of its names, every id its own; a pattern as well; the headers must agree."""
    for name in ("b", "a"):
        (tmp_path / f"{name}.csv").write_text(f"x,target\n{ord(name)},1\n{ord(name)},0\n")
    for given in (tmp_path, tmp_path / "*.csv"):
        rows = [orjson.loads(each) for each in Files([given], Reading()).events()]
        assert [(each["id"], each["features"]["x"]) for each in rows] == [
            ("a-0", 97),
            ("a-1", 97),
            ("b-0", 98),
            ("b-1", 98),
        ]
        assert [each["ts"] - rows[0]["ts"] for each in rows] == [0, 1, 2, 3]
    twice = [orjson.loads(each)["id"] for each in Files([tmp_path / "a.csv"] * 2, Reading()).events()]
    assert len(set(twice)) == 4
    (tmp_path / "c.csv").write_text("y,target\n1,1\n")
    with pytest.raises(ConfigError, match=r"c\.csv: its columns are not those of a\.csv \(without: x; beyond: y\)"):
        list(Files([tmp_path], Reading()).events())


def test_inspect_tells_what_was_made_of_each_column(tmp_path: Path) -> None:
    """As JSON and as a table."""
    path = tmp_path / "a.csv"
    rows = "".join(f"{1_772_323_200_000 + n * 1000};{n},5;{'NA' if n % 4 == 0 else n};{n % 2}\n" for n in range(40))
    path.write_text(f"when;a;b;target\n{rows}")
    found = json.loads((done := anabranch("inspect", path, "--ts", "when", "--json")).stdout)
    assert (found["rows"], found["time"]["read_as"], found["time"]["out_of_order"]) == (
        40,
        "milliseconds since 1970",
        0,
    )
    assert found["label"]["balance"] == {"0": 0.5, "1": 0.5}
    assert [(each["kind"], each["missing"], each["high"]) for each in found["features"]] == [
        ("number", 0, 39.5),
        ("integer", 0.25, 39),
    ]
    assert "a.csv: separated by ';'" in done.stderr
    assert "label target: integer, 0 50.0%, 1 50.0%" in anabranch("inspect", path, "--ts", "when").stdout


def test_check_says_which_model_takes_no_strings(tmp_path: Path) -> None:
    """On the first rows; by its place in the configuration, and with the features."""
    path = tmp_path / "a.csv"
    path.write_text("c,target\n" + "".join(f"{'xy'[n % 2]},{n}.5\n" for n in range(20)))
    settings = build({"name": "m", "task": "regression", "model": {"steps": [{"use": "tree.HoeffdingTreeRegressor"}]}})
    with pytest.raises(ConfigError, match=r"the champion .* TypeError: .* The feature c is a string"):
        trial.refuse_what_cannot_learn(settings, data.files(settings, [path], quiet=True))


def test_inspect_needs_no_label(tmp_path: Path) -> None:
    """Who looks at a file for the first time may not know yet which column it is."""
    (path := tmp_path / "a.csv").write_text("a,churned\n1,yes\n2,no\n")
    done = anabranch("inspect", path)
    assert done.returncode == 0
    assert "label: no column is called 'target'; --target names the one that holds it" in done.stdout
    assert json.loads(anabranch("inspect", path, "--json").stdout)["label"] is None
