"""Event time in tables: `--ts` names its column, and without one it is said what a row counts as."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from commands import data
from commands import trial as event_time
from config.loading import build
from consumers.guard import own_time_s
from evaluation.files import Files
from evaluation.tables import Reading
from support.command_line import anabranch

CONFIG = """
name = "m"
task = "binary"
model.steps = [{ use = "naive_bayes.GaussianNB" }]

[detectors.nightly]
use = "schedule"
cron = "0 3 * * *"

[trigger]
cooldown_events = 0
per_day_max = 1
"""


@pytest.fixture
def hourly(tmp_path: Path) -> Path:
    """Ten days, an event an hour, from midnight."""
    begin = datetime(2026, 11, 2, tzinfo=UTC)
    path = tmp_path / "hourly.csv"
    rows = [f"{begin + n * timedelta(hours=1):%Y-%m-%d %H:%M:%S},{n % 7},{n % 2}" for n in range(240)]
    path.write_text("\n".join(["when,a,target", *rows]) + "\n")
    return path


def test_a_schedule_fires_in_a_backtest_with_times(tmp_path: Path, hourly: Path) -> None:
    """Every night at three, as it would live: event time is the median of the last five, so two events later."""
    config = tmp_path / "m.toml"
    config.write_text(CONFIG)
    done = anabranch("backtest", config, "--data", hourly, "--ts", "when", "--json")
    signals = json.loads(done.stdout)["signals"]
    assert [each["offset"] for each in signals] == [5 + 24 * day for day in range(10)]
    assert done.stderr == ""


def test_a_backtest_without_times_says_what_goes_by_them(tmp_path: Path, hourly: Path) -> None:
    """Once a configuration, on standard error; here no schedule can fire."""
    config = tmp_path / "m.toml"
    config.write_text(CONFIG)
    plain = tmp_path / "plain.csv"
    plain.write_text("\n".join(line.split(",", 1)[1] for line in hourly.read_text().splitlines()) + "\n")
    done = anabranch("backtest", config, "--data", plain, "--json")
    assert json.loads(done.stdout)["signals"] == []
    assert done.stderr == (
        "m: detectors.nightly.cron, trigger.per_day_max: by event time, and without --ts COLUMN each row of plain.csv "
        "counts as one second\n"
    )


@pytest.mark.parametrize(
    ("more", "keys"),
    [
        ({"detectors": {"a": {"use": "schedule", "every_events": 5}}, "trigger": {"cooldown_events": 5}}, []),
        ({"detectors": {"a": {"use": "schedule", "every": "6h"}}}, ["detectors.a.every"]),
        ({"detectors": {"a": {"use": "threshold", "metric": "MAE", "window_time": "6h"}}}, ["detectors.a.window_time"]),
        ({"trigger": {"cooldown": "1h"}}, ["trigger.cooldown"]),
        ({"features": {"rules": [{"name": "n", "what": "since_last", "by": "who"}]}}, ["features.rules"]),
        ({"memory": {"labels": 3}}, []),
        ({}, []),
    ],
)
def test_what_goes_by_event_time(more: dict[str, object], keys: list[str]) -> None:
    """And nothing that goes by events."""
    settings = build({"name": "m", "task": "regression", "model": {"factory": "a:b"}, **more})
    assert list(event_time.keys_of(settings)) == keys


def test_a_backtest_says_what_goes_by_the_key_that_its_rows_lack(tmp_path: Path, hourly: Path) -> None:
    """It would be computed on Kafka, and silently be missing here."""
    config = tmp_path / "m.toml"
    config.write_text(CONFIG + '[memory]\nlabels = 1\nkey = "@key"\n')
    done = anabranch("backtest", config, "--data", hourly, "--ts", "when", "--json")
    assert json.loads(done.stdout)["events"] == 240
    assert "rows of a file have no Kafka key, so what goes by `@key` is not computed here" in done.stderr


def test_a_rows_timestamp_is_its_event_time(hourly: Path) -> None:
    """So that no row of an old table is refused for lying too far from the broker's time."""
    records = list(data.records(Files([hourly], Reading(ts="when"))))
    assert [each.timestamp_s for each in records[:3]] == [1793577600.0, 1793581200.0, 1793584800.0]
    assert b'"when"' not in (records[0].value or b"")


@pytest.mark.parametrize("value", [b"", b"{}", b"[]", b'{"ts": null}', b'{"ts": "soon"}', b'{"ts": {}}'])
def test_an_event_without_a_time_is_left_to_the_guard(value: bytes) -> None:
    """It will say what is wrong."""
    assert own_time_s(value) == 0.0


def test_calibrate_and_simulate_take_the_column_too(tmp_path: Path, hourly: Path) -> None:
    """Its strings would otherwise be a feature."""
    config = tmp_path / "m.toml"
    config.write_text(CONFIG)
    words = ("--data", hourly, "--ts", "when")
    done = anabranch("simulate", config, *words, "--seeds", "3", "--records", "0", "--answers", "0", "--events", "50")
    assert done.returncode == 0, done.stderr
    assert "too few" in anabranch("calibrate", config, *words).stderr  # 240 rows, all of them learned
