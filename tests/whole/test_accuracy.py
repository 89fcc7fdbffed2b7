"""The accuracy harness: its measures against known values, its streams, its rivals, and the table from a tiny run."""

import random
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from river import dummy, metrics, tree

from anabranch.events import Prediction
from benchmarks.accuracy import batch_pass, capymoa_pass, generators, jobs, measures, one_pass, our_pass
from benchmarks.accuracy.__main__ import main
from benchmarks.accuracy.aims import ARF, CHEAP, EIGHT, aims
from benchmarks.accuracy.entries import ENTRIES
from benchmarks.accuracy.results import Results
from benchmarks.accuracy.streams import STREAMS, Stream

SEA = next(each for each in STREAMS if each.name == "sea_abrupt")


def test_no_change_has_a_temporal_kappa_of_nought() -> None:
    """River's classifier of that name is what kappa-temporal measures against; perfection is 1."""
    model, truth, said = dummy.NoChangeClassifier(), [], []
    for x, y in SEA.events(seed=1, data=Path(), limit=500):
        truth.append(y)
        said.append(model.predict_one(x))
        model.learn_one(x, y)
    assert measures.kappa_temporal(truth, said) == pytest.approx(0.0)
    assert measures.kappa_temporal(truth, truth) == 1.0


def test_kappa_temporal_is_the_ratio_of_errors() -> None:
    """1 − (1 − accuracy)/(1 − accuracy of no change): here 2 errors of 9, where no change makes 5."""
    truth = [True, True, False, False, True, True, False, False, True]
    said = [True, False, False, False, True, True, False, False, False]
    assert measures.kappa_temporal(truth, said) == pytest.approx(1 - 2 / 5)


def test_average_precision_of_a_random_order_is_the_share_of_positives() -> None:
    """And 1 for a perfect order, whatever the scores' scale; equal scores are one step."""
    rng = random.Random(1)
    truth = [rng.random() < 0.1 for _ in range(20_000)]
    share = sum(truth) / len(truth)
    assert measures.average_precision(truth, [rng.random() for _ in truth]) == pytest.approx(share, abs=0.01)
    assert measures.average_precision(truth, [0.5] * len(truth)) == pytest.approx(share)
    assert measures.average_precision([True, False, True, False], [0.9, 0.8, 0.7, 0.1]) == pytest.approx(
        (1 + 2 / 3) / 2
    )
    assert measures.average_precision(truth, [5.0 if y else -5.0 for y in truth]) == 1.0


def test_recovery_counts_from_the_change_to_a_full_good_window() -> None:
    """900 misses, then hits only: 190 hits of the last 200 make 95 %, at 1,090."""
    hits = np.concatenate([np.ones(1000), np.zeros(900), np.ones(3100)])
    assert measures.recovery_events(hits, change=1000, end=5000, level=1.0) == 1090
    assert measures.recovery_events(hits, change=2000, end=5000, level=1.0) == measures.ROLLING
    assert measures.recovery_events(hits, change=1000, end=1800, level=1.0) == 800


def test_hits_survive_packing() -> None:
    """Eight to a byte and back."""
    hits = [random.Random(2).random() < 0.7 for _ in range(1003)]
    assert measures.unpacked(measures.packed(hits), events=len(hits)).tolist() == [int(hit) for hit in hits]


def test_the_measures_are_rivers() -> None:
    """Accuracy and kappa as River computes them; Brier's score of a sure miss is 1."""
    served = [(True, Prediction(True, {True: 0.8, False: 0.2})), (False, Prediction(True, {True: 1.0}))] * 10
    served.append((False, Prediction(False, {False: 1.0})))
    found = measures.of_labels(served, with_hits=False)
    accuracy, kappa = metrics.Accuracy(), metrics.CohenKappa()
    for y, answer in served:
        accuracy.update(y, answer.value)
        kappa.update(y, answer.value)
    assert (found["accuracy"], found["kappa"]) == (accuracy.get(), kappa.get())
    assert found["brier"] == pytest.approx((10 * 0.04 + 10 * 1.0) / 21)
    assert "pr_auc" not in found


@pytest.mark.parametrize("stream", [each for each in STREAMS if each.generator], ids=lambda stream: stream.name)
def test_a_synthetic_stream_is_its_seeds(stream: Stream) -> None:
    """The same events again for the same seed, others for another."""
    one, again, other = (stream.events(seed=seed, data=Path(), limit=300) for seed in (1, 1, 2))
    assert one == again != other
    assert len(one) == 300
    assert {type(y) for _, y in one} == {float if stream.task == "reco" else bool}


def test_a_gradual_change_mixes_both_concepts_around_its_middle() -> None:
    """Far before it comes the old one only, far behind it the new one only."""
    chance = random.Random(1)
    drawn = [generators._concept(n, each=4000, width=500, last=1, chance=chance) for n in range(8000)]
    assert set(drawn[:3000]) == {0}
    assert set(drawn[5000:]) == {1}
    assert 0.35 < sum(drawn[3900:4100]) / 200 < 0.65


def test_the_model_alone_is_rivers_own_loop() -> None:
    """A pass gives the accuracy of predict, then learn; with detectors off, so does Anabranch's."""
    events = SEA.events(seed=1, data=Path(), limit=1500)
    model, right = tree.HoeffdingTreeClassifier(), 0
    for x, y in events:
        right += model.predict_one(x) == y
        model.learn_one(x, y)
    table = {"model": {"steps": [{"use": "tree.HoeffdingTreeClassifier"}]}, "detectors": {}}
    settings = one_pass.settings_of(table, task="binary", seed=1, rare=False)
    for passed in (one_pass.rival("alone", settings, events), our_pass.anabranch(settings, events)):
        assert measures.of_labels(passed.served, with_hits=False)["accuracy"] == right / len(events)


@pytest.mark.parametrize("way", ["reset", "peeking"])
def test_an_adaptive_rival_swaps_after_a_change_and_does_better_than_the_model_alone(way: str) -> None:
    """SEA turned round: what it had learned is wrong."""
    events = SEA.events(seed=1, data=Path(), limit=2500)
    turned = [*events, *((x, not y) for x, y in events)]
    settings = one_pass.settings_of(
        {"model": {"steps": [{"use": "naive_bayes.GaussianNB"}]}}, task="binary", seed=1, rare=False
    )
    alone, adaptive = (one_pass.rival(each, settings, turned) for each in ("alone", way))
    assert adaptive.swaps >= 1
    right = [sum(y == answer.value for y, answer in passed.served) for passed in (alone, adaptive)]
    assert right[1] > right[0] + 1000


def test_every_entry_has_a_name_of_its_own_and_a_configuration() -> None:
    """The table's columns."""
    assert len({each.name for each in ENTRIES}) == len(ENTRIES)
    tasks = ("binary", "regression", "reco")
    assert all(any(each.table(task) is not None for task in tasks) for each in ENTRIES)


@pytest.mark.peers
def test_a_batch_model_is_served_from_its_refit_on() -> None:
    """Before it the label that was the most frequent; and without the library the reason why there is no figure."""
    pytest.importorskip("sklearn", reason="scikit-learn is not installed: make peers")
    events = [({"a": float(n % 7)}, n % 7 > 3) for n in range(batch_pass.EVERY + 700)]
    served = batch_pass.refitted("batch LR", events).served
    before, after = served[: batch_pass.EVERY], served[batch_pass.EVERY :]
    assert {answer.value for _, answer in before[10:]} == {False}
    assert all(y == answer.value for y, answer in after)


def test_a_missing_library_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no accuracy of nought."""
    monkeypatch.setitem(sys.modules, "sklearn.preprocessing", None)
    events = [({"a": float(n % 7)}, n % 7 > 3) for n in range(batch_pass.EVERY + 700)]
    with pytest.raises(batch_pass.NotInstalled, match="make peers"):
        batch_pass.refitted("batch LR", events)


def test_what_followers_answered_is_measured_beside_it() -> None:
    """From the first announcement on; without a drift a copy is hardly behind."""
    events = SEA.events(seed=1, data=Path(), limit=1500)
    table = {"model": {"steps": [{"use": "naive_bayes.GaussianNB"}]}}
    passed = our_pass.anabranch(one_pass.settings_of(table, task="binary", seed=1, rare=False), events)
    assert passed.announced >= 1
    assert 1000 < len(passed.followed) < 1500
    assert measures.accuracy(passed.followed) == pytest.approx(
        measures.of_labels(passed.served, with_hits=False)["accuracy"], abs=0.03
    )


def test_a_days_best_hundred_are_counted_by_day() -> None:
    """A day with fewer events counts with those that it has."""
    truth = [True] * 50 + [False] * 150 + [True] * 10
    scores = [1.0] * 50 + [0.5] * 150 + [0.1] * 10
    days = ["first"] * 200 + ["second"] * 10
    assert measures.precision_at_top(truth, scores, days) == (0.5 + 1.0) / 2


def test_what_this_version_does_not_know_is_left_out_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration that is refused is no accuracy of nought."""
    entry = type(ENTRIES[0])("new", "anabranch", labels={"model": {"steps": []}, "tomorrow": 1})
    monkeypatch.setattr(jobs, "ENTRIES", (entry,))
    result = jobs.carry_out(jobs.Job("sea_abrupt", "new", 1, str(tmp_path), 100))
    assert "tomorrow" in result["refused"]


def test_a_tiny_run_writes_the_table_and_the_next_one_runs_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each pass is kept; streams whose file is absent are named."""
    words = [
        "--quick",
        "--streams",
        "sea_abrupt",
        "elec2",
        "--entries",
        "no change",
        "anabranch, gauss",
        "--seeds",
        "1",
    ]
    words += ["--data", str(tmp_path), "--cache", str(tmp_path / "cache"), "--workers", "1"]
    assert main(words) == 0
    first = capfd.readouterr().out
    assert main(words) == 0
    second = capfd.readouterr().out
    assert "[2/2," in first
    assert "[1/" not in second
    assert second in first
    assert "not in the data folder: elec2" in second
    rows = (
        r"\|  \| sea_abrupt \|",
        r".*",
        r"\| no change \| 0\.\d{4} \|",
        r"\| Anabranch, GaussianNB \| \*\*0\.\d{4}\*\* \|",
    )
    assert re.search("\n".join(rows), second)


def passed(stream: str, entry: str, **measured: Any) -> dict[str, Any]:
    return {"key": f"{stream}/{entry}/{measured}", "stream": stream, "entry": entry, "seed": 1, **measured}


def test_an_aim_is_met_missed_or_not_measured_by_the_results_alone() -> None:
    """Two wrong swaps of forty are 5 %; a mean over the eight streams needs all eight."""
    several = [passed(name, CHEAP, accuracy=0.86, us=70.0, judged=10, wrong=0) for name in EIGHT[:-1]]
    several += [passed(name, ARF, accuracy=0.9, us=100.0) for name in EIGHT]
    last = passed(EIGHT[-1], CHEAP, accuracy=0.85, us=70.0, judged=10, wrong=4)
    mean = f"mean accuracy over the eight streams, {CHEAP}"
    wrong = f"wrong swaps on synthetic drift, {CHEAP}"
    time = f"time of {CHEAP} as a share of {ARF}'s, eight streams"
    before, after = (
        {aim.what: aim for aim in aims(Results(each, streams=STREAMS))} for each in (several, [*several, last])
    )
    assert [before[each].verdict for each in (mean, wrong, time)] == ["not measured", "met", "not measured"]
    assert [after[each].verdict for each in (mean, wrong, time)] == ["**missed**", "**missed**", "met"]
    assert after[wrong].row()[2] == "6.7% (4 of 60)"


def test_recovery_is_measured_against_the_best_final_level_of_anybody() -> None:
    """A competitor that is never good is never recovered, however steady it is."""
    good = np.concatenate([np.ones(8000), np.zeros(500), np.ones(23_500)])
    poor = np.tile([1, 0], 16_000)
    results = Results(
        [
            passed("sea_abrupt", "a", events=32_000, hits=measures.packed(good)),
            passed("sea_abrupt", "b", events=32_000, hits=measures.packed(poor)),
        ],
        streams=STREAMS,
    )
    assert results.recovery("sea_abrupt", "a") == pytest.approx((690 + 200 + 200) / 3)
    assert results.recovery("sea_abrupt", "b") == 8000


def test_capymoas_passes_are_left_for_who_has_installed_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without its environment nothing is run, nothing is kept as a result, and the table says how to have it."""
    monkeypatch.setattr(capymoa_pass, "PYTHON", tmp_path / "nowhere")
    words = ["--quick", "--streams", "sea_abrupt", "--entries", "capymoa", "--seeds", "1", "--workers", "1"]
    assert main([*words, "--data", str(tmp_path), "--cache", str(tmp_path)]) == 0
    assert "4 passes have not been run yet, of CapyMOA ARF10, " in (said := capfd.readouterr().out)
    assert "`make capymoa`" in said
    assert not (tmp_path / "results.jsonl").exists()


def test_a_pass_of_capymoas_is_kept_whatever_becomes_of_our_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answers depend on CapyMOA's version and on the stream, and on nothing of the rooms."""
    job = jobs.Job("sea_abrupt", "CapyMOA ARF10", 1, "data", 100)
    key = job.key()
    monkeypatch.setattr(jobs, "_ROOMS", ())
    jobs.code.cache_clear()
    assert job.key() == key
    monkeypatch.setattr(capymoa_pass, "recipe", lambda: "capymoa==0.16.0")
    assert job.key() != key


@pytest.mark.skipif(not capymoa_pass.is_there(), reason="CapyMOA is not installed: make capymoa")
def test_capymoas_tree_is_about_as_right_as_rivers() -> None:
    """Each answer belongs to its event: shifted by one they would be right by chance."""
    events = SEA.events(seed=1, data=Path(), limit=2000)
    settings = one_pass.settings_of(
        {"model": {"steps": [{"use": "tree.HoeffdingTreeClassifier"}]}}, task="binary", seed=1, rare=False
    )
    ours = measures.accuracy(one_pass.rival("alone", settings, events).served)
    theirs = measures.accuracy(capymoa_pass.passed("HoeffdingTree", events, seed=1).served)
    assert theirs == pytest.approx(ours, abs=0.03)


def test_another_file_of_the_same_name_is_another_stream(tmp_path: Path) -> None:
    """Its figures are not those of the first."""
    elec2 = next(each for each in STREAMS if each.name == "elec2")
    digests = set()
    for name, text in (("one", b"a"), ("two", b"b")):
        (tmp_path / name).mkdir()
        elec2.path(tmp_path / name).write_bytes(text)
        digests.add(jobs.Job("elec2", "HoeffdingTree", 1, str(tmp_path / name)).key())
    assert len(digests) == 2
