"""Contributions for trees and forests: exact for what their leaves say of all events, sampled for what a leaf computes.

For an event and a row of the background, the paths of all their mixtures are walked at once: where both go the same
way, a split tells nothing between them; where they part, each side is followed, and at a leaf it is known which
features had to be the event's and which the row's (interventional TreeSHAP: Lundberg et al., 2020).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import comb, isclose
from typing import Any, NamedTuple

from river import compose, forest
from river.tree.hoeffding_tree import HoeffdingTree
from river.tree.nodes.branch import DTBranch
from river.tree.nodes.htc_nodes import LeafMajorityClass, LeafNaiveBayes, LeafNaiveBayesAdaptive
from river.tree.nodes.htr_nodes import LeafMean, LeafModel

from serving.explanation.additive import NotAdditive
from serving.explanation.sampling import ABSENT, Event, Shares, Value, names_of, sampled

Names = frozenset[str]
Through = Callable[[Event], Event]
Constant = Callable[[Any], float]
"""What a leaf says of all events alike: the share of a label, or the mean."""

VOTES_MAX = 1_000
"""So many answers of single trees, or some more, are asked for where leaves compute: it is to take 20 ms at most."""
PAIRS_LEAST = 2
"""Of one pair of orders no error can be told."""


class Voter(NamedTuple):
    """A tree and what its answer weighs."""

    root: Any
    weight: float


class Trees:
    """A tree, or trees that vote.

    Args:
        voters: with weights by which their answers are added up.
        is_sum: whether the model's answer is that sum, if leaves say the same of all events. (A median is none.)
        through: what transformers before them make of an event.
    """

    def __init__(self, voters: Sequence[Voter], *, is_sum: bool, through: Through | None = None) -> None:
        self.is_sum, self.through = is_sum, through
        self.voters = [voter for voter in voters if voter.root is not None]
        leaves = (leaf for voter in self.voters for leaf in voter.root.iter_leaves())
        self.is_constant = is_sum and all(map(_is_constant, leaves)) and not self._has_alternates()
        """Whether leaves say the same of all events."""

    def _has_alternates(self) -> bool:
        """An adaptive tree also asks the subtrees that it grows beside others."""
        return any(getattr(node, "_alternate_tree", None) for voter in self.voters for node in voter.root.iter_dfs())

    def shares(self, value: Value, x: Event, background: Sequence[Event], label: Any) -> Shares:
        """What each feature contributes to the answer.

        Args:
            value: the model's own answer.
            label: whose probability it is; None: a regressor's number.

        Raises:
            NotAdditive: transformers make features of several at once, or the model answers otherwise than its trees.
        """
        constant, origins = _constant_of(label), self._origins([x, *background])
        seen, rows = self._seen(x), [self._seen(row) for row in background]
        amounts = dict.fromkeys(names_of(x, background), 0.0)
        for voter in self.voters:
            for row in rows:
                for name, part in _parts(_reached(voter.root, seen, row, origins), constant):
                    amounts[name] += voter.weight * part / len(rows)
        base = sum(self._said(row, constant) for row in background) / len(background)
        if self.is_constant:
            if not isclose(value(dict(x)), base + sum(amounts.values()), rel_tol=1e-9, abs_tol=1e-9):
                raise NotAdditive("the model answers otherwise than its trees")
            return Shares(base, amounts, {})
        rest = self._rest(lambda z: value(z) - self._said(z, constant), x, background)
        both = {name: amounts[name] + rest.amounts.get(name, 0.0) for name in amounts}
        return Shares(base + rest.base, both, rest.errors)

    def _rest(self, value: Value, x: Event, background: Sequence[Event]) -> Shares:
        """What leaves compute of an event (naive Bayes, a linear model), and how votes are counted: sampled."""
        votes = 2 * max(1, len(self.voters) * len(names_of(x, background)))
        pairs = max(PAIRS_LEAST, VOTES_MAX // votes)
        count = min(pairs, len(background))
        few = [background[number * len(background) // count] for number in range(count)]
        return sampled(value, x, few, rounds=pairs // count)

    def _said(self, x: Event, constant: Constant) -> float:
        seen = self._seen(x)
        return sum(voter.weight * constant(_leaf(voter.root, seen)) for voter in self.voters)

    def _seen(self, x: Event) -> Event:
        """What the trees see of an event."""
        return x if self.through is None else self.through(dict(x))

    def _origins(self, events: Sequence[Event]) -> dict[str, str]:
        """By what transformers make of a feature, that feature; empty where there are none."""
        if self.through is None:
            return {}
        origins: dict[str, str] = {}
        try:
            nothing = self.through({})
            for x in events:
                whole = dict(nothing)
                for name, value in x.items():
                    made = self.through({name: value}).items()
                    # A one-hot encoder brings zeros of all words that it knows, whatever it is asked.
                    own = {each: found for each, found in made if nothing.get(each, ABSENT) != found}
                    if any(origins.setdefault(each, name) != name for each in own):
                        raise NotAdditive("two features are made into one")
                    whole |= own
                if whole != self.through(dict(x)):
                    raise NotAdditive("what transformers make of a feature depends on others")
        except Exception as error:  # a transformer may raise anything on an event that lacks a feature
            raise NotAdditive(f"{type(error).__name__}: {error}") from error
        return origins


def trees_of(model: Any) -> Trees | None:
    """A model's trees; None if it is none, or none of those that are known here."""
    if isinstance(model, compose.Pipeline):
        found = trees_of(model._last_step)
        return found and Trees(found.voters, is_sum=found.is_sum, through=lambda x: dict(model._transform_one(x)[0]))
    if isinstance(model, forest.ARFClassifier) and len(model):
        return Trees(_voters(model, _shares_of_votes(model)), is_sum=True)
    if isinstance(model, forest.ARFRegressor) and len(model):
        return Trees(_voters(model, _weights(model)), is_sum=model.aggregation_method != model._MEDIAN)
    if isinstance(model, HoeffdingTree) and not hasattr(model, "targets"):
        # Leaves of an adaptive tree do not show by their class how they answer; the tree knows.
        return Trees([Voter(model._root, 1.0)], is_sum=model.leaf_prediction != "nb")
    return None


def _voters(model: Any, weights: Sequence[float]) -> list[Voter]:
    return [Voter(tree._root, weight) for tree, weight in zip(model, weights, strict=True)]


def _shares_of_votes(model: forest.ARFClassifier) -> list[float]:
    """As its `predict_proba_one` weighs the trees."""
    scores = [0.0 if model.disable_weighted_vote else float(each.get()) for each in model._metrics]
    weights = [score if score > 0.0 else 1.0 for score in scores]
    return [each / sum(weights) for each in weights]


def _weights(model: forest.ARFRegressor) -> list[float]:
    """As its `predict_one` weighs the trees."""
    count = len(model)
    errors = [float(each.get()) for each in model._metrics]
    total = sum(errors)
    if model.disable_weighted_vote or model.aggregation_method == model._MEDIAN or not total or count == 1:
        return [1.0 / count] * count
    weights = [total - each for each in errors]
    return [each / sum(weights) / count for each in weights]


# ── leaves ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _constant_of(label: Any) -> Constant:
    if label is None:
        return lambda leaf: float(leaf.stats.mean.get())

    def share(leaf: Any) -> float:
        total = sum(leaf.stats.values())
        return float(leaf.stats.get(label, 0.0) / total) if total else 0.0

    return share


def _is_constant(leaf: Any) -> bool:
    """Whether a leaf says the same of all events, as it is now."""
    if isinstance(leaf, LeafModel | LeafNaiveBayes):
        return False
    if isinstance(leaf, LeafNaiveBayesAdaptive):
        return not leaf.is_active() or leaf._nb_correct_weight < leaf._mc_correct_weight
    return isinstance(leaf, LeafMajorityClass | LeafMean)


# ── paths ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _child(branch: Any, x: Event) -> Any:
    """Where an event goes from a split; without the feature, or with a new word, where most have gone."""
    try:
        return branch.next(x)
    except KeyError:
        return branch.most_common_path()[1]


def _feature(branch: Any) -> str:
    """By which it splits: all kinds of branches have it, and their base does not say so."""
    return str(branch.feature)


def _leaf(node: Any, x: Event) -> Any:
    while isinstance(node, DTBranch):
        node = _child(node, x)
    return node


def _parts(reached: Iterable[tuple[Any, Names, Names]], constant: Constant) -> Iterator[tuple[str, float]]:
    """What the leaves that mixtures reach give each feature, and take from it."""
    for leaf, ours, theirs in reached:
        said, p, q = constant(leaf), len(ours), len(theirs)
        ways = comb(p + q, p)
        for name in ours:
            yield name, said / (p * ways)
        for name in theirs:
            yield name, -said / (q * ways)


def _reached(root: Any, x: Event, row: Event, origins: Mapping[str, str]) -> Iterator[tuple[Any, Names, Names]]:
    """The leaves that mixtures reach, with the features that must be the event's, and those that must be the row's."""
    # Trees may be deeper than calls can be: a feature that only grows makes a chain of one.
    stack: list[tuple[Any, Names, Names]] = [(root, frozenset(), frozenset())]
    while stack:
        node, ours, theirs = stack.pop()
        while isinstance(node, DTBranch):
            here, there, split = _child(node, x), _child(node, row), _feature(node)
            name = origins.get(split, split)
            if here is there or name in ours:
                node = here
            elif name in theirs:
                node = there
            else:
                stack.append((there, ours, theirs | {name}))
                node, ours = here, ours | {name}
        yield node, ours, theirs
