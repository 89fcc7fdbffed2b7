import random
from collections.abc import Callable
from typing import Any

import pytest
from river import compose, linear_model, optim, preprocessing

from anabranch import statetree
from anabranch.events import Prediction
from learners.models import fused
from learners.models.fence import Fence

OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "SGD": lambda: optim.SGD(0.05),
    "SGD, far too quick": lambda: optim.SGD(500.0),
    "SGD, falling": lambda: optim.SGD(optim.schedulers.InverseScaling(0.1)),
    "AdaGrad": lambda: optim.AdaGrad(0.1),
}


def scaled(optimizer: Any, **parameters: Any) -> Any:
    return preprocessing.StandardScaler() | linear_model.LogisticRegression(optimizer, **parameters)


def rows(rng: random.Random, *, n: int) -> list[tuple[dict[str, Any], bool]]:
    """Features that come and go, whole numbers, truths, constants, and values far out."""
    found = []
    for _ in range(n):
        x: dict[str, Any] = {
            "a": rng.gauss(0, 1),
            "b": rng.randint(-(2**60), 2**60),
            "c": rng.random() < 0.1,
            "d": 7,
            "e": rng.choice([0.0, 1e-9, 1e12]),
        }
        found.append(({name: value for name, value in x.items() if rng.random() < 0.9}, rng.random() < 0.3))
    return found


@pytest.mark.parametrize("l2", [0.0, 0.01])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_answers_and_state_are_rivers_to_the_last_digit(optimizer: str, l2: float) -> None:
    rivers, ours = (
        scaled(OPTIMIZERS[optimizer](), l2=l2, loss=optim.losses.Log(2.0, 0.5), clip_gradient=0.9) for _ in range(2)
    )
    fence = Fence("binary")
    ask = fence.predictor(None, rivers.predict_proba_one)
    ask_ours = fused.predictor(ours, fence.probabilities, with_proba=True)
    label_ours = fused.predictor(ours, fence.probabilities, with_proba=False)
    learn_ours = fused.learner(ours)
    for x, y in rows(random.Random(3), n=500):
        answer = ask(x)
        assert repr(ask_ours(x)) == repr(answer)
        assert label_ours(x) == Prediction(rivers.predict_one(x)) == Prediction(answer.value)
        rivers.learn_one(x, y)
        learn_ours(x, y)
    assert statetree.encode(ours) == statetree.encode(rivers)


def test_weights_beyond_all_bounds_are_no_probabilities() -> None:
    model = scaled(optim.SGD(0.05))
    ask = fused.predictor(model, Fence("binary").probabilities, with_proba=True)
    learn = fused.learner(model)
    for x, y in rows(random.Random(3), n=10):
        learn(x, y)
    model["LogisticRegression"].intercept = float("nan")
    assert ask({"a": 1.0}).unusable == "NaN"


def test_what_raises_in_river_raises() -> None:
    model = scaled(optim.SGD(0.05))
    with pytest.raises(TypeError):
        fused.learner(model)({"a": "word"}, True)


class OtherScaler(preprocessing.StandardScaler):
    pass


@pytest.mark.parametrize(
    "model",
    [
        linear_model.LogisticRegression(),
        preprocessing.MinMaxScaler() | linear_model.LogisticRegression(),
        OtherScaler() | linear_model.LogisticRegression(),
        preprocessing.StandardScaler(with_std=False) | linear_model.LogisticRegression(),
        preprocessing.StandardScaler(window_size=10) | linear_model.LogisticRegression(),
        preprocessing.StandardScaler() | linear_model.LogisticRegression(l1=0.1),
        preprocessing.StandardScaler() | linear_model.LogisticRegression(loss=optim.losses.Hinge()),
        preprocessing.StandardScaler() | linear_model.LogisticRegression(optim.Adam()),
        preprocessing.StandardScaler() | linear_model.LinearRegression(),
        compose.Pipeline(preprocessing.StandardScaler(), preprocessing.StandardScaler()),
    ],
    ids=str,
)
def test_any_other_model_is_left_to_river(model: Any) -> None:
    assert not fused.is_fused(model)


def test_the_usual_one_is_known() -> None:
    assert fused.is_fused(preprocessing.StandardScaler() | linear_model.LogisticRegression())
