"""Which classes and functions may stand in model bytes, by name.

Everything a blob can name goes through `Trust`: River's own classes, a short
table of functions River keeps inside its models, and what the loader's own
configuration trusts by import path. Nothing named here is called by us.
"""

import collections
import copy
import importlib
import math
import numbers
import threading
from collections.abc import Iterable
from types import FunctionType, ModuleType
from typing import Any, Final, NoReturn

import numpy as np
from river.__version__ import __version__ as river_version
from river.utils import vectordict

from anabranch.errors import AnabranchError
from anabranch.statetree.stable_sets import StableSet

__all__ = ["CorruptState", "StateTreeError", "Trust", "UnsupportedState", "UntrustedClass", "VersionMismatch"]


class StateTreeError(AnabranchError, ValueError):
    """A value cannot be turned into model bytes, or bytes into a value.

    StateTreeError
    ├── UnsupportedState   this value cannot be restored faithfully
    ├── UntrustedClass     a class or function that is neither River's nor trusted
    ├── CorruptState       bytes that no encoder of ours has written
    └── VersionMismatch    bytes of another format or another River
    """

    is_placed = False  # whether the message already tells where in the value the fault is


class UnsupportedState(StateTreeError):
    """A value whose state cannot be restored faithfully."""


class UntrustedClass(StateTreeError):
    """A class or function that is neither River's own nor trusted by import path."""


class CorruptState(StateTreeError):
    """Bytes that are not a state tree, or one that does not hold together."""


class VersionMismatch(StateTreeError):
    """Bytes written in another format, or by another version of River."""


# River's modules import each other: threads that begin with different ones can stand in each other's way.
_IMPORTING: Final = threading.RLock()

# Parts of River that read files, open sockets or wrap other libraries; its Rust classes have rules of their own.
_FORBIDDEN_ROOMS: Final = frozenset(
    f"river.{room}" for room in ("_river_rust", "checks", "compat", "datasets", "evaluate", "stream")
)

_BY_HASH = "places values by Python's hash(), which differs between processes"

# Our own models, and our own detector and metrics, which lie in checkpoints beside River's.
_OURS: Final = frozenset(
    {"anabranch.blends:Blend", "anabranch.blends:NumberBlend", "anabranch.recommender:Recommender"}
    | {"detectors.sr:SRDetector"}
    | {f"anabranch.remembering:{name}" for name in ("Differences", "Labels", "LastLabel", "LastValue")}
    | {f"anabranch.groups:{name}" for name in ("GroupThresholds", "Reweighing")}
    | {"anabranch.ranking:CoOccurrence", "anabranch.ranking:Popularity"}
    | {f"anabranch.ranking_models:{name}" for name in ("Factors", "PairwiseLinear", "Pointwise")}
    | {f"config.ranking:{name}" for name in ("ColdShare", "HitRate", "MRR", "NDCG")}
)

# What lay elsewhere when older bytes were written.
_MOVED: Final = {f"anabranch.recommender:{name}": f"anabranch.blends:{name}" for name in ("Blend", "NumberBlend")}

# Classes whose behaviour depends on more than the state they hold.
REFUSED: Final = {
    "river.sketch.counter:Counter": _BY_HASH,
    "river.sketch.set:Set": _BY_HASH,
    "river.feature_extraction.kernel_approx:RandomTreesEmbedding": "names its leaves by memory address",
    "river.neighbors.ann.swinn:SWINN": "shares a class-level set with every other SWINN of the process",
    "river.neighbors.ann.nn_vertex:Vertex": "shares a class-level set with every other SWINN of the process",
    "river.stats.kolmogorov_smirnov:KolmogorovSmirnov": "draws from the random source of the whole process",
    "river.multiclass.occ:OutputCodeClassifier": "keeps a half-consumed iterator",
}

# Objects outside River that River's models hold by reference.
_FOREIGN: Final[dict[str, Any]] = {
    **{f"builtins:{t.__name__}": t for t in (bool, bytes, complex, dict, float, frozenset, int, list, str, tuple)},
    **{f"collections:{t.__name__}": t for t in (collections.Counter, collections.defaultdict, collections.deque)},
    **{f"numbers:{t.__name__}": t for t in (numbers.Number, numbers.Real, numbers.Integral)},
    **{f"math:{f.__name__}": f for f in (math.exp, math.expm1, math.log, math.log1p, math.sqrt)},
    "builtins:set": StableSet,  # as a default factory, so that a model's new sets are stable too
    "builtins:str.lower": str.lower,
    "copy:deepcopy": copy.deepcopy,
    "numpy:array": np.array,
    "numpy:ones": np.ones,
    "river.utils.vectordict:euclidean_distance_dict": vectordict.euclidean_distance_dict,
    "river.utils.vectordict:euclidean_distance_tuple": vectordict.euclidean_distance_tuple,
}
_FOREIGN_NAMES: Final = {id(thing): name for name, thing in _FOREIGN.items()} | {id(set): "builtins:set"}

# Plain functions and methods that River's models keep in an attribute or as a default factory.
_FUNCTIONS: Final = frozenset(
    f"{module}:{name}"
    for module, names in {
        "random": "Random.gauss",
        "river.bandit.thompson": "ThompsonSampling._clone_reward_obj_with_seed",
        "river.base.base": "Base.clone",
        "river.drift.dummy": "DummyDriftDetector._fixed_trigger DummyDriftDetector._random_trigger",
        "river.drift.page_hinkley": "PageHinkley._test_both PageHinkley._test_decrease PageHinkley._test_increase",
        "river.ensemble.bagging": "LeveragingBaggingClassifier._leveraging_bag "
        "LeveragingBaggingClassifier._leveraging_bag_half LeveragingBaggingClassifier._leveraging_bag_me "
        "LeveragingBaggingClassifier._leveraging_bag_wt LeveragingBaggingClassifier._leveraging_subag",
        "river.feature_extraction.kernel_approx": "RBFSampler._random_weights",
        "river.feature_extraction.vectorize": "find_all_ngrams remove_stop_words strip_accents_unicode "
        "tokenize_using_regex_pattern",
        "river.forest.online_extra_trees": "ExtraTrees._detection_mode_all ExtraTrees._detection_mode_drop "
        "ExtraTrees._detection_mode_off",
        "river.linear_model.pa": "BasePA._calc_tau_0 BasePA._calc_tau_1 BasePA._calc_tau_2",
        "river.metrics.mutual_info": "_average_arithmetic _average_geometric",
        "river.naive_bayes.gaussian": "GaussianNB._make_gaussian",
        "river.preprocessing.random_projection": "GaussianRandomProjector._rand_gauss "
        "SparseRandomProjector._rand_weights_for_feature",
        "river.preprocessing.scale_target": "TargetMinMaxScaler._scale TargetMinMaxScaler._unscale "
        "TargetStandardScaler._scale TargetStandardScaler._unscale",
        "river.tree.splitter.ebst_splitter": "EBSTNode._update_estimator_multivariate "
        "EBSTNode._update_estimator_univariate",
        "river.tree.splitter.nominal_splitter_reg": "NominalSplitterReg._update_estimator_multivariate "
        "NominalSplitterReg._update_estimator_univariate",
        "river.tree.splitter.qo_splitter": "Slot._update_estimator_multivariate Slot._update_estimator_univariate",
        "river.utils.math": "minkowski_distance",
    }.items()
    for name in names.split()
)


class Trust:
    """What one reader or writer accepts: River, the tables above, and `trusted` import paths.

    Each path is `"package.module:Class"` or `"package.module"` (everything defined there).
    """

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        self._trusted = frozenset(trusted)
        self._resolved: dict[str, Any] = {}  # a tree names the same few again and again

    def name(self, thing: Any) -> str:
        """Name a class or function; raises UntrustedClass or UnsupportedState if it may not be named."""
        foreign = _FOREIGN_NAMES.get(id(thing))
        if foreign is not None:
            return foreign
        name = f"{getattr(thing, '__module__', None)}:{getattr(thing, '__qualname__', type(thing).__qualname__)}"
        if self.resolve(name) is not thing:
            raise UntrustedClass(f"{name} is not what its own name says: define it at the top of its module")
        return name

    def resolve(self, name: str) -> Any:
        """Find the class or function called `name`, only ever by a name that is allowed."""
        found = _FOREIGN.get(name) or self._resolved.get(name)
        if found is None:
            found = self._resolved[name] = self._resolve(name)
        return found

    def _resolve(self, name: str) -> Any:
        name = _MOVED.get(name, name)
        module, _, path = name.partition(":")
        self._check_allowed(name, module)
        found = _lookup(name, module, path)
        self._check_kind(name, module, found)
        return found

    def _check_allowed(self, name: str, module: str) -> None:
        if name in REFUSED:
            raise UnsupportedState(f"{name} {REFUSED[name]}, so a copy would not behave like the original")
        if not (self._is_trusted(name, module) or name in _FUNCTIONS or _is_rivers(module)):
            _distrust(name)

    def _check_kind(self, name: str, module: str, found: object) -> None:
        """River's functions only from the table, since a class is inert and a function is not."""
        if isinstance(found, type) or name in _FUNCTIONS:
            return
        if not (isinstance(found, FunctionType) and self._is_trusted(name, module)):
            _distrust(name)

    def _is_trusted(self, name: str, module: str) -> bool:
        return name in self._trusted or module in self._trusted or name in _OURS


def _is_rivers(module: str) -> bool:
    return module.startswith("river.") and ".".join(module.split(".")[:2]) not in _FORBIDDEN_ROOMS


def _distrust(name: str) -> NoReturn:
    raise UntrustedClass(
        f"{name} is neither part of River's models nor trusted; if it is your own code, "
        "define it in an importable module and add that import path to the trusted list"
    )


def _lookup(name: str, module: str, path: str) -> object:
    """Walk from the module to the very object that was defined under `path`."""
    found: object = _module(name, module)
    for part in path.split("."):
        if part.startswith("__") or not part.isidentifier():
            raise UntrustedClass(f"{name!r} is not a name that model bytes may contain")
        # By vars() and not getattr(), behind which a module or a metaclass may run code.
        found = vars(found).get(part) if isinstance(found, ModuleType | type) else None
    if isinstance(found, staticmethod | classmethod):
        found = found.__func__
    # Only under the name by which it was defined: a module also holds what it has imported, which nobody trusted.
    if (getattr(found, "__module__", None), getattr(found, "__qualname__", None)) != (module, path):
        raise UntrustedClass(f"{name} does not exist in River {river_version} or in this process")
    return found


def _module(name: str, module: str) -> ModuleType:
    if not all(part.isidentifier() for part in module.split(".")):
        raise UntrustedClass(f"{name!r} is not a name that model bytes may contain")
    try:
        # Not sys.modules: what is there may be half imported yet, by another thread.
        with _IMPORTING:
            return importlib.import_module(module)
    except ImportError as error:
        raise UntrustedClass(f"{name} cannot be imported here: {error}") from error
