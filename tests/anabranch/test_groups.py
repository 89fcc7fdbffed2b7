"""Models that make up for how groups are served: what they learn, what they answer, and what that costs."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from river import base, compose, dummy, linear_model, preprocessing

from anabranch import artifact, statetree
from anabranch.errors import ModelSpecError
from anabranch.groups import GROUPS_MAX, Grouping, GroupThresholds, Reweighing
from config.learning import ModelSpec
from learners.models import catalogue


class Counts(base.Classifier):
    """Counts what it is taught, and says the same of everything."""

    def __init__(self) -> None:
        self.learned: dict[tuple[Any, bool], int] = {}

    def learn_one(self, x: dict[str, Any], y: Any) -> None:
        """Count it."""
        self.learned[x["g"], y] = self.learned.get((x["g"], y), 0) + 1

    def predict_proba_one(self, x: dict[str, Any], **kwargs: Any) -> dict[Any, float]:
        """Rather not."""
        return {True: 0.4, False: 0.6}


def stream(events: int = 4000, *, seed: int = 3) -> list[tuple[dict[str, Any], bool]]:
    """In PT three of ten labels are positive, elsewhere more than half; `a` tells the label, `proxy` where it is."""
    rng, found = random.Random(seed), []
    for _ in range(events):
        is_pt = rng.random() < 0.3
        y = rng.random() < (0.3 if is_pt else 0.55)
        x = {"g": "PT" if is_pt else "FR", "a": rng.gauss(float(y), 1), "proxy": rng.gauss(float(is_pt), 0.5)}
        found.append((x, y))
    return found


def linear() -> Any:
    """A logistic regression that sees where an event is."""
    return (
        compose.Select("a", "proxy") + (compose.Select("g") | preprocessing.OneHotEncoder())
    ) | linear_model.LogisticRegression()


def served(model: Any, *, begin: int = 1500) -> dict[str, float]:
    """Accuracy, and the gaps in selection rates and true positive rates, test-then-train, from some event on."""
    right, selected, found = [], {"FR": [], "PT": []}, {"FR": [], "PT": []}  # type: ignore[var-annotated]
    for n, (x, y) in enumerate(stream()):
        answer = model.predict_one(x)
        model.learn_one(x, y)
        if n >= begin:
            right.append(answer == y)
            selected[x["g"]].append(answer)
            if y:
                found[x["g"]].append(answer)
    gaps = (abs(sum(each["FR"]) / len(each["FR"]) - sum(each["PT"]) / len(each["PT"])) for each in (selected, found))
    return dict(zip(("accuracy", "parity", "opportunity"), (sum(right) / len(right), *gaps), strict=True))


def test_an_event_is_learned_as_often_as_it_counts() -> None:
    """Labels come to be independent of groups: 100 of each of four kinds in the ratio of the margins."""
    model = Reweighing(Counts(), feature="g", window=10**9)
    kinds = [("PT", True)] * 1 + [("PT", False)] * 3 + [("FR", True)] * 9 + [("FR", False)] * 7
    for _ in range(100):
        for group, y in random.Random(4).sample(kinds, len(kinds)):
            model.learn_one({"g": group}, y)
    expected = {("PT", True): 200, ("PT", False): 200, ("FR", True): 800, ("FR", False): 800}
    assert model.model.learned == {kind: pytest.approx(count, abs=12) for kind, count in expected.items()}
    assert model.weight("PT", True) == pytest.approx(2.0, rel=1e-6)


def test_reweighing_costs_little_and_wins_most_of_the_gap() -> None:
    plain, weighed = served(linear()), served(Reweighing(linear(), feature="g"))
    assert plain["parity"] > 0.3
    assert weighed["parity"] < plain["parity"] / 3
    assert plain["accuracy"] - 0.03 < weighed["accuracy"] < plain["accuracy"]


@pytest.mark.parametrize(("criterion", "gap"), [("demographic-parity", "parity"), ("equal-opportunity", "opportunity")])
def test_thresholds_by_group_make_the_rates_equal_that_they_are_for(criterion: Any, gap: str) -> None:
    plain = served(linear())
    fair = served(GroupThresholds(linear(), feature="g", criterion=criterion, step=0.01))
    assert fair[gap] < 0.06 < plain[gap]
    assert fair["accuracy"] > plain["accuracy"] - 0.04


MADE: list[Callable[[], Any]] = [
    lambda: Reweighing(linear(), feature="g"),
    lambda: GroupThresholds(linear(), feature="g", criterion="equal-opportunity"),
]


@pytest.mark.parametrize("make", MADE)
def test_it_goes_on_from_its_bytes(make: Callable[[], Any]) -> None:
    """To the last bit, as every model in a checkpoint does; and a clone is as it was made."""
    straight, halved = (statetree.decode(statetree.encode(make())) for _ in range(2))
    events = stream(600)
    for x, y in events[:300]:
        straight.learn_one(x, y)
        halved.learn_one(x, y)
    halved = statetree.decode(statetree.encode(halved))
    for x, y in events[300:]:
        straight.learn_one(x, y)
        halved.learn_one(x, y)
    assert statetree.digest(halved) == statetree.digest(straight)
    fresh = statetree.decode(statetree.encode(make()))
    assert statetree.digest(statetree.decode(statetree.encode(straight.clone()))) == statetree.digest(fresh)


def test_probabilities_stay_the_models_own() -> None:
    """Only the label takes another one: who reads probabilities is not misled, and followers ask for both."""
    model, plain = GroupThresholds(Counts(), feature="g", step=0.05), Counts()
    for _ in range(20):
        model.learn_one({"g": "PT"}, True)
    assert model.predict_proba_one({"g": "PT"}) == plain.predict_proba_one({"g": "PT"})
    assert not artifact.derives_label(model)
    assert artifact.derives_label(Reweighing(Counts(), feature="g"))
    assert GroupThresholds(dummy.PriorClassifier(), feature="g").predict_one({}) is None


def test_groups_are_bounded_and_bands_are_those_of_the_configuration() -> None:
    """Of a feature that is no group at all, an id say, only so many are told apart."""
    model = Reweighing(Counts(), feature="g")
    for n in range(3 * GROUPS_MAX):
        model.learn_one({"g": n}, n % 2 == 0)
    assert len(model.counts) == GROUPS_MAX + 1
    banded, grouping = Reweighing(Counts(), feature="g", edges=[30, 60]), Grouping("g", edges=[30, 60])
    for value in (18, 30, 59.5, 60, 80):
        banded.learn_one({"g": value}, True)
    assert len(banded.counts) == len({grouping.of({"g": value}) for value in (18, 30, 59.5, 60, 80)}) == 3


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"use": "fairness.Reweighing", "feature": "g", "model": {"use": "linear_model.Perceptron"}}, ""),
        ({"use": "fairness.GroupThresholds", "feature": "g", "model": {"use": "linear_model.LogisticRegression"},
          "criterion": "luck"}, '"demographic-parity" or "equal-opportunity", not \'luck\''),
        ({"use": "fairness.Reweighing", "feature": "g", "model": {"use": "linear_model.LogisticRegression"},
          "edges": [60, 30]}, "`edges` has to grow"),
        ({"use": "fairness.Reweighing", "feature": "g", "model": {"use": "linear_model.LinearRegression"}},
         "LinearRegression gives no probabilities"),
    ],
)  # fmt: skip
def test_it_is_named_in_a_configuration(parameters: dict[str, Any], said: str) -> None:
    """And what cannot be made is refused, with what is wrong."""
    if not said:
        assert isinstance(catalogue.build(ModelSpec(steps=(parameters,)), seed=1), Reweighing)
        return
    with pytest.raises(ModelSpecError, match=said):
        catalogue.build(ModelSpec(steps=(parameters,)), seed=1)
