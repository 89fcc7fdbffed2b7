"""Who competes: models alone, two usual ways of adapting, and Anabranch by its configuration. One line each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.accuracy.streams import SEEDS

Way = Literal["alone", "reset", "peeking", "batch", "capymoa", "anabranch"]


@dataclass(frozen=True)
class Entry:
    """A competitor: the way it is run, and a configuration (or a part of one) for labels, numbers and ratings.

    `seeds` is how many of a synthetic stream's seeds it is run on: fewer where it is slow. One of CapyMOA's has no
    configuration but the name of its learner.
    """

    name: str
    way: Way
    labels: Mapping[str, Any] | None = None
    numbers: Mapping[str, Any] | None = None
    ratings: Mapping[str, Any] | None = None
    seeds: int = len(SEEDS)

    def table(self, task: str) -> Mapping[str, Any] | None:
        """The configuration for the task; None if it has none."""
        return {"regression": self.numbers, "reco": self.ratings}.get(task, self.labels)


def _model(*steps: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": {"steps": list(steps)}, **more}


_TREE = {"use": "tree.HoeffdingTreeClassifier"}
_TREE_R = {"use": "tree.HoeffdingTreeRegressor"}
_HAT = {"use": "tree.HoeffdingAdaptiveTreeClassifier"}
_HAT_R = {"use": "tree.HoeffdingAdaptiveTreeRegressor"}
_BAYES = {"use": "naive_bayes.GaussianNB"}
_TEN = {"n_models": 10}
_FACTORS = {"use": "reco.BiasedMF"}
_CHEAP = {"shadows": {"portfolio": "cheap"}}
_CHAMPION = {"shadows": {"portfolio": "cheap-2"}}
"""The same members, of which one serves: it shows what becomes of swaps."""
_FOREST = {"shadows": {"portfolio": "cheap+forest"}}

ENTRIES = (
    Entry("no change", "alone", _model({"use": "dummy.NoChangeClassifier"}),
          _model({"use": "dummy.StatisticRegressor", "statistic": {"use": "stats.Shift", "amount": 0}})),
    Entry("HoeffdingTree", "alone", _model(_TREE), _model(_TREE_R)),
    Entry("HAT", "alone", _model(_HAT), _model(_HAT_R)),
    Entry("reset on ADWIN", "reset", _model(_TREE), _model(_TREE_R)),
    Entry("peeking McNemar", "peeking", _model(_TREE), _model(_TREE_R)),
    Entry("ARF10", "alone", _model({"use": "forest.ARFClassifier"} | _TEN),
          _model({"use": "forest.ARFRegressor"} | _TEN)),
    Entry("LeveragingBagging5", "alone",
          labels=_model({"use": "ensemble.LeveragingBaggingClassifier", "model": _TREE, "n_models": 5})),
    Entry("Bagging5", "alone", numbers=_model({"use": "ensemble.BaggingRegressor", "model": _TREE_R, "n_models": 5})),
    Entry("SRP10", "alone", _model({"use": "ensemble.SRPClassifier"} | _TEN),
          _model({"use": "ensemble.SRPRegressor"} | _TEN), seeds=1),
    Entry("AMF10", "alone", _model({"use": "forest.AMFClassifier"}), _model({"use": "forest.AMFRegressor"}), seeds=1),
    Entry("batch LR", "batch", labels={}),
    Entry("batch LightGBM", "batch", labels={}),
    Entry("CapyMOA ARF10", "capymoa", labels={"learner": "ARF10"}),
    Entry("CapyMOA LeveragingBagging10", "capymoa", labels={"learner": "LeveragingBagging10"}),
    Entry("CapyMOA SRP10", "capymoa", labels={"learner": "SRP10"}, seeds=1),
    Entry("CapyMOA SGBT100", "capymoa", labels={"learner": "SGBT100"}, seeds=1),
    Entry("reco.Baseline", "alone", ratings=_model({"use": "reco.Baseline"})),
    Entry("reco.BiasedMF", "alone", ratings=_model(_FACTORS)),
    Entry("Anabranch, BiasedMF", "anabranch", ratings=_model(_FACTORS)),
    Entry("Anabranch, GaussianNB", "anabranch", labels=_model(_BAYES)),
    Entry("Anabranch, HoeffdingTree", "anabranch", _model(_TREE), _model(_TREE_R)),
    Entry("Anabranch, HAT", "anabranch", _model(_HAT), _model(_HAT_R)),
    Entry("Anabranch, cheap", "anabranch", _model(_TREE, **_CHEAP), _model(_TREE_R, **_CHEAP),
          _model(_FACTORS, **_CHEAP)),
    Entry("Anabranch, cheap+forest", "anabranch", _model(_TREE, **_FOREST), _model(_TREE_R, **_FOREST)),
    Entry("Anabranch, cheap-2", "anabranch", _model(_TREE, **_CHAMPION), _model(_TREE_R, **_CHAMPION)),
)  # fmt: skip
