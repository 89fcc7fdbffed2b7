"""Builds River models from the configuration: a factory, or steps that name River's classes. Nothing is evaluated.

>>> from config.settings import ModelSpec
>>> spec = ModelSpec(steps=[{"use": "preprocessing.StandardScaler"},
...                         {"use": "linear_model.LogisticRegression", "l2": 0.1,
...                          "optimizer": {"use": "optim.SGD", "lr": 0.5}}])
>>> model = build(spec, seed=1)
>>> model["LogisticRegression"].l2, model["LogisticRegression"].optimizer.learning_rate
(0.1, 0.5)
"""

import importlib
import inspect
import traceback
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from river import base, compose, reco

from anabranch import statetree
from anabranch.errors import ModelSpecError, did_you_mean
from anabranch.groups import GroupThresholds, Reweighing
from anabranch.ranking import CoOccurrence, Popularity
from anabranch.ranking_models import Factors, PairwiseLinear, Pointwise
from anabranch.recommender import Recommender
from anabranch.remembering import Differences, Labels, LastLabel, LastValue
from config.learning import ModelSpec
from learners.models.fence import is_fault
from learners.models.training import seeded, unseeded

# Those that hold models or parts of them. Left out is what reads files or sockets (datasets, stream), wraps other
# libraries (compat) or runs models instead of being one (evaluate, checks).
_ROOMS_OF_RIVER = frozenset(
    {
        "active",
        "anomaly",
        "bandit",
        "cluster",
        "compose",
        "conf",
        "covariance",
        "drift",
        "dummy",
        "ensemble",
        "facto",
        "feature_extraction",
        "feature_selection",
        "forest",
        "imblearn",
        "linear_model",
        "metrics",
        "misc",
        "model_selection",
        "multiclass",
        "multioutput",
        "naive_bayes",
        "neighbors",
        "optim",
        "preprocessing",
        "proba",
        "reco",
        "rules",
        "sketch",
        "stats",
        "time_series",
        "tree",
        "utils",
    }
)

_OURS: Mapping[str, type] = {
    **{f"fairness.{kind.__name__}": kind for kind in (Reweighing, GroupThresholds)},
    **{f"memory.{kind.__name__}": kind for kind in (Labels, LastLabel, LastValue, Differences)},
    **{f"ranking.{kind.__name__}": kind for kind in (Popularity, CoOccurrence, Factors, PairwiseLinear, Pointwise)},
}
"""Models that make up for how groups are served, that know the last labels, the step that shows these to others, and
rankers."""

_ONLY_RIVERS = (
    "only River's classes go by `use`; for others write a function without arguments that returns a River model, in a "
    'module beside the configuration, and name it instead of steps: factory = "my_module:make_model"'
)

_TYPES: dict[str, tuple[type, ...]] = {"number": (int, float), "string": (str,), "boolean": (bool,)}


def build(spec: ModelSpec, *, seed: int) -> base.Estimator:
    """A fresh model by `spec`; estimators that take a seed and were given none get `seed`.

    Raises:
        ModelSpecError: naming the class or parameter, and the nearest that exists.
        StateTreeError: the model holds something that a checkpoint could not bring back.
    """
    if spec.given:
        given: base.Estimator = statetree.decode(spec.given, trusted=spec.trusted)
        return given
    model = _from_factory(spec.factory) if spec.factory else _from_steps(spec.steps or (), seed=seed)
    if isinstance(model, reco.base.Ranker):
        model = Recommender(model, user=spec.user, item=spec.item)
    if isinstance(model, Popularity):
        model.call(user=spec.user, item=spec.item)
    if spec.factory and any(unseeded(model)):
        model = _seeded(model, spec, seed=seed)
    # As a restored one would be: sets inside it (Select's keys) then have an order that does not hang on the process.
    fresh: base.Estimator = statetree.decode(statetree.encode(model, trusted=spec.trusted), trusted=spec.trusted)
    return fresh


def _from_factory(path: str) -> base.Estimator:
    module_name, _, attribute = path.partition(":")
    try:
        factory = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ModelSpecError(
            f"factory {path!r} cannot be imported: {error}; write module:function, the module beside the configuration"
        ) from error
    except BaseException as error:
        if not is_fault(error):
            raise
        raise ModelSpecError(f"factory {path!r} cannot be imported: {type(error).__name__}: {error}") from error
    if not callable(factory):
        raise ModelSpecError(f"factory {path!r} is a {type(factory).__name__}, not a function")
    try:
        model = factory()
    except BaseException as error:
        if not is_fault(error):
            raise
        raise ModelSpecError(f"factory {path!r} raised {type(error).__name__}: {error}{_place_of(error)}") from error
    if not isinstance(model, base.Estimator):
        raise ModelSpecError(f"factory {path!r} gave a {type(model).__name__}, not a River model")
    return model


def _place_of(error: BaseException) -> str:
    """Where in the factory it was raised, since no traceback is shown; nothing where it could not even be called."""
    frames = traceback.extract_tb(error.__traceback__)[1:]
    return f" ({frames[0].filename}, line {frames[0].lineno})" if frames else ""


def _seeded(model: base.Estimator, spec: ModelSpec, *, seed: int) -> base.Estimator:
    with suppress(AttributeError, TypeError):  # a class that does not keep River's rules for parameters and clone()
        model = seeded(model, seed=seed, trusted=spec.trusted)
    left = ", ".join(unseeded(model))
    if left:
        raise ModelSpecError(
            f"factory {spec.factory}: {left} without a seed: two models retrained from the same log would differ, and "
            "made once more with the configuration's seed it would not be the same; pass seed=… in the factory"
        )
    return model


def _from_steps(steps: tuple[dict[str, Any], ...], *, seed: int) -> base.Estimator:
    built = [_instance(step, seed=seed, where=f"steps[{n}]") for n, step in enumerate(steps)]
    if not built:
        raise ModelSpecError("steps is empty; name at least a classifier or regressor")
    return built[0] if len(built) == 1 else compose.Pipeline(*built)


def _instance(table: Mapping[str, Any], *, seed: int, where: str) -> Any:
    """What a table with `use` describes."""
    if not isinstance(table.get("use"), str):
        raise ModelSpecError(f'{where}: no `use`; write for example use = "linear_model.LogisticRegression"')
    kind = _OURS.get(table["use"]) or _river_class(table["use"], where=where)
    known = inspect.signature(kind).parameters
    parameters = {
        name: _value(value, seed=seed, where=f"{where}.{name}") for name, value in table.items() if name != "use"
    }
    _refuse_unknown(parameters, known, where=f"{where}: {table['use']}")
    # Two recruits that are trained on the same records must be the same model.
    if "seed" in known and parameters.get("seed") is None:
        parameters["seed"] = seed
    if kind is compose.SelectType and "types" in parameters:
        parameters["types"] = _types(parameters["types"], where=where)
    if "desired_dist" in parameters:
        parameters["desired_dist"] = _by_label(parameters["desired_dist"])
    # Select(*keys), Pipeline(*steps), TransformerUnion(*transformers): the list goes under that name.
    spread = [
        value
        for name in known
        if known[name].kind is inspect.Parameter.VAR_POSITIONAL
        for value in _listed(parameters.pop(name, ()), where=f"{where}.{name}")
    ]
    try:
        return kind(*spread, **parameters)
    except Exception as error:
        raise ModelSpecError(f"{where}: {table['use']} refuses its parameters: {error}") from error


def _types(names: Any, *, where: str) -> list[type]:
    """The types of features by the names that JSON has for them."""
    unknown = [name for name in _listed(names, where=f"{where}.types") if name not in _TYPES]
    if unknown:
        raise ModelSpecError(f"{where}.types: {unknown[0]!r} is none of {', '.join(_TYPES)}")
    return [each for name in names for each in _TYPES[name]]


def _by_label(shares: Any) -> Any:
    """A table's keys are strings; the labels of a binary task are not."""
    if not isinstance(shares, Mapping):
        return shares
    return {{"true": True, "false": False}.get(key, key): share for key, share in shares.items()}


def _listed(value: Any, *, where: str) -> list[Any]:
    """A word would be taken apart into its letters."""
    if not isinstance(value, list | tuple):
        raise ModelSpecError(f"{where} is a list; write [{value!r}]")
    return list(value)


def _refuse_unknown(parameters: Mapping[str, Any], known: Mapping[str, inspect.Parameter], *, where: str) -> None:
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
        return
    for name in parameters:
        if name not in known:
            hint = did_you_mean(name, list(known), instead=f"it takes {', '.join(known) or 'none'}")
            raise ModelSpecError(f"{where} has no parameter `{name}`; {hint}")


def _value(value: Any, *, seed: int, where: str) -> Any:
    if isinstance(value, Mapping):
        if "use" in value:
            return _instance(value, seed=seed, where=where)
        return {key: _value(inner, seed=seed, where=f"{where}.{key}") for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_value(inner, seed=seed, where=f"{where}[{n}]") for n, inner in enumerate(value)]
    return value


def _river_class(path: str, *, where: str) -> type:
    """The public class of River that `path` names, as in "tree.HoeffdingTreeClassifier"; data sets are none of them."""
    room, _, name = path.rpartition(".")
    top = room.partition(".")[0]
    # river.bandit has data sets, too.
    if top not in _ROOMS_OF_RIVER or "datasets" in room.split("."):
        hint = did_you_mean(top, sorted(_ROOMS_OF_RIVER), cutoff=0.7, show="'{}'", instead=_ONLY_RIVERS)
        raise ModelSpecError(f"{where}: use = {path!r}: River has no models in {room!r}; {hint}")
    module = _module(room, where=where, path=path)
    public = [each for each in getattr(module, "__all__", ()) if inspect.isclass(getattr(module, each, None))]
    if name not in public:
        hint = did_you_mean(name, public, cutoff=0.4, show=f"{room}.{{}}", instead=f"it has {', '.join(public)}")
        raise ModelSpecError(f"{where}: river.{room} has no class {name!r}; {hint}")
    kind: type = getattr(module, name)
    return kind


def _module(room: str, *, where: str, path: str) -> Any:
    try:
        return importlib.import_module(f"river.{room}")
    except ImportError as error:
        raise ModelSpecError(f"{where}: use = {path!r}: {error}") from error
