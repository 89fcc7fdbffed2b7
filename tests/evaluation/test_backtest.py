"""Backtests on real streams, by the command line: what is known of them comes out."""

import json
from functools import cache
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from river import evaluate, linear_model, metrics, preprocessing, stream, tree

from support.checkout import ROOT
from support.command_line import anabranch, in_a_process, python

MODELS = {
    "tree": ('{ use = "tree.HoeffdingTreeClassifier" }', tree.HoeffdingTreeClassifier),
    "linear": (
        '{ use = "preprocessing.StandardScaler" }, { use = "linear_model.LogisticRegression" }',
        lambda: preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    ),
}


def backtest(
    folder: Path, data: Path, *, steps: str, more: str = "", words: tuple[Any, ...] = (), run: Any = anabranch
) -> dict[str, Any]:
    config = folder / "model.toml"
    config.write_text(f'name = "m"\ntask = "binary"\nmodel.steps = [{steps}]\n{more}\n')
    done = run("backtest", config, "--data", data, "--json", *words)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@cache
def result_on(data: Path, *, steps: str, more: str = "", words: tuple[Any, ...] = ()) -> dict[str, Any]:
    """The same run is made once, however many tests look at it."""
    with TemporaryDirectory() as folder:
        return backtest(Path(folder), data, steps=steps, more=more, words=words)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_with_detectors_off_elec2_gives_rivers_own_scores(model: str, shared_data: Path) -> None:
    """The scores equal `progressive_val_score` to the last digit; the first half year says it as well as all of it."""
    steps, make = MODELS[model]
    path = shared_data / "elec2.csv.gz"
    result = result_on(path, steps=steps, more="detectors = {}", words=("--limit", 10_000))
    columns = ["date", "day", "period", "nswprice", "nswdemand", "vicprice", "vicdemand", "transfer"]
    rows = stream.iter_csv(
        str(path), target="target", converters={**dict.fromkeys(columns, float), "target": lambda cell: cell == "1"}
    )
    expected = evaluate.progressive_val_score(islice(rows, 10_000), make(), metrics.Accuracy() + metrics.F1())
    assert result["events"] == 10_000
    assert [result["scores"]["accuracy"], result["scores"]["f1"]] == [metric.get() for metric in expected]
    assert result["signals"] == []


@pytest.mark.slow
def test_naive_bayes_on_sea_swaps_after_each_of_the_three_changes_and_never_else(shared_data: Path) -> None:
    """Abrupt changes at 12,500, 25,000 and 37,500: the quickest recruit wins, perhaps a better one after it."""
    result = result_on(shared_data / "syn_sea_50k.csv.gz", steps='{ use = "naive_bayes.GaussianNB" }')
    offsets = [swap["offset"] for swap in result["swaps"]]
    after = [[at for at in offsets if change < at < change + 2000] for change in (12_500, 25_000, 37_500)]
    assert all(
        1 <= len(each) <= 2 and each[0] < change for each, change in zip(after, (13_700, 26_000, 38_500), strict=True)
    )
    assert sum(map(len, after)) == len(offsets)
    assert result["scores"]["accuracy"] > 0.875


@pytest.mark.slow
def test_without_drift_nothing_is_swapped(shared_data: Path) -> None:
    """A stationary stream leaves the first champion in place."""
    result = result_on(shared_data / "phishing_11k.csv.gz", steps='{ use = "naive_bayes.GaussianNB" }')
    assert result["events"] == 11_055
    assert result["swaps"] == []


SR = """[detectors.sr]
use = "sr.SRDetector"
"""
CHANGES = {
    "syn_sea_50k": ("naive_bayes.GaussianNB", (12_500, 25_000, 37_500), 1_000),
    "hv_sine_gradual": ("tree.HoeffdingAdaptiveTreeClassifier", (9_000, 19_500, 30_000), 2_000),  # where each begins
}
"""A model, the changes, and how late each may be noticed."""


@pytest.mark.slow
@pytest.mark.parametrize("detectors", ["", SR], ids=["as shipped", "sr"])
@pytest.mark.parametrize("name", CHANGES)
def test_each_known_change_is_signalled(name: str, detectors: str, shared_data: Path) -> None:
    """Soon after it begins, and nothing is signalled before the first; the delays are printed."""
    model, changes, late = CHANGES[name]
    data = shared_data / f"{name}.csv.gz"
    result = result_on(data, steps=f'{{ use = "{model}" }}', more=detectors)
    offsets = [signal["offset"] for signal in result["signals"]]
    delays = [next(at - change for at in offsets if at >= change) for change in changes]
    print(f"{name}: {delays} events after {changes}")
    assert max(delays) < late
    assert min(offsets) >= changes[0]


@pytest.mark.slow
@pytest.mark.parametrize("detectors", ["", SR], ids=["as shipped", "sr"])
def test_without_drift_at_most_one_trigger(detectors: str, shared_data: Path) -> None:
    """Each would cost a retraining."""
    data = shared_data / "phishing_11k.csv.gz"
    result = result_on(data, steps='{ use = "naive_bayes.GaussianNB" }', more=detectors)
    assert sum(signal["triggered"] for signal in result["signals"]) <= 1


def test_two_runs_in_two_processes_give_the_same_hash(tmp_path: Path) -> None:
    """P4: the same records, the same learning state."""
    data = tmp_path / "sea.jsonl"
    data.write_text(python(ROOT / "examples" / "sea_stream.py"))
    one, two = (backtest(tmp_path, data, steps=MODELS["tree"][0], run=run) for run in (anabranch, in_a_process))
    assert one["events"] == 10_000
    assert one["state_hash"] == two["state_hash"]
