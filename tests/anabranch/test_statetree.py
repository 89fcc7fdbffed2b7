"""The bytes of a value: what they keep, what they refuse, and what strangers' bytes cannot do."""

import collections
import datetime as dt
import functools
import math
import operator
import pickle
import random
import statistics
import struct
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import compose, drift, ensemble, forest, linear_model, naive_bayes, preprocessing, proba, stats, tree, utils

from anabranch.blends import Blend, NumberBlend
from anabranch.statetree import (
    MAGIC,
    CorruptState,
    StateTreeError,
    UnsupportedState,
    UntrustedClass,
    VersionMismatch,
    decode,
    digest,
    encode,
    refusals,
)
from anabranch.statetree.stable_sets import StableSet
from support.command_line import python

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**200), 2**200),
    st.floats(),
    st.text(st.characters(exclude_categories=())),
    st.binary(),
    st.datetimes(timezones=st.just(dt.UTC) | st.none()),
    st.timedeltas(),
)
NAMES = st.text() | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False)
KEYS = st.one_of(NAMES, st.tuples(NAMES, NAMES), st.frozensets(NAMES))
VALUES = st.recursive(
    SCALARS | KEYS,
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner) | st.sets(KEYS) | st.tuples(inner, inner),
    max_leaves=20,
)


class Mine:
    """A class outside River, as a user would trust it."""

    def __init__(self, value: Any) -> None:
        self.value = value


MINE = f"{Mine.__module__}:Mine"


def trained(model: Any, count: int = 300) -> Any:
    """A model after `count` seeded events."""
    rng = random.Random(3)
    for _ in range(count):
        x = {"a": rng.random(), "b": rng.gauss(0, 1), "c": rng.random()}
        model.learn_one(x, x["a"] > x["c"])
    return model


def packed(*tree: Any, format_: int = 1, river: str = "0.26.1") -> bytes:
    """Bytes around a tree that somebody made by hand."""
    return MAGIC + bytes(msgpack.packb([format_, river, "3.11.0", "2.0.0", msgpack.packb(list(tree))]))


@settings(max_examples=150, deadline=None)
@given(VALUES)
def test_values_come_back_equal_and_of_the_same_bytes(value: Any) -> None:
    """What is decoded writes the same bytes again, which tell every value and type apart."""
    data = encode(value)
    assert encode(decode(data)) == data


@pytest.mark.parametrize(
    "value",
    [
        collections.deque([1, 2, 3], maxlen=3),
        collections.defaultdict(
            functools.partial(collections.defaultdict, float), {"a": collections.defaultdict(float)}
        ),
        collections.Counter({"a": 2, "b": -1}),
        collections.OrderedDict([("z", 1), ("a", 2)]),
        {(1, "a"): {frozenset({1, 2}): b"\x00"}, None: range(1, 9, 2), True: statistics.NormalDist(1.5, 2.0)},
        [
            dt.datetime(2026, 1, 2, 3, tzinfo=dt.timezone(dt.timedelta(hours=2), "X"), fold=1),
            dt.date(2026, 1, 2),
            dt.time(3),
        ],
        [np.float64(0.1), np.int32(-3), np.bool_(True), np.float32(math.inf)],
        [2**64, -(2**63) - 1, 2**63, 10**400],
        ["\ud800", "", "ß"],
    ],
)
def test_containers_and_leaves_come_back_equal(value: Any) -> None:
    """Types, order, bounds and factories are all part of the state."""
    back = decode(encode(value))
    assert back == value
    assert repr(back) == repr(value)


@pytest.mark.parametrize(
    "value", [-0.0, math.nan, math.inf, -math.inf, 5e-324, struct.unpack("<d", b"\x01" * 6 + b"\xf8\x7f")[0]]
)
def test_floats_are_kept_to_the_bit(value: float) -> None:
    """Minus zero, subnormals and the payload of a NaN survive."""
    assert struct.pack("<d", decode(encode(value))) == struct.pack("<d", value)


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_keep_dtype_shape_and_memory_order(order: Any) -> None:
    """A Fortran array stays one, since BLAS sums it in another order."""
    value = np.array(np.arange(12, dtype=np.float32).reshape(3, 4), order=order)
    back = decode(encode(value))
    assert (back.dtype, back.flags.writeable) == (value.dtype, True)
    assert back.flags.f_contiguous == (order == "F")
    assert (back == value).all()


@pytest.mark.parametrize(
    ("source", "draw"),
    [
        (random.Random(1), lambda rng: rng.gauss(0, 1)),
        (np.random.RandomState(1), lambda rng: rng.normal()),
        (np.random.default_rng(1), lambda rng: rng.integers(100, dtype=np.uint32)),
        (np.random.Generator(np.random.MT19937(1)), lambda rng: rng.normal()),
    ],
)
def test_random_sources_go_on_where_they_stood(source: Any, draw: Any) -> None:
    """Including the spare normal that some keep for the next call."""
    draw(source)
    back = decode(encode(source))
    assert [draw(back) for _ in range(9)] == [draw(source) for _ in range(9)]


def test_shared_objects_stay_shared_and_cycles_close() -> None:
    """Each mutable object is written once; what referred to it does so again."""
    rng, ring = random.Random(1), []
    ring.append((ring, rng))
    back = decode(encode({"ring": ring, "rng": rng}))
    assert back["ring"][0][0] is back["ring"]
    assert back["ring"][0][1] is back["rng"]


def test_sharing_of_immutable_values_does_not_show() -> None:
    """Whether two equal strings or tuples are one object is Python's business."""
    once = ("river" * 3, 10**9)
    twice = ("".join(["river"] * 3), int("1" + "0" * 9))
    assert encode([once, once]) == encode([once, twice])


def test_attributes_set_in_another_order_are_the_same_state() -> None:
    """The order of an object's attributes is no state, unlike that of a dict's keys."""
    first, second = stats.Mean(), stats.Mean()
    second.__dict__ = dict(reversed(second.__dict__.items()))
    assert encode([first, second]) == encode([second, first])
    assert digest({"a": 1, "b": 2}) != digest({"b": 2, "a": 1})


def test_sets_iterate_in_one_order_after_decoding() -> None:
    """Members that were added in another order, or in another process, come in the same order."""
    words = [f"word{n}" for n in range(50)]
    back = decode(encode({*words[::-1]}))
    back.add("word")
    assert list(back) == list(StableSet([*words, "word"]))
    assert back == {*words, "word"}


def test_a_tree_of_a_rising_feature_needs_no_recursion() -> None:
    """Its binary search tree is a list some thousand nodes long, on which pickle overflows."""
    model = tree.HoeffdingTreeRegressor(grace_period=10**9)
    for n in range(3_000):
        model.learn_one({"n": n}, n % 7)
    data = encode(model)
    assert encode(decode(data)) == data


@pytest.mark.slow
def test_a_tree_that_pickle_cannot_hold_is_held() -> None:
    """A monotone feature makes it a chain: of 50,000 events, 200 splits deep, restored and grown on bit-identically.

    With twice the splits River itself takes a minute: the way down costs the depth squared.
    """
    model = tree.HoeffdingTreeClassifier(grace_period=240, delta=0.5, leaf_prediction="mc")
    for n in range(50_000):
        model.learn_one({"n": n}, n // 240 % 2 == 0)
    with pytest.raises(RecursionError):
        pickle.dumps(model)
    back = decode(encode(model))
    for n in range(50_000, 50_500):
        assert back.predict_proba_one({"n": n}) == model.predict_proba_one({"n": n})
        for each in (model, back):
            each.learn_one({"n": n}, n // 240 % 2 == 0)
    assert model.height == back.height > 200
    assert encode(back) == encode(model)


def test_a_list_can_be_nested_a_hundred_thousand_deep() -> None:
    """Depth costs nodes, not stack."""
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    assert len(encode(decode(encode(value)))) == len(encode(value))


def test_unseeded_sources_of_distributions_are_left_out() -> None:
    """Every Gaussian of a tree has one that only sampling uses; a seeded one is state."""
    assert len(encode(proba.Gaussian())) < 400 < len(encode(proba.Gaussian(seed=1)))
    assert isinstance(decode(encode(proba.Gaussian())).sample(), float)
    assert decode(encode(proba.Beta(seed=1))).sample() == proba.Beta(seed=1).sample()


def test_only_what_the_loader_trusts_is_made() -> None:
    """A class outside River needs its import path, on both sides."""
    with pytest.raises(UntrustedClass, match="Mine"):
        encode(Mine(1))
    data = encode(Mine([1]), trusted=[MINE])
    with pytest.raises(UntrustedClass, match="Mine"):
        decode(data)
    assert decode(data, trusted=[Mine.__module__]).value == [1]


@pytest.mark.parametrize(
    "name",
    [
        "os:system",
        "builtins:eval",
        "subprocess:Popen",
        "river.datasets.base:Dataset",
        "river.stream.twitch_chat_stream:TwitchChatStream",
        "river.compat.river_to_sklearn:River2SKLBase",
        "river.linear_model.log_reg:linear_model",
        "river.base.base:Base.__init__",
        "river.utils.pretty:print_table",
        "river..base:Base",
        "river._river_rust.stats:RsRollingQuantile",
        ":",
    ],
)
def test_no_other_name_can_be_brought_in(name: str) -> None:
    """Neither as the class of an object nor as a value."""
    for tree_ in (([], [], [-22, name]), ([[name]], [[0]], [0])):
        with pytest.raises(StateTreeError):
            decode(packed(*tree_))


@pytest.mark.parametrize("blend", [Blend, NumberBlend])
def test_what_has_moved_since_is_found_by_the_name_in_older_bytes(blend: type) -> None:
    """And written by its own."""
    old = f"anabranch.recommender:{blend.__name__}"
    assert decode(packed([], [], [-22, old])) is blend
    assert old.encode() not in encode(blend())
    assert type(decode(encode(blend()))) is blend


def test_refusals_name_every_reason_and_its_place() -> None:
    """`anabranch check` prints all of them at once."""
    model = compose.FuncTransformer(print) | preprocessing.StandardScaler() | linear_model.LogisticRegression()
    model.steps["LogisticRegression"].optimizer.lr = Mine(1)
    model.steps["LogisticRegression"].loss = len
    assert refusals(trained(linear_model.LogisticRegression())) == []
    found = refusals(model)
    assert any(fault.startswith(".steps['LogisticRegression'].optimizer.lr: ") and "Mine" in fault for fault in found)
    assert len(found) == 3


@pytest.mark.parametrize(
    "value",
    [
        object(),
        open,
        iter([1]),
        {1, Mine},
        1j,
        np.array(["a"]),
        np.array([object()]),
        {"a": [{tree.HoeffdingTreeClassifier()}]},
    ],
)
def test_what_has_no_faithful_form_is_refused(value: Any) -> None:
    """By an error of ours, with the place."""
    assert refusals(value)
    with pytest.raises(StateTreeError):
        encode(value)


def test_another_river_is_refused_by_both_names() -> None:
    """River's layout changes between minor versions, sometimes silently."""
    with pytest.raises(VersionMismatch, match=r"River 0\.25\.0, here is River 0\.26"):
        decode(packed([], [], 1, river="0.25.0"))
    with pytest.raises(VersionMismatch, match="format 9"):
        decode(packed([], [], 1, format_=9))


_BLANK_TWISTER = b"\x01\x00\x00\x00" * 624
DAMAGED: dict[str, tuple[Any, ...]] = {
    "not a tree": (1,),
    "ref out of range": ([], [[-80]], [1]),
    "long ref": ([], [[-80]], [0, 0]),
    "unknown node": ([], [[-999]], [0]),
    "unknown value": ([], [], [-999]),
    "empty node": ([], [[]], [0]),
    "layout out of range": ([], [[3]], [0]),
    "too few attributes": ([["river.stats.mean:Mean", "n"]], [[0]], [0]),
    "dunder attribute": ([["river.stats.mean:Mean", "__class__"]], [[0, 1]], [0]),
    "attribute twice": ([["river.stats.mean:Mean", "n", "n"]], [[0, 1, 1]], [0]),
    "function as a class": ([["copy:deepcopy"]], [[0]], [0]),
    "builtin as a class": ([["builtins:int"]], [[0]], [0]),
    "key twice": ([], [[-81, 1, 2, 1, 3]], [0]),
    "odd pairs": ([], [[-81, 1]], [0]),
    "unhashable key": ([], [[-80], [-81, [0], 1]], [1]),
    "full deque": ([], [[-83, 1, 1, 2]], [0]),
    "negative deque": ([], [[-83, -1]], [0]),
    "factory is a number": ([], [[-84, 3]], [0]),
    "bool array of twos": ([], [[-40, "|b1", "C", [1], b"\x02"]], [0]),
    "object array": ([], [[-40, "|O", "C", [1], b"12345678"]], [0]),
    "huge array": ([], [[-40, "<f8", "C", [2**39, 2**39], b""]], [0]),
    "twister position": ([], [[-42, _BLANK_TWISTER, 625, 0, 0.0]], [0]),
    "twister position in a Generator": ([], [[-43, "MT19937", _BLANK_TWISTER, -1]], [0]),
    "even PCG64": ([], [[-43, "PCG64", bytes(16), bytes(16), 0, 0]], [0]),
    "Python's twister": ([], [[-41, 3, _BLANK_TWISTER, 2**40, None]], [0]),
    "short ADWIN": ([], [[-60, b"123"]], [0]),
    "short quantile": ([], [[-66, b"123"]], [0]),
    "VectorDict of itself": ([], [[-87, [0]]], [0]),
    "VectorDict with a key of itself": ([], [[-87, None, [-20, [0]], 1.0]], [0]),
    "true in place of a ref": ([], [[-80, [True]]], [0]),
    "a map in place of a ref": ([], [[-80, {0: 0}]], [0]),
    "ref below zero": ([], [[-80], [-80, [-1]]], [1]),
    "one of several with fewer attributes": ([["river.stats.mean:Mean", "n"]], [[0, 1.0], [0]], [0]),
    "VectorDict of strings": ([], [[-87, None, "a", "b"]], [0]),
    "method of another": ([], [[-80]], [-24, "random:Random.gauss", [0]]),
    "deep tuples": ([], [], functools.reduce(lambda inner, _: [-20, inner], range(400), 1)),
    "deeper tuples": ([], [], functools.reduce(lambda inner, _: [-20, inner], range(505), 1)),
    "year 0": ([], [], [-4, 0, 1, 1, 0, 0, 0, 0, None, 0]),
    "partial of a number": ([], [], [-23, [1], [], []]),
}


@pytest.mark.parametrize("fault", DAMAGED)
def test_each_kind_of_damage_is_an_error_of_ours(fault: str) -> None:
    """Above all those that numpy or Rust would answer by reading foreign memory."""
    with pytest.raises(StateTreeError):
        decode(packed(*DAMAGED[fault]))


def test_a_fault_is_said_with_the_node_that_it_is_in() -> None:
    """Of many instances that are read attribute by attribute, the one."""
    means = [["river.stats.mean:Mean", "_mean", "n"]], [[0, 0.5, 1.0], [0, [2], 1.0], [0, [9], 1.0]]
    with pytest.raises(CorruptState, match="node 2, a Mean: there is no node 9"):
        decode(packed(*means, [0]))


@pytest.mark.parametrize(
    "data", [b"", b"pickle", MAGIC, MAGIC + b"\xc1", MAGIC + b"\x94\x01", packed([], [], 1) + b"\x00"]
)
def test_bytes_that_are_not_ours_are_an_error_of_ours(data: bytes) -> None:
    """Too short, of something else, or with something behind."""
    with pytest.raises(CorruptState):
        decode(data)


def _samples() -> list[bytes]:
    union = (compose.Select("a") | preprocessing.RobustScaler()) + preprocessing.MinMaxScaler(window_size=9)
    models = [
        union | linear_model.LogisticRegression(),
        tree.HoeffdingTreeClassifier(grace_period=30, delta=0.2),
        forest.ARFClassifier(2, seed=1, grace_period=20),
        naive_bayes.GaussianNB(),
        drift.DriftRetrainingClassifier(naive_bayes.GaussianNB(), drift.binary.DDM()),
    ]
    rest = [
        drift.ADWIN(),
        stats.Quantile(),
        stats.RollingIQR(9),
        np.random.RandomState(1),
        np.random.default_rng(2),
        utils.Rolling(stats.Var, window_size=3),
        dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    ]
    return [encode(trained(model, 150)) for model in models] + [encode(rest)]


SAMPLES = _samples()


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(SAMPLES), st.data())
def test_flipped_bits_decode_or_raise_an_error_of_ours(sample: bytes, data: st.DataObject) -> None:
    """Nothing else: no crash, no hang, no other exception."""
    damaged = bytearray(sample)
    for place in data.draw(st.lists(st.integers(0, len(sample) - 1), min_size=1, max_size=4)):
        damaged[place] ^= 1 << data.draw(st.integers(0, 7))
    try:
        decode(bytes(damaged))
    except StateTreeError:
        return


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(SAMPLES), st.data())
def test_cut_bytes_raise_an_error_of_ours(sample: bytes, data: st.DataObject) -> None:
    """Half a model is no model."""
    with pytest.raises(StateTreeError):
        decode(sample[: data.draw(st.integers(0, len(sample) - 1))])


def test_tuples_nested_without_end_are_refused() -> None:
    """They alone are written by recursion, which is bounded."""
    value: tuple[Any, ...] = ()
    for _ in range(100):
        value = (value,)
    with pytest.raises(UnsupportedState, match="use lists"):
        encode(value)


def test_item_getters_and_named_functions_come_back() -> None:
    """River's text models keep them in their pipelines of steps."""
    back = decode(encode([operator.itemgetter("a", 1), str.lower, float]))
    assert back[0]({"a": 1, 1: 2}) == (1, 2)
    assert back[1:] == [str.lower, float]


IN_THREADS = """
import pathlib, sys, threading
from anabranch import statetree
several = [path.read_bytes() for path in map(pathlib.Path, sys.argv[1:])]
together, found = threading.Barrier(len(several)), []
def decode(data):
    together.wait()
    found.append(type(statetree.decode(data)).__name__)
threads = [threading.Thread(target=decode, args=(each,)) for each in several]
for each in threads: each.start()
for each in threads: each.join()
print(len(found))
"""


def test_threads_decode_what_nobody_has_imported(tmp_path: Path) -> None:
    """Followers of one process begin at one moment: River's modules are imported once, and the others wait for that."""
    models = [
        forest.ARFClassifier(n_models=2, seed=1),
        forest.ARFClassifier(n_models=3, seed=1),
        ensemble.SRPClassifier(n_models=2, seed=1),
        tree.HoeffdingTreeClassifier(),
        naive_bayes.GaussianNB(),
    ]
    paths = [tmp_path / str(number) for number in range(len(models))]
    for path, model in zip(paths, models, strict=True):
        path.write_bytes(encode(model))
    assert python("-c", IN_THREADS, *paths).strip() == str(len(models))
