"""The portfolios: cheap models of several families that race beside the champion, as steps of a configuration.

Eight for labels: three learning rates of a linear model, naive Bayes, two trees, and an eager tree and naive Bayes that
begin afresh on their own alarm. No family is the best on every stream, and no learning rate either.

>>> [each.name for each in members("cheap", task="binary", words=False)]
['linear-slow', 'linear', 'linear-quick', 'bayes', 'tree', 'adaptive-tree', 'tree-reset', 'bayes-reset']
"""

from typing import Any, Literal

from config.settings import Standing

Table = dict[str, Any]

_ADAPTIVE: Table = {"use": "tree.HoeffdingAdaptiveTreeClassifier"}
_TREE: Table = {"use": "tree.HoeffdingTreeClassifier"}
_EAGER_TREE: Table = {**_TREE, "grace_period": 50, "delta": 1e-4}
"""A tree that begins afresh has to grow while the concept lasts. On 8,000 events of Agrawal's functions it is up
to 7 points better than one that waits for River's usual certainty, and on SEA's as good, at some 10 % more time."""

_ADAPTIVE_MEANS: Table = {"use": "tree.HoeffdingAdaptiveTreeRegressor", "leaf_prediction": "mean"}
"""Its linear leaves answer 100,000 now and then where 10 would be right, and a bounded loss hardly minds."""

_BAYES: Table = {"use": "naive_bayes.GaussianNB"}


def members(portfolio: Literal["cheap", "cheap+forest"], *, task: str, words: bool) -> list[Standing]:
    """The standing shadows of a portfolio.

    Args:
        words: whether some features are strings: what computes with numbers then gets them one-hot encoded.
    """
    if task == "reco":
        return _recommenders()
    several = _numbers(words=words) if task == "regression" else _labels(task, words=words)
    if portfolio == "cheap+forest":
        kind = "Regressor" if task == "regression" else "Classifier"
        several.append(Standing(name="forest", steps=({"use": f"forest.ARF{kind}", "n_models": 10},)))
    return several


def _labels(task: str, *, words: bool) -> list[Standing]:
    linear = "SoftmaxRegression" if task == "multiclass" else "LogisticRegression"
    bayes = (*_encoded(scaled=False), _BAYES) if words else (_BAYES,)
    return [
        *[
            Standing(name=name, steps=(*_scaled(words=words), _linear(linear, rate)))
            for name, rate in (("linear-slow", 0.005), ("linear", 0.05), ("linear-quick", 0.5))
        ],
        Standing(name="bayes", steps=bayes),
        Standing(name="tree", steps=(_TREE,)),
        Standing(name="adaptive-tree", steps=(_ADAPTIVE,)),
        Standing(name="tree-reset", steps=(_EAGER_TREE,), reset_on_alarm=True),
        Standing(name="bayes-reset", steps=bayes, reset_on_alarm=True),
    ]


def _numbers(*, words: bool) -> list[Standing]:
    """Linear models on a standardised target, so that a learning rate means the same on every stream."""
    leaf: Table = {"leaf_prediction": "mean"} if words else {}  # a linear leaf cannot compute with words
    tree = {"use": "tree.HoeffdingTreeRegressor", **leaf}
    return [
        *[
            Standing(name=name, steps=(*_scaled(words=words), _of_scaled_target(_linear("LinearRegression", rate))))
            for name, rate in (("linear-slow", 0.005), ("linear", 0.05), ("linear-quick", 0.2))
        ],
        Standing(name="tree", steps=(tree,)),
        Standing(name="adaptive-tree", steps=(_ADAPTIVE_MEANS,)),
        Standing(name="tree-reset", steps=(tree,), reset_on_alarm=True),
        Standing(
            name="linear-reset",
            steps=(*_scaled(words=words), _of_scaled_target(_linear("LinearRegression", 0.05))),
            reset_on_alarm=True,
        ),
    ]


def _recommenders() -> list[Standing]:
    """Biases alone, and factors at two rates. (A forest knows nothing of users and items.)"""
    biases: Table = {"use": "reco.Baseline", "optimizer": {"use": "optim.SGD", "lr": 0.05}}
    return [
        Standing(name="biases", steps=(biases,)),
        *[Standing(name=name, steps=(_factors(rate),)) for name, rate in (("factors-slow", 0.01), ("factors", 0.05))],
        Standing(name="biases-reset", steps=(biases,), reset_on_alarm=True),
    ]


def _factors(rate: float) -> Table:
    optimizer = {"use": "optim.SGD", "lr": rate}
    return {"use": "reco.BiasedMF", "bias_optimizer": optimizer, "latent_optimizer": optimizer}


def _linear(kind: str, rate: float) -> Table:
    """By Adam for numbers: its steps are bounded by the rate, where a feature that had never moved made SGD diverge."""
    optimizer = "Adam" if kind == "LinearRegression" else "SGD"
    return {"use": f"linear_model.{kind}", "optimizer": {"use": f"optim.{optimizer}", "lr": rate}}


def _of_scaled_target(regressor: Table) -> Table:
    return {"use": "preprocessing.TargetStandardScaler", "regressor": regressor}


def _scaled(*, words: bool) -> tuple[Table, ...]:
    return _encoded(scaled=True) if words else ({"use": "preprocessing.StandardScaler"},)


def _encoded(*, scaled: bool) -> tuple[Table, ...]:
    """Numbers (standardised or not) beside one-hot encoded words."""
    numbers: list[Table] = [{"use": "compose.SelectType", "types": ["number"]}]
    if scaled:
        numbers.append({"use": "preprocessing.StandardScaler"})
    words: list[Table] = [{"use": "compose.SelectType", "types": ["string"]}, {"use": "preprocessing.OneHotEncoder"}]
    pipelines = [{"use": "compose.Pipeline", "steps": steps} for steps in (numbers, words) if len(steps) > 1]
    return ({"use": "compose.TransformerUnion", "transformers": pipelines if scaled else [*numbers, *pipelines]},)
