"""River's hot functions once more, with the same results to the last digit at less time: put in River's place.

A tree asks the same leaf about the same event several times: when it predicts, when it learns, and at each branch on
the way if it is adaptive. Its answer is kept here until the leaf has learned something. All else is what River
computes, in the same order, without the calls in between. What a model holds stays as it is: its bytes, checkpoints and
digests are what River makes of it.

The functions are of one version of River. Under another nothing is put in place, and all goes on at River's own pace.
"""

import ctypes
import math
import numbers
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from random import Random
from types import FunctionType
from typing import Any, Final

import river
from river import proba
from river.drift import ADWIN
from river.naive_bayes import GaussianNB, gaussian
from river.tree import HoeffdingTreeClassifier, base, hoeffding_adaptive_tree_classifier
from river.tree.hoeffding_tree import HoeffdingTree
from river.tree.nodes import efdtc_nodes, hatc_nodes, htc_nodes, last_nodes
from river.tree.nodes.leaf import HTLeaf
from river.tree.split_criterion import InfoGainSplitCriterion
from river.tree.splitter import GaussianSplitter
from river.tree.splitter.nominal_splitter_classif import NominalSplitterClassif
from river.tree.utils import BranchFactory
from river.utils import norm

RIVER = "0.26.1"
"""The version whose results these functions give."""

LEAVES_MAX = 1024
"""Leaves of which something is kept: those that events fall into now, of all trees of all models of a process."""

HALF_LOG_TAU: Final = 0.9189385332046727
"""Half of the logarithm of 2π."""
_SQRT_2 = math.sqrt(2.0)
_SQRT_TAU = math.sqrt(2.0 * math.pi)

X = Mapping[Any, Any]
Votes = dict[Any, float]
Normals = list[tuple[Any, float, float, float]]
"""How a class is spread: each feature with its mean, −2σ² and half of log σ²; no number has a spread of 0 here."""

_ATOM_BYTES, _OBJECT_BYTES = 80, 400
"""What a number or a short string takes, with its place in a table; and what an object takes besides."""

_KNOWN = (GaussianSplitter, NominalSplitterClassif)
"""What is computed with here; others are River's affair."""

# What River has itself: where something is not as usual, that one is asked.
_naive_bayes: Callable[..., Votes] = htc_nodes.do_naive_bayes_prediction
_normalized: Callable[..., Any] = norm.normalize_values_in_dict
_suggestion: Any = GaussianSplitter.best_evaluated_split_suggestion
_adaptive: Callable[..., Any] = hatc_nodes.AdaLeafClassifier.prediction
_cloned: Any = ADWIN.clone

# ── Leaves: naive Bayes over what a leaf has seen ───────────────────────────────────────────────────────────────────


class _Leaf:
    """What is known of a leaf: its last answer, and what it computes with, by class."""

    __slots__ = ("normals", "splitters", "total", "votes", "weights", "x")

    def __init__(self, weights: Votes, splitters: dict[Any, Any]) -> None:
        self.weights, self.splitters = weights, splitters
        self.total = -1.0
        self.x: X = {}
        self.votes: Votes = {}
        self.normals: dict[Any, tuple[Any, Normals]] = {}
        """By class its weight then, and how it is spread."""


_leaves: dict[int, _Leaf] = {}
"""By the identity of a leaf's class weights."""


def naive_bayes_votes(x: X, weights: Votes, splitters: dict[Any, Any]) -> Votes:
    """As `river.tree.utils.do_naive_bayes_prediction`: shares of 1 by class; none before anything was learned."""
    total = sum(weights.values())
    leaf = _leaves.get(id(weights))
    if leaf is None or leaf.weights is not weights or leaf.splitters is not splitters:
        if len(_leaves) >= LEAVES_MAX:
            _leaves.clear()
        leaf = _leaves[id(weights)] = _Leaf(weights, splitters)
    # A leaf that has learned since has another total. The event is compared by its values: whoever asks outside of a
    # lane may fill in one table again and again.
    elif leaf.total == total and leaf.x == x:
        return leaf.votes.copy()
    leaf.votes = _votes(x, leaf, total)
    leaf.x, leaf.total = dict(x), total
    return leaf.votes.copy()


def _votes(x: X, leaf: _Leaf, total: float) -> Votes:
    weights, splitters = leaf.weights, leaf.splitters
    if not weights or total == 0 or not splitters:
        return _naive_bayes(x, weights, splitters)
    for splitter in splitters.values():
        if type(splitter) not in _KNOWN:
            return _naive_bayes(x, weights, splitters)
    known = leaf.normals
    votes: Votes = {}
    for label, weight in weights.items():
        if not weight > 0:
            votes[label] = 0.0
            continue
        kept = known.get(label)
        # What a leaf has seen of a class changes with the weight of that class.
        if kept is None or kept[0] != weight:
            kept = known[label] = weight, _normals(label, splitters)
        votes[label] = _vote(x, label, math.log(weight / total), kept[1], splitters)
    return _shares(votes)


def _vote(x: X, label: Any, prior: float, normals: Normals, splitters: dict[Any, Any]) -> float:
    """The logarithm of how likely the event is of the class, less what is the same for all."""
    vote = prior
    for name, mean, spread, half_log in normals:
        if name not in x:
            continue
        if spread == 0.0:
            share: float = splitters[name].cond_proba(x[name], label)
            vote += math.log(share) if share > 0 else 0.0
            continue
        value: float = x[name]
        # Not a square: River's power may differ from it in the last digit.
        density = math.pow(value - mean, 2.0) / spread - HALF_LOG_TAU - half_log
        if density > -math.inf:
            vote += density
    return vote


def _normals(label: Any, splitters: dict[Any, Any]) -> Normals:
    """Of each number of which its spread within the class is known; and what is no number, with a spread of 0."""
    found: Normals = []
    for name, splitter in splitters.items():
        if type(splitter) is not GaussianSplitter:
            found.append((name, 0.0, 0.0, 0.0))
            continue
        normal = splitter._att_dist_per_class.get(label)
        if normal is not None:
            var = normal._var
            mean = var.mean
            freedom: float = mean.n - var.ddof
            if freedom > 0:
                variance: float = var._S / freedom
                if variance > 0.0:
                    found.append((name, mean._mean, -2.0 * variance, 0.5 * math.log(variance)))
    return found


def _shares(votes: Votes) -> Votes:
    """Shares of 1 of logarithms."""
    most: float = max(votes.values())
    total = 0.0
    for vote in votes.values():
        total += math.exp(vote - most)
    total = most + math.log(total)
    return {label: math.exp(vote - total) for label, vote in votes.items()}


def normalized(dictionary: Any, factor: float | None = None, inplace: bool = True, raise_error: bool = False) -> Any:
    """As `river.utils.norm.normalize_values_in_dict`: a table of numbers need not be copied all the way down."""
    if not inplace and type(dictionary) is dict:
        return _normalized(dictionary.copy(), factor, True, raise_error)
    return _normalized(dictionary, factor, inplace, raise_error)


# ── Splitters: what a leaf has seen of each feature ─────────────────────────────────────────────────────────────────


def update_splitters(self: HTLeaf, x: X, y: Any, w: Any, nominal_attributes: Any) -> None:
    """As `HTLeaf.update_splitters`."""
    splitters, disabled = self.splitters, self._disabled_attrs
    for name, value in self._iter_features(x):
        if name in disabled:
            continue
        splitter = splitters.get(name)
        if splitter is None:
            splitter = splitters[name] = _new_splitter(self, name, value, nominal_attributes)
        if type(splitter) is not GaussianSplitter:
            splitter.update(value, y, w)
        elif value is not None:
            _update_splitter(splitter, value, y, w)


def _new_splitter(leaf: HTLeaf, name: Any, value: Any, nominal: Any) -> Any:
    """For a feature that the leaf sees for the first time."""
    if (nominal is not None and name in nominal) or not isinstance(value, numbers.Number):
        return leaf.new_nominal_splitter()
    # As clone() makes it, which looks each time for what it is made of.
    like = leaf.splitter
    return GaussianSplitter(like.n_splits) if type(like) is GaussianSplitter else like.clone()


def _update_splitter(splitter: GaussianSplitter, value: Any, y: Any, w: Any) -> None:
    normal = splitter._att_dist_per_class.get(y)
    if normal is None:
        splitter._att_dist_per_class[y] = normal = proba.Gaussian()
        splitter._min_per_class[y] = splitter._max_per_class[y] = value
    else:
        splitter._min_per_class[y] = min(splitter._min_per_class[y], value)
        splitter._max_per_class[y] = max(splitter._max_per_class[y], value)
    _update_normal(normal, value, w)


def _update_normal(normal: proba.Gaussian, value: Any, w: Any) -> None:
    var = normal._var
    mean = var.mean
    before = mean._mean
    n = mean.n = mean.n + w
    after = mean._mean = before + (w / n) * (value - before)
    var._S += w * (value - before) * (value - after)


def best_split(self: GaussianSplitter, criterion: Any, pre_split_dist: Any, att_idx: Any, binary_only: bool) -> Any:
    """As `GaussianSplitter.best_evaluated_split_suggestion`, where splits are judged by the information gained."""
    if type(criterion) is not InfoGainSplitCriterion or type(pre_split_dist) is not dict:
        return _suggestion(self, criterion, pre_split_dist, att_idx, binary_only)
    least = criterion.min_branch_fraction
    before = _entropy(pre_split_dist)
    normals = [
        (label, normal.n_samples, normal.mu, normal.sigma, self._min_per_class[label], self._max_per_class[label])
        for label, normal in self._att_dist_per_class.items()
    ]
    best, at, sides = -math.inf, None, None
    for value in self._split_point_suggestions():
        left, right = _sides(normals, value)
        of_left, of_right = sum(left.values()), sum(right.values())
        total = of_left + of_right
        if not (total > 0 and of_left / total > least and of_right / total > least):
            continue
        merit = before - (of_left * _entropy(left) + of_right * _entropy(right)) / total
        if merit > best:
            best, at, sides = merit, value, [left, right]
    return BranchFactory() if sides is None else BranchFactory(best, att_idx, at, sides)


def _sides(normals: list[tuple[Any, ...]], value: Any) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """How much of each class lies on either side of a value."""
    left: dict[Any, Any] = {}  # whole numbers stay whole: they are part of a tree's state
    right: dict[Any, Any] = {}
    for label, n, mu, sigma, least, most in normals:
        if value < least:
            right[label] = n
        elif value >= most:
            left[label] = n
        else:
            share = 0.5 * (1.0 + math.erf((value - mu) / sigma / _SQRT_2)) if sigma else 0.0
            left[label] = share * n
            right[label] = n - left[label]
    return left, right


def _entropy(weights: Votes) -> float:
    entropy = total = 0.0
    log2 = math.log2
    for weight in weights.values():
        if weight > 0.0:
            entropy -= weight * log2(weight)
            total += weight
    return (entropy + total * log2(total)) / total if total > 0.0 else 0.0


# ── Leaves and branches, and naive Bayes as a model of its own ────────────────────────────────────────────────────────


def learn_leaf(self: Any, x: X, y: Any, *, w: Any = 1.0, tree: Any = None) -> None:
    """As `LeafNaiveBayesAdaptive.learn_one`."""
    if self.splitters is not None:
        stats = self.stats
        if not stats or _most(stats) == y:
            self._mc_correct_weight += w
        votes = naive_bayes_votes(x, stats, self.splitters)
        if votes and max(votes, key=votes.__getitem__) == y:
            self._nb_correct_weight += w
    super(htc_nodes.LeafNaiveBayesAdaptive, self).learn_one(x, y, w=w, tree=tree)


def _most(weights: dict[Any, Any]) -> Any:
    """The class with the largest share. Shares may tie where weights do not."""
    total = sum(weights.values())
    if total == 0 or math.isnan(total):
        return max(weights, key=weights.__getitem__)
    scale, best, most = 1 / total, None, -math.inf
    for label, weight in weights.items():
        share = weight * scale
        if share > most:
            best, most = label, share
    return best


def tree_shares(self: Any, x: X) -> Votes:
    """As `HoeffdingTreeClassifier.predict_proba_one`."""
    shares = dict.fromkeys(sorted(self.classes), 0.0)
    leaf = self._root
    if leaf is not None:
        if "children" in leaf.__dict__:
            leaf = leaf.traverse(x, until_leaf=True)
        shares.update(leaf.prediction(x, tree=self))
    return shares


def walk(self: base.Branch, x: X, until_leaf: bool = True) -> Iterator[Any]:
    """As `Branch.walk`, without a generator for each node."""
    node: Any = self
    while True:
        yield node
        if "children" not in node.__dict__:  # a leaf; asked so, since isinstance() takes long for an abstract class
            return
        try:
            node = node.next(x)
        except KeyError:
            if not until_leaf:
                return
            _, node = node.most_common_path()
            yield node


def traverse(self: base.Branch, x: X, until_leaf: bool = True) -> Any:
    """As `Branch.traverse`."""
    node: Any = self
    while "children" in node.__dict__:
        try:
            node = node.next(x)
        except KeyError:
            if not until_leaf:
                return node
            _, node = node.most_common_path()
    return node


def adaptive_prediction(self: Any, x: X, *, tree: Any = None) -> Any:
    """As `AdaLeafClassifier.prediction`."""
    if not self.stats or self.splitters is None or tree.leaf_prediction != tree._NAIVE_BAYES_ADAPTIVE:
        return _adaptive(self, x, tree=tree)
    if self._nb_correct_weight >= self._mc_correct_weight:
        shares = naive_bayes_votes(x, self.stats, self.splitters)
    else:
        shares = _normalized(self.stats.copy())
    error = self._mean_error._mean
    return _normalized(shares, sum(shares.values()) * error * error)


def joint_log_likelihood(self: GaussianNB, x: X) -> Votes:
    """As `GaussianNB.joint_log_likelihood`."""
    counts, log, exp, sqrt = self.class_counts, math.log, math.exp, math.sqrt
    if not counts:
        return {}
    total, items, likelihoods = sum(counts.values()), x.items(), {}
    for label in counts:
        normals: Mapping[Any, proba.Gaussian] = self.gaussians.get(label, {})
        logs = []
        for name, value in items:
            normal, density = normals.get(name), 0.0
            if normal is not None:
                var = normal._var
                mean = var.mean
                n, ddof = mean.n, var.ddof
                variance = var._S / (n - ddof) if n > ddof else 0.0
                if variance > 0.0:
                    try:
                        sigma = sqrt(variance)
                        z = (value - mean._mean) / sigma
                        density = exp(-0.5 * z * z) / _SQRT_TAU / sigma
                    except (ValueError, OverflowError):
                        density = 0.0
            logs.append(log(gaussian._PDF_EPS + density) if normal is not None else gaussian._LOG_PDF_EPS)
        likelihoods[label] = log(counts[label] / total) + sum(logs)
    return likelihoods


def learn_naive_bayes(self: GaussianNB, x: X, y: Any) -> None:
    """As `GaussianNB.learn_one`."""
    self.class_counts[y] += 1
    for name, value in x.items():
        _update_normal(self.gaussians[y][name], value, 1.0)


# ── The size of a tree ──────────────────────────────────────────────────────────────────────────────────────────────


def estimate_size(self: HoeffdingTree) -> None:
    """As `HoeffdingTree._estimate_model_size`, but two equal trees are equally large.

    River's counts what lies where in memory, which differs between two processes that have learned the same; and what
    it finds is part of the tree's state, after a million learned weights.
    """
    sizes: dict[bool, list[int]] = {True: [], False: []}
    for leaf in self._find_leaves():
        sizes[leaf.is_active()].append(bytes_of(leaf))
    if sizes[True] and self._n_active_leaves:
        self._active_leaf_size_estimate = sum(sizes[True]) / self._n_active_leaves
    if sizes[False] and self._n_inactive_leaves:
        self._inactive_leaf_size_estimate = sum(sizes[False]) / self._n_inactive_leaves
    whole = bytes_of(self)
    of_leaves = (
        self._n_active_leaves * self._active_leaf_size_estimate
        + self._n_inactive_leaves * self._inactive_leaf_size_estimate
    )
    if of_leaves:
        self._size_estimate_overhead_fraction = whole / of_leaves
    if whole > self._max_byte_size:
        self._enforce_size_limit()


def bytes_of(value: Any) -> int:
    """Roughly how many bytes of memory an object and all it holds take; by what it is, and not by where it lies."""
    size, seen, left = 0, set[int](), [value]
    while left:
        each = left.pop()
        # Many distributions have a generator of their own that they never use; kept, it is one for all.
        if isinstance(each, int | float | str | bytes | Random | type(None)):
            size += _ATOM_BYTES
            continue
        if id(each) in seen:
            continue
        seen.add(id(each))
        size += _OBJECT_BYTES
        if isinstance(each, dict):
            left.extend(each.keys())
            left.extend(each.values())
        elif isinstance(each, list | tuple | set | frozenset | deque):
            left.extend(each)
        elif not isinstance(each, type):
            left.extend(getattr(each, "__dict__", {}).values())
            left.extend(getattr(each, name) for name in getattr(each, "__slots__", ()) if hasattr(each, name))
    return size


def fresh_adwin(self: ADWIN, new_params: Any = None, include_attributes: bool = False) -> Any:
    """As `ADWIN.clone`: an adaptive tree makes one whenever it looks whether a leaf should be split."""
    if new_params or include_attributes or type(self) is not ADWIN:
        return _cloned(self, new_params, include_attributes)
    return ADWIN(self.delta, self.clock, self.max_buckets, self.min_window_length, self.grace_period)


# ── In River's place ────────────────────────────────────────────────────────────────────────────────────────────────

PLACES: tuple[tuple[Any, str, Callable[..., Any]], ...] = (
    *((each, "do_naive_bayes_prediction", naive_bayes_votes) for each in (htc_nodes, hatc_nodes, last_nodes)),
    *(
        (each, "normalize_values_in_dict", normalized)
        for each in (htc_nodes, hatc_nodes, efdtc_nodes, hoeffding_adaptive_tree_classifier)
    ),
    (HoeffdingTree, "_estimate_model_size", estimate_size),
    (HTLeaf, "update_splitters", update_splitters),
    (GaussianSplitter, "best_evaluated_split_suggestion", best_split),
    (htc_nodes.LeafNaiveBayesAdaptive, "learn_one", learn_leaf),
    (HoeffdingTreeClassifier, "predict_proba_one", tree_shares),
    (base.Branch, "walk", walk),
    (base.Branch, "traverse", traverse),
    (hatc_nodes.AdaLeafClassifier, "prediction", adaptive_prediction),
    (ADWIN, "clone", fresh_adwin),
    (GaussianNB, "joint_log_likelihood", joint_log_likelihood),
    (GaussianNB, "learn_one", learn_naive_bayes),
)
"""Where in River each function goes, and under which name."""

_for_good: list[bool] = []
"""Not empty: what River had stays there."""

RIVERS = tuple(getattr(where, name) for where, name, _ in PLACES)
"""What stood there."""


def install() -> bool:
    """Put all functions in River's place, for this process; whether it is of the version that they were written for."""
    if river.__version__ != RIVER or _for_good:
        return False
    for where, name, ours in PLACES:
        setattr(where, name, _as_method(ours) if isinstance(where, type) else ours)
    return True


def _as_method(function: Callable[..., Any]) -> Any:
    """A compiled function does not bind to the object that it is called on; CPython has a wrapper that does."""
    if isinstance(function, FunctionType):
        return function
    as_method = ctypes.pythonapi.PyInstanceMethod_New
    as_method.argtypes, as_method.restype = [ctypes.py_object], ctypes.py_object
    return as_method(function)


def remove(*, for_good: bool = False) -> None:
    """Put back what River had.

    Args:
        for_good: and leave it there, whatever is installed in this process later: to measure River as it is.
    """
    if for_good:
        _for_good.append(True)
    for (where, name, _), rivers in zip(PLACES, RIVERS, strict=True):
        setattr(where, name, rivers)
