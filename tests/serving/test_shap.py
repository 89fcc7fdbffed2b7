"""Explanations beside those of shap, on the same models and backgrounds."""

import warnings
from typing import Any

import numpy as np
import pytest
from river import forest, linear_model, tree
from river.tree.nodes.branch import DTBranch

from serving.explanation import Explainer
from support.explained import FEATURES, explainer, numbers

pytestmark = pytest.mark.shap

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of what it imports
    shap = pytest.importorskip("shap", reason="shap has an environment of its own: make test-shap")


def matrix(several: Any) -> Any:
    return np.array([[x[name] for name in FEATURES] for x in several])


def ours(explained: Explainer, x: dict[str, float]) -> list[float]:
    found = explained.explain(x)
    assert found.method == "exact"
    amounts = {each.feature: each.amount for each in found.contributions}
    return [amounts[name] for name in FEATURES]


@pytest.mark.parametrize(
    ("task", "model"),
    [("binary", linear_model.LogisticRegression()), ("regression", linear_model.LinearRegression())],
)
def test_linear_models_agree(task: str, model: Any) -> None:
    """`shap.LinearExplainer`, interventional: log-odds, and the number."""
    taught = numbers(task)
    explained, follower = explainer(model, task, taught)
    learned = follower.champion.artifact.model
    weights = np.array([learned.weights[name] for name in FEATURES])
    theirs = shap.LinearExplainer((weights, learned.intercept), matrix(explained.background))
    for x, _ in taught[-5:]:
        assert ours(explained, x) == pytest.approx(theirs.shap_values(matrix([x]))[0], abs=1e-6)


def as_arrays(root: Any, weight: float, task: str) -> dict[str, Any]:
    """A tree as shap reads it."""
    nodes = list(root.iter_dfs())
    place = {id(node): number for number, node in enumerate(nodes)}

    def said(node: Any) -> float:
        if isinstance(node, DTBranch):
            return 0.0
        if task == "regression":
            return float(node.stats.mean.get())
        return float(node.stats.get(True, 0.0) / sum(node.stats.values()))

    def of(node: Any, side: int) -> int:
        return place[id(node.children[side])] if isinstance(node, DTBranch) else -1

    branch = [isinstance(node, DTBranch) for node in nodes]
    pairs = list(zip(nodes, branch, strict=True))
    return {
        "children_left": np.array([of(node, 0) for node in nodes]),
        "children_right": np.array([of(node, 1) for node in nodes]),
        "children_default": np.array([of(node, 0) for node in nodes]),
        "features": np.array([FEATURES.index(node.feature) if is_branch else -2 for node, is_branch in pairs]),
        "thresholds": np.array([node.threshold if is_branch else -2.0 for node, is_branch in pairs]),
        "values": weight * np.array([[said(node)] for node in nodes]),
        "node_sample_weight": np.array([max(1.0, float(node.total_weight)) for node in nodes]),
    }


TREES = [
    ("binary", tree.HoeffdingTreeClassifier(grace_period=50, delta=0.1, tau=0.3, leaf_prediction="mc")),
    ("regression", tree.HoeffdingTreeRegressor(grace_period=50, leaf_prediction="mean")),
    ("binary", forest.ARFClassifier(5, grace_period=50, leaf_prediction="mc", seed=1)),
]


@pytest.mark.parametrize(("task", "model"), TREES, ids=["majority tree", "mean tree", "forest"])
def test_trees_agree(task: str, model: Any) -> None:
    """`shap.TreeExplainer`, interventional, given the same splits and leaves."""
    taught = numbers(task, events=900)
    explained, _ = explainer(model, task, taught)
    assert explained.trees is not None
    voters = explained.trees.voters
    assert max(each.root.n_nodes for each in voters) > 5
    read = {"trees": [as_arrays(each.root, each.weight, task) for each in voters]}
    theirs = shap.TreeExplainer(read, matrix(explained.background), feature_perturbation="interventional")
    for x, _ in taught[-5:]:
        assert ours(explained, x) == pytest.approx(np.ravel(theirs.shap_values(matrix([x]))), abs=1e-6)
