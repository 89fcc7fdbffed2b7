"""`anabranch backtest --compare` and `--plot`, as a person calls them."""

import io
import itertools
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from rich.console import Console
from river.datasets import synth

from anabranch.errors import ConfigError
from anabranch.messages import ModelUpdate
from commands.backtest import _painter
from commands.views import backtest as backtest_view
from commands.views.backtest_plot import _name_swaps
from evaluation.swaps import Trace
from support.command_line import anabranch
from support.streams import CALLS, calls

BAYES, TREE = "naive_bayes.GaussianNB", "tree.HoeffdingTreeClassifier"


def config_in(folder: Path, name: str, *, use: str, more: str = "", task: str = "binary") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(f'name = "{name}"\ntask = "{task}"\n{more}\n[model]\nsteps = [{{ use = "{use}" }}]\n')
    return path


@pytest.fixture(scope="module")
def sea(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SEA with one change, at 2,500 of 5,000."""
    path = tmp_path_factory.mktemp("sea") / "sea.jsonl"
    stream = itertools.chain(*(itertools.islice(synth.SEA(variant=v, seed=v), 2500) for v in (2, 3)))
    rows = (
        {"id": f"e{n}", "ts": 1.6e9 + n, "features": {str(name): x[name] for name in x}, "label": y}
        for n, (x, y) in enumerate(stream)
    )
    path.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    return path


def test_compare_puts_the_configurations_side_by_side(tmp_path: Path, sea: Path) -> None:
    """Each with the result it has alone, its swaps judged in hindsight, and its time."""
    still = config_in(tmp_path, "still", use=BAYES, more="detectors = {}")
    heeding = config_in(tmp_path, "heeding", use=BAYES)
    alone = json.loads(anabranch("backtest", heeding, "--data", sea, "--json").stdout)
    words = ["--compare", still, heeding, "--data", sea, "--json", "--processes", 1]
    both = json.loads(anabranch("backtest", *words).stdout)["results"]
    assert [Path(each["config"]).stem for each in both] == ["still", "heeding"]
    assert both[1]["state_hash"] == alone["state_hash"]
    assert [(len(each["swaps"]), each["swaps_judged"], each["swaps_wrong"]) for each in both] == [(0, 0, 0), (1, 1, 0)]
    assert both[1]["scores"]["accuracy"] > both[0]["scores"]["accuracy"] + 0.02
    assert all(each["us_per_event"] > 0 for each in both)


def test_compare_gives_the_same_on_one_core_and_on_several(tmp_path: Path, sea: Path) -> None:
    """To the last digit, all but the time that it took; in the order in which they are named."""
    configs = [config_in(tmp_path, name, use=use) for name, use in (("tree", TREE), ("bayes", BAYES))]
    words = ["backtest", "--compare", *configs, "--data", sea, "--limit", 1000, "--json", "--processes"]
    one, two = (json.loads(anabranch(*words, count).stdout)["results"] for count in (1, 2))
    for each in (*one, *two):
        assert each.pop("us_per_event") > 0
        each.pop("events_per_second")
    assert one == two
    assert [each["model"] for each in two] == ["tree", "bayes"]


def test_compare_says_what_is_wrong_in_any_of_its_processes(tmp_path: Path, sea: Path) -> None:
    """As of one configuration: exit code 2."""
    configs = [config_in(tmp_path, name, use=BAYES) for name in ("one", "two")]
    words = ["backtest", "--compare", *configs, "--data", sea, "--processes", 2, "--delay", "7x"]
    done = anabranch(*words)
    assert (done.returncode, "7x" in done.stderr) == (2, True)


def test_compare_prints_one_row_a_configuration(tmp_path: Path, sea: Path) -> None:
    """For people."""
    configs = [config_in(tmp_path, name, use=use) for name, use in (("bayes", BAYES), ("tree", TREE))]
    done = anabranch("backtest", "--compare", *configs, "--data", sea, "--limit", 500, "--processes", 1)
    assert done.returncode == 0, done.stderr
    assert "500 events" in done.stdout
    assert done.stdout.count("0 of 0") == 2
    assert "µs/event" in done.stdout


def test_several_tasks_cannot_be_compared(tmp_path: Path, sea: Path) -> None:
    """Exit code 2, and which is which."""
    bayes = config_in(tmp_path, "bayes", use=BAYES)
    number = config_in(tmp_path, "number", use="tree.HoeffdingTreeRegressor", task="regression")
    done = anabranch("backtest", "--compare", bayes, number, "--data", sea)
    assert done.returncode == 2
    assert 'number.toml: "regression"' in done.stderr


def test_several_configurations_need_the_word_compare(tmp_path: Path, sea: Path) -> None:
    """Nobody gets the first one's result for all of them."""
    bayes = config_in(tmp_path, "bayes", use=BAYES)
    done = anabranch("backtest", bayes, bayes, "--data", sea)
    assert done.returncode == 2
    assert "--compare" in done.stderr


@pytest.mark.parametrize(("suffix", "begins"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_plot_draws_the_run(tmp_path: Path, sea: Path, suffix: str, begins: bytes) -> None:
    """The result is printed as ever, and the picture is what its name says."""
    picture = tmp_path / f"run{suffix}"
    done = anabranch("backtest", config_in(tmp_path, "bayes", use=BAYES), "--data", sea, "--plot", picture, "--json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["swaps"]) == 1
    assert picture.read_bytes().startswith(begins)
    if suffix == ".svg":
        assert all(
            re.search(f"<!-- {text}", picture.read_text())
            for text in ("error rate,", "adwin", "recruit", "swap", r"v\d+ r")
        )


def test_a_run_without_signals_or_shadows_can_be_drawn(tmp_path: Path, sea: Path) -> None:
    """Also one that is shorter than the window."""
    still = config_in(tmp_path, "still", use=BAYES, more="detectors = {}")
    for limit in (100, 1000):
        done = anabranch("backtest", still, "--data", sea, "--limit", limit, "--plot", tmp_path / "still.png")
        assert done.returncode == 0, done.stderr


def test_the_table_of_swaps_says_who_won_and_what_it_learned() -> None:
    """A recruit that learned nothing before it entered restarted; no gain is -0.0; triggers are told apart."""
    fresh = {"ranges": [{"partition": 0, "start": 5120, "end": 5120}], "events": 0, "note": "fresh"}
    row = {"offset": 5150, "version": 2, "kind": "swap", "arena_events": 30, "member": "r5120-now"}
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(backtest_view._swaps([{**row, "gain": [-0.0004, 0.2, 0.4], "trained_on": fresh}]))
    said = console.export_text()
    assert "r5120-now" in said
    assert "+20.0 [0.0, 40.0]" in said
    assert "fresh from 5,120" in said
    signal = {"detector": "adwin", "offset": 5119, "kind": "error"}
    assert backtest_view._signal({**signal, "triggered": True}) == "adwin at 5,119 (triggered)"
    assert backtest_view._signal({**signal, "triggered": False}) == "adwin at 5,119"


def test_a_backtest_tells_gaps_between_groups_and_who_was_held_back(tmp_path: Path) -> None:
    """So a gate can be tried on a file; of many holds the last ones."""
    config, data = tmp_path / "calls.toml", tmp_path / "calls.jsonl"
    config.write_text(f'name = "calls"\ntask = "binary"\n{CALLS}')
    data.write_bytes(b"\n".join(calls(2000)))
    result = json.loads(anabranch("backtest", config, "--data", data, "--json").stdout)
    (by_age,) = result["fairness"]
    assert [each["group"] for each in by_age["groups"]] == ["30 to 60", "60 and over", "under 30"]
    assert {each["member"] for each in result["held_back"]} == {"outcome"}
    shown = anabranch("backtest", config, "--data", data).stdout
    assert "outcome held back: max_group_gap_widening is 0.05" in shown
    assert re.search(r"equal-opportunity +0\.\d{4} +0\.0000 to 0\.\d{4} ", shown)
    steps = [{"offset": n, "member": "s", "reason": "held back: r"} for n in range(5)]
    assert backtest_view._held_back(steps)[:2] == ["winners held back before: 2", "offset 2: s held back: r"]


def test_the_help_names_the_extra() -> None:
    """Rich takes [plot] for markup, and prints nothing of it."""
    assert "[plot]" in anabranch("backtest", "--help").stdout


def test_names_above_the_picture_make_room_for_each_other() -> None:
    """Swaps close to each other are all named."""
    axes = Figure().subplots()
    axes.set_xlim(0, 10_000)
    blank: dict[str, Any] = dict.fromkeys(("version", "event", "member", "kind"))
    swaps = [ModelUpdate.model_construct(**{**blank, **each}) for each in (
        {"version": 2, "event": 1000, "member": "a", "kind": "swap"},
        {"version": 3, "event": 1010, "member": "b", "kind": "rollback"},
        {"version": 4, "event": 9000, "member": "c", "kind": "swap"},
    )]  # fmt: skip
    _name_swaps(axes, swaps)
    heights = {each.get_text(): round(each.xy[1], 2) for each in axes.texts if isinstance(each, Annotation)}
    assert set(heights) == {"v2 a", "v3 b", "v4 c"}
    assert heights["v3 b"] > heights["v2 a"] == heights["v4 c"]


def test_plot_refuses_what_it_cannot_write_before_it_runs(tmp_path: Path, sea: Path) -> None:
    """A wrong suffix, or a folder that takes no file, is said at once."""
    for picture, said in ((tmp_path / "run.txt", ".png"), (Path("/proc/run.png"), "cannot be written")):
        done = anabranch("backtest", config_in(tmp_path, "b", use=BAYES), "--data", sea, "--plot", picture)
        assert done.returncode == 2
        assert said in done.stderr
        assert "accuracy" not in done.stdout


def test_plot_without_matplotlib_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra by its name."""
    monkeypatch.delitem(sys.modules, "commands.views.backtest_plot", raising=False)
    for name in [each for each in sys.modules if each.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_Without("matplotlib"), *sys.meta_path])
    with pytest.raises(ConfigError, match=r"needs the extra \[plot\] \(matplotlib is not installed\): pip install"):
        _painter(tmp_path / "run.png")


class _Without:
    """An import system in which one package is not installed."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(self, name: str, path: object = None, target: ModuleType | None = None) -> None:
        if name.partition(".")[0] == self.package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=self.package)


def test_a_long_trace_is_thinned_evenly() -> None:
    """It keeps at most so many events, whatever the length."""
    trace = Trace(window=10, points_max=100)
    trace.error = [(n, 0.0) for n in range(1, 102)]
    trace._thin()
    assert [event for event, _ in trace.error] == list(range(2, 102, 2))
    assert trace.every == 2
