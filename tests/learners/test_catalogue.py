"""The catalogue: models from tables and factories, and what neither may name."""

import sys
import types
from typing import Any

import pytest
from river import base, compose, ensemble, forest, linear_model, naive_bayes, optim, preprocessing, tree

from anabranch import statetree
from anabranch.errors import ModelSpecError
from config.learning import ModelSpec
from config.loading import build as settings_of
from detectors.watch import Watch
from learners.lane import Lane
from learners.models.catalogue import build

LOGISTIC = {"use": "linear_model.LogisticRegression"}
TREE = {"use": "tree.HoeffdingTreeClassifier"}


def built(*steps: dict[str, Any], seed: int = 7) -> Any:
    """The model of the steps."""
    return build(ModelSpec(steps=steps), seed=seed)


def refused(*steps: dict[str, Any]) -> str:
    """What is said of steps that are none."""
    with pytest.raises(ModelSpecError) as raised:
        built(*steps)
    return str(raised.value)


def same(one: Any, other: Any) -> bool:
    """Whether two models are of the same state."""
    return statetree.digest(one) == statetree.digest(other)


def test_steps_are_a_pipeline() -> None:
    """As if it had been written in Python."""
    model = built({"use": "preprocessing.StandardScaler"}, {**LOGISTIC, "l2": 0.1})
    assert same(model, preprocessing.StandardScaler() | linear_model.LogisticRegression(l2=0.1))


def test_one_step_is_the_model_itself() -> None:
    """A pipeline of one would only cost time."""
    assert type(built(TREE)) is tree.HoeffdingTreeClassifier


def test_models_and_optimizers_nest() -> None:
    """Wherever a parameter is a model, an optimizer, a loss or a schedule, there stands a table again."""
    rate = {"use": "optim.schedulers.InverseScaling", "learning_rate": 0.1}
    model = built(
        {
            "use": "multiclass.OneVsRestClassifier",
            "classifier": {
                **LOGISTIC,
                "optimizer": {"use": "optim.SGD", "lr": rate},
                "loss": {"use": "optim.losses.Hinge"},
            },
        }
    )
    inner = model.classifier
    assert (type(inner.optimizer), type(inner.optimizer.lr)) == (optim.SGD, optim.schedulers.InverseScaling)
    assert (inner.optimizer.lr.learning_rate, type(inner.loss)) == (0.1, optim.losses.Hinge)


def test_lists_are_spread_where_the_class_takes_many() -> None:
    """`Select`, `TransformerUnion` and `Pipeline` take their parts as lists."""
    union = {
        "use": "compose.TransformerUnion",
        "transformers": [
            {
                "use": "compose.Pipeline",
                "steps": [{"use": "compose.Select", "keys": ["a", "b"]}, {"use": "preprocessing.StandardScaler"}],
            },
            {
                "use": "compose.Pipeline",
                "steps": [{"use": "compose.Select", "keys": ["word"]}, {"use": "preprocessing.OneHotEncoder"}],
            },
        ],
    }
    model = built(union, LOGISTIC)
    model.learn_one({"a": 1.0, "b": 2.0, "word": "x", "other": 9.0}, True)
    assert set(model.transform_one({"a": 1.0, "b": 2.0, "word": "x", "other": 9.0})) == {"a", "b", "word_x"}


def test_a_word_in_place_of_a_list_is_refused() -> None:
    """It would be taken apart into its letters."""
    assert refused({"use": "compose.Select", "keys": "amount"}, TREE) == "steps[0].keys is a list; write ['amount']"


def test_seeds_are_filled_in_at_every_depth() -> None:
    """Two recruits of one job are the same model; a seed that is written stays."""
    bagging = {"use": "ensemble.BaggingClassifier", "model": {"use": "forest.ARFClassifier", "n_models": 2}}
    model = built(bagging, seed=7)
    assert (model.seed, model.model.seed) == (7, 7)
    assert same(model, built(bagging, seed=7))
    assert not same(model, built(bagging, seed=8))
    assert built({**bagging, "seed": 3}).seed == 3


SPECS = {
    "no use": ({"l2": 1}, "steps[0]: no `use`"),
    "use that is no text": ({"use": 3}, "steps[0]: no `use`"),
    "no module": ({"use": "HoeffdingTreeClassifier"}, "steps[0]: use = 'HoeffdingTreeClassifier': River has no models"),
    "an unknown module": ({"use": "trees.X"}, "River has no models in 'trees'; did you mean 'tree'?"),
    "an unknown class": (
        {"use": "tree.HoefdingTreeClassifier"},
        "river.tree has no class 'HoefdingTreeClassifier'; did you mean tree.HoeffdingTreeClassifier?",
    ),
    "an unknown room in a module": ({"use": "tree.nowhere.X"}, "No module named 'river.tree.nowhere'"),
    "an unknown parameter": (
        {**TREE, "grace_perod": 1},
        "has no parameter `grace_perod`; did you mean `grace_period`?",
    ),
    "a parameter like none": ({"use": "dummy.NoChangeClassifier", "x": 1}, "has no parameter `x`; it takes none"),
    "a lacking parameter": ({"use": "ensemble.BaggingClassifier"}, "refuses its parameters: "),
    "deep inside": (
        {"use": "ensemble.BaggingClassifier", "model": {**LOGISTIC, "optimizer": {"use": "optim.SDG"}}},
        "steps[0].model.optimizer: river.optim has no class 'SDG'; did you mean optim.SGD?",
    ),
    "in a list": (
        {"use": "compose.TransformerUnion", "transformers": [{"use": "preprocessing.Scaler"}]},
        "steps[0].transformers[0]: river.preprocessing has no class 'Scaler'; did you mean preprocessing.",
    ),
}


@pytest.mark.parametrize(("step", "said"), SPECS.values(), ids=SPECS)
def test_a_mistaken_step_says_what_to_write(step: dict[str, Any], said: str) -> None:
    """Where it is, what was found there, and the nearest that exists."""
    assert said in refused(step)


def test_no_steps_are_refused() -> None:
    """An empty list is no model."""
    assert refused() == "steps is empty; name at least a classifier or regressor"


@pytest.mark.parametrize(
    "path",
    [
        "os.system",
        "builtins.eval",
        "subprocess.Popen",
        "datasets.Phishing",
        "bandit.datasets.NewsArticles",
        "drift.datasets.Apple",
        "stream.iter_csv",
        "stream.Cache",
        "evaluate.progressive_val_score",
        "checks.check_estimator",
        "compat.SKL2RiverClassifier",
        "river.tree.HoeffdingTreeClassifier",
        "utils.math.sigmoid",
        "utils.pretty.print_table",
        "utils.inspect.inspect",
        "compose.pure_inference_mode",
        "tree.base.os.system",
        "tree..HoeffdingTreeClassifier",
        ".tree.HoeffdingTreeClassifier",
        "tree.HoeffdingTreeClassifier.__init__",
        "optim.base.abc.ABC",
        "metrics.base.utils",
        "",
        ".",
    ],
)
def test_nothing_but_rivers_public_classes_can_be_named(path: str) -> None:
    """No function, no data set that would go to the network, nothing outside River, nothing private."""
    before = set(sys.modules)
    assert refused({"use": path}).startswith("steps[0]: ")
    assert refused({**LOGISTIC, "optimizer": {"use": path}}).startswith("steps[0].optimizer: ")
    assert not {name for name in set(sys.modules) - before if not name.startswith("river.")}


# ── factories ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def factories(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A user's module."""
    module = types.ModuleType("users_models")
    monkeypatch.setitem(sys.modules, "users_models", module)
    return module


def test_a_factory_makes_the_model(factories: types.ModuleType) -> None:
    """Called again for each model."""
    vars(factories)["make"] = naive_bayes.GaussianNB
    one, other = (build(ModelSpec(factory="users_models:make"), seed=1) for _ in range(2))
    assert isinstance(one, naive_bayes.GaussianNB)
    assert one is not other


@pytest.mark.parametrize("path", ["no_such_module:make", "users_models:nothing", "users_models", ":make", "a.b.c:d"])
def test_a_factory_that_cannot_be_found_is_named(path: str, factories: types.ModuleType) -> None:
    """The error says how to write it."""
    with pytest.raises(ModelSpecError, match=f"factory '{path}' cannot be imported: .*; write module:function"):
        build(ModelSpec(factory=path), seed=1)


def test_a_factory_must_give_a_model(factories: types.ModuleType) -> None:
    """Something else, or no function at all, is named for what it is."""
    vars(factories).update(make=lambda: 3, constant=3)
    with pytest.raises(ModelSpecError, match="gave a int, not a River model"):
        build(ModelSpec(factory="users_models:make"), seed=1)
    with pytest.raises(ModelSpecError, match="is a int, not a function"):
        build(ModelSpec(factory="users_models:constant"), seed=1)


def test_a_factory_that_raises_is_named_with_the_line(factories: types.ModuleType) -> None:
    """No traceback is shown, so the message says where to look."""

    def make() -> None:
        raise RuntimeError("no weights")

    vars(factories).update(make=make, wants=lambda model: model)
    with pytest.raises(ModelSpecError, match=r"factory 'users_models:make' raised RuntimeError: no weights \(.*, line"):
        build(ModelSpec(factory="users_models:make"), seed=1)
    with pytest.raises(ModelSpecError, match=r"raised TypeError: .* missing 1 required .* 'model'$"):
        build(ModelSpec(factory="users_models:wants"), seed=1)


def test_a_factory_with_seeds_is_taken(factories: types.ModuleType) -> None:
    """At every depth; a parameter that is None and no seed is nobody's concern."""
    inner = forest.ARFClassifier(seed=1)
    vars(factories)["make"] = lambda: preprocessing.StandardScaler() | ensemble.BaggingClassifier(inner, seed=2)
    assert isinstance(build(ModelSpec(factory="users_models:make"), seed=1), compose.Pipeline)


class Mine(base.Classifier):
    """A classifier outside River."""

    def learn_one(self, x: dict[str, Any], y: Any) -> None:
        """It learns nothing."""

    def predict_one(self, x: dict[str, Any], **kwargs: Any) -> bool:
        """It always says yes."""
        return True


def test_a_class_outside_river_must_be_trusted(factories: types.ModuleType) -> None:
    """A checkpoint could not bring it back otherwise."""
    vars(factories)["make"] = Mine
    with pytest.raises(statetree.UntrustedClass, match="Mine"):
        build(ModelSpec(factory="users_models:make"), seed=1)
    assert type(build(ModelSpec(factory="users_models:make", trusted=(f"{__name__}:Mine",)), seed=1)) is Mine


# ── tasks ───────────────────────────────────────────────────────────────────────────────────────────────────────────

UNFIT = {
    "a regressor for classes": ("binary", [{"use": "linear_model.LinearRegression"}], "needs a classifier"),
    "a classifier for numbers": ("regression", [TREE], "needs a regressor; the model ends in HoeffdingTreeClassifier"),
    "two classes for many": ("multiclass", [LOGISTIC], "LogisticRegression knows two classes only; wrap it"),
    "two classes at the end": (
        "multiclass",
        [{"use": "preprocessing.StandardScaler"}, LOGISTIC],
        "LogisticRegression knows two classes only",
    ),
    "a transformer": ("binary", [{"use": "preprocessing.StandardScaler"}], "the model ends in StandardScaler"),
    "a cluster": ("multiclass", [{"use": "cluster.KMeans"}], "the model ends in KMeans"),
    "an anomaly detector": ("binary", [{"use": "anomaly.HalfSpaceTrees"}], "the model ends in HalfSpaceTrees"),
    "one that asks for labels": (
        "binary",
        [{"use": "active.EntropySampler", "classifier": LOGISTIC}],
        "the model ends in EntropySampler",
    ),
    "one of several numbers": ("regression", [{"use": "tree.ISOUPTreeRegressor"}], "the model ends in "),
}


@pytest.mark.parametrize(("task", "steps", "said"), UNFIT.values(), ids=UNFIT)
def test_a_model_that_does_not_fit_the_task_is_refused_at_start(
    task: str, steps: list[dict[str, Any]], said: str
) -> None:
    """Not on the first event, and with a word on what it is."""
    settings = settings_of({"name": "m", "task": task, "model": {"steps": steps}})
    with pytest.raises(ModelSpecError, match=said):
        Lane(settings, build(settings.model, seed=1), watch=Watch(settings))


@pytest.mark.parametrize(("task", "loss"), [("binary", "absolute"), ("multiclass", "squared"), ("regression", "log")])
def test_a_loss_must_fit_the_task(task: str, loss: str) -> None:
    """The arena cannot race classifiers on absolute errors."""
    settings = settings_of({"name": "m", "task": task, "model": {"steps": [TREE]}, "arena": {"loss": loss}})
    with pytest.raises(ModelSpecError, match=f"arena.loss = '{loss}' does not fit task = '{task}'"):
        Lane(settings, build(settings.model, seed=1), watch=Watch(settings))


def test_a_pipeline_that_knows_many_classes_fits() -> None:
    """What counts is the model at the end of nested pipelines."""
    inner = {"use": "compose.Pipeline", "steps": [{"use": "preprocessing.StandardScaler"}, TREE]}
    for steps in ([{"use": "preprocessing.MinMaxScaler"}, TREE], [{"use": "preprocessing.MinMaxScaler"}, inner]):
        settings = settings_of({"name": "m", "task": "multiclass", "model": {"steps": steps}})
        lane = Lane(settings, build(settings.model, seed=1), watch=Watch(settings))
        assert isinstance(lane.champion.model, compose.Pipeline)
