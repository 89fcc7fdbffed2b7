"""Recommenders: users and items as features, through guard, lane, retraining, artifact and follower."""

import hashlib
import random
from typing import Any

import pytest
from river import reco

from anabranch import artifact, statetree
from anabranch.errors import ModelSpecError
from anabranch.events import AcceptedEvent
from anabranch.messages import TrainedOn
from anabranch.recommender import Recommender
from config.loading import build, load
from config.settings import Settings
from consumers.timing import SystemClock
from detectors.watch import Watch
from evaluation.backtest import Backtest
from learners.lane import Lane
from learners.models import catalogue
from learners.retraining import Job, Plan, retrain
from learners.retraining.lineage import Run
from support.checkout import ROOT
from support.command_line import python
from support.lanes import twin_of

MODELS = ["reco.Baseline", "reco.BiasedMF", "reco.FunkMF", "reco.RandomNormal"]


def settings_of(use: str, **more: Any) -> Settings:
    """A recommender of films to customers."""
    return build(
        {"name": "m", "task": "reco", "model": {"steps": [{"use": use}], "user": "customer", "item": "film"}, **more}
    )


def rating(n: int, rng: random.Random) -> AcceptedEvent:
    """Even customers like even films."""
    customer, film = rng.randrange(20), rng.randrange(20)
    y = 4.5 if (customer + film) % 2 == 0 else 1.5
    return AcceptedEvent(
        f"e{n}", {"customer": f"c{customer}", "film": f"f{film}"}, y + rng.gauss(0, 0.1), float(n), 0, n
    )


def ratings(count: int) -> list[AcceptedEvent]:
    """Of seed 3."""
    rng = random.Random(3)
    return [rating(n, rng) for n in range(count)]


def model_of(use: str) -> Any:
    """A fresh one."""
    return catalogue.build(settings_of(use).model, seed=1)


@pytest.mark.parametrize("use", MODELS)
def test_it_learns_what_rivers_own_does(use: str) -> None:
    """For users and items that it knows, to the last bit."""
    model, (_, _, name) = model_of(use), use.rpartition(".")
    plain = getattr(reco, name)(seed=1)
    for each in ratings(500):
        model.learn_one(each.x, each.y)
        plain.learn_one(each.x["customer"], each.x["film"], each.y)
    x = {"customer": "c3", "film": "f5"}
    assert model.predict_one(x) == plain.predict_one("c3", "f5")


@pytest.mark.parametrize("use", MODELS[:3])
def test_asking_about_strangers_changes_nothing(use: str) -> None:
    """A new customer, a new film, or none: the answer is finite, and nothing is kept of the question."""
    model = model_of(use)
    for each in ratings(200):
        model.learn_one(each.x, each.y)
    before = statetree.digest(model)
    for x in ({"customer": "new", "film": "f1"}, {"customer": "c1", "film": "new"}, {"film": "f1"}, {}):
        assert 1.0 < model.predict_one(x) < 5.0
    assert statetree.digest(model) == before


def test_an_event_without_a_user_teaches_nothing() -> None:
    """It is learned by the lane, and passes the model by."""
    model = model_of("reco.Baseline")
    before = statetree.digest(model)
    model.learn_one({"film": "f1"}, 5.0)
    assert statetree.digest(model) == before


@pytest.mark.parametrize("use", MODELS[:3])
def test_a_lane_of_recommenders_goes_on_from_its_state(use: str) -> None:
    """With the portfolio of the task beside it."""
    settings = settings_of(use, shadows={"portfolio": "cheap"})
    lane = Lane(settings, catalogue.build(settings.model, seed=1), watch=Watch(settings))
    for each in ratings(300):
        lane.on_event(each)
    twin = twin_of(lane)
    for each in ratings(400)[300:]:
        lane.on_event(each)
        twin.on_event(each)
    assert statetree.digest(lane.state()) == statetree.digest(twin.state())
    assert lane.scores.values()["mae"] < 2.0


def test_an_artifact_of_one_is_what_it_was() -> None:
    """A follower decodes it, checks the canary rows, and predicts with customer and film among the features."""
    model, events = model_of("reco.BiasedMF"), ratings(500)
    for each in events:
        model.learn_one(each.x, each.y)
    data = artifact.pack(model, task="reco", positive=None, features=["customer", "film"], canary=[events[-1].x])
    unpacked = artifact.unpack(data, sha256=hashlib.sha256(data).hexdigest())
    x = {"customer": "c3", "film": "f5"}
    assert isinstance(unpacked.model, Recommender)
    assert unpacked.model.predict_one(x) == model.predict_one(x)


def test_a_recruit_of_one_is_retrained() -> None:
    """A job builds it from the same configuration."""
    settings = settings_of("reco.Baseline")
    job = Job("j", 300, "", 1, (Plan("p", (Run(0, 0, 300),)),))
    (model,) = retrain(job, ratings(300), settings.model)
    assert isinstance(model, Recommender)
    assert (model.user, model.item) == ("customer", "film")


def test_factorization_machines_race_with_them() -> None:
    """`facto` models take features as they are, and so fit the task."""
    settings = settings_of(
        "reco.Baseline",
        shadows={"standing": [{"name": "machine", "steps": [{"use": "facto.FMRegressor", "n_factors": 4}]}]},
    )
    lane = Lane(settings, catalogue.build(settings.model, seed=1), watch=Watch(settings))
    for each in ratings(300):
        lane.on_event(each)
    assert [member.name for member in lane.shadows.members] == ["machine"]
    assert lane.shadows.members[0].contest.events == 299


def test_a_classifier_does_not_fit() -> None:
    """The message says what the task wants."""
    settings = build({"name": "m", "task": "reco", "model": {"steps": [{"use": "naive_bayes.GaussianNB"}]}})
    with pytest.raises(ModelSpecError, match="task = 'reco' needs a regressor"):
        Lane(settings, catalogue.build(settings.model, seed=1), watch=Watch(settings))


def test_the_example_answers_the_change_of_taste() -> None:
    """examples/films.toml on its stream: a swap within 500 events of the change at 5,000, on the shipped guard."""
    script = ROOT / "examples" / "films_stream.py"
    lines = python(script).encode().splitlines()
    settings = load(ROOT / "examples" / "films.toml")
    run = Backtest(
        settings,
        first=lambda: (catalogue.build(settings.model, seed=1), TrainedOn()),
        values=lambda: iter(lines),
        timestamp_of=lambda number: 1.7e9 + number,
        clock=SystemClock(),
    )
    result = run.run()
    assert (result["events"], result["dead_letters"]) == (8000, 0)
    assert any(5000 < swap["offset"] < 5500 for swap in result["swaps"])
