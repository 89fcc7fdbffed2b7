"""Models that raise half way through learning a marked event: what poison is to a learner."""

from typing import Any

from river import base, linear_model, naive_bayes, preprocessing, tree

POISON = 666.0
"""The value, of any feature, that a choking model chokes on."""


class Choking(base.Classifier):
    """A classifier that has learned a poison event when it raises on it, so that its state can no longer be trusted."""

    def __init__(self, inner: base.Estimator) -> None:
        self.inner = inner

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Learn; raises ArithmeticError on a poison event."""
        self.inner.learn_one(x, y)  # type: ignore[attr-defined]  # every classifier has it
        if POISON in x.values():
            raise ArithmeticError("choked")

    def predict_proba_one(self, x: dict[Any, Any], **named: Any) -> Any:
        """As the classifier within."""
        return self.inner.predict_proba_one(x)  # type: ignore[attr-defined]


def bayes() -> Choking:
    """Gaussian naive Bayes."""
    return Choking(naive_bayes.GaussianNB())


def linear() -> Choking:
    """A logistic regression."""
    return Choking(preprocessing.StandardScaler() | linear_model.LogisticRegression())


def hoeffding_tree() -> Choking:
    """A Hoeffding tree that splits early."""
    return Choking(tree.HoeffdingTreeClassifier(grace_period=20, delta=0.1, leaf_prediction="mc"))
