"""A record that several models are handed is decoded once, and none of them sees what another makes of it."""

import random
from typing import Any

import orjson
import pytest

from anabranch.events import AcceptedEvent, Record
from anabranch.messages import encode
from config.loading import build
from config.settings import Settings
from consumers.guard import Checked, Guard
from consumers.guard.reading import Reading, agreed, shared

TABLE: dict[str, Any] = {"name": "m", "task": "binary", "model": {"steps": [{"use": "naive_bayes.GaussianNB"}]}}


def settings_of(**changes: Any) -> Settings:
    return build({**TABLE, **changes})


def record(value: Any, offset: int = 0) -> Record:
    data = value if isinstance(value, bytes) else orjson.dumps(value)
    return Record("events", 0, offset, 0.0, None, data)


def event(number: int, features: dict[str, Any], label: Any = 1) -> dict[str, Any]:
    return {"id": f"e{number}", "ts": 1.6e9, "features": features, "label": label}


class Counting(Reading):
    """Counts what it decodes."""

    decoded = 0

    def decode(self, value: bytes | None, *, what: str = "event") -> dict[str, Any]:
        self.decoded += 1
        return super().decode(value, what=what)


def mixed(count: int = 400) -> list[Record]:
    """Sound records, refused ones, duplicates, missing values, strings, numbers beyond the bounds: seeded."""
    rng = random.Random(7)
    usual: dict[str, list[Any]] = {"a": [1.5, -3], "b": [True, False, None], "c": ["red", "green", None]}
    rare: list[Any] = ["x" * 2000, 1e300, 5, [1], {}]
    made: list[Any] = []
    for _ in range(count):
        features = {name: rng.choice(rare if rng.random() < 0.05 else values) for name, values in usual.items()}
        made.append(event(rng.randrange(count), features, rng.choice([0, 1, None, "?", 1])))
        made += [b"{", {"id": "", "ts": 1, "features": {}}, [made[-1]]] if rng.random() < 0.05 else []
    return [record(value, offset) for offset, value in enumerate(made)]


def plain(checked: Checked) -> Any:
    return encode(checked) if not isinstance(checked, tuple) and checked is not None else checked


def test_a_shared_guard_says_what_a_guard_of_its_own_says() -> None:
    """Events, dead letters, duplicates and what is remembered, to the last byte."""
    settings = settings_of()
    reading = Reading(settings, is_shared=True)
    alone, first, second = Guard(settings), Guard(settings, reading=reading), Guard(settings, reading=reading)
    for each in mixed():
        handed = shared(each)
        expected = plain(alone.check(each))
        assert plain(first.check(handed)) == expected
        assert plain(second.check(handed)) == expected
    assert first.state() == second.state() == alone.state()
    assert alone.accepted > 50
    assert alone.refused > 50


@pytest.mark.interpreted
def test_a_record_is_decoded_once_for_all() -> None:
    """However many guards look at it."""
    settings = settings_of()
    reading = Counting(settings, is_shared=True)
    handed = shared(record(event(1, {"a": 1.0})))
    guards = [Guard(settings, reading=reading) for _ in range(5)]
    assert all(isinstance(guard.check(handed), AcceptedEvent) for guard in guards)
    assert reading.decoded == 1


def test_what_one_model_changes_no_other_sees() -> None:
    """A model that writes into its features writes into a copy."""
    settings = settings_of(privacy={"hidden": ["sex"]}, fairness={"sensitive": ["sex"]})
    reading = Reading(settings, is_shared=True)
    handed = shared(record(event(1, {"a": 1.0, "sex": "f"})))
    first, second = (Guard(settings, reading=reading) for _ in range(2))
    one = first.check(handed)
    assert isinstance(one, AcceptedEvent)
    one.x["a"] = 2.0
    one.apart["sex"] = "m"  # type: ignore[index]
    other = second.check(handed)
    assert isinstance(other, AcceptedEvent)
    assert (other.x, other.apart) == ({"a": 1.0}, {"sex": "f"})


@pytest.mark.parametrize(
    "change",
    [
        {"guard": {"string_max": 5}},
        {"guard": {"ts_ahead_max": "1h"}},
        {"positive": "yes"},
        {"task": "regression"},
        {"privacy": {"hidden": ["a"]}},
        {"privacy": {"pseudonyms": "0123456789abcdef"}},
    ],
)
def test_models_that_do_not_agree_read_by_themselves(change: dict[str, Any]) -> None:
    """What a record is depends on these."""
    assert agreed(settings_of(**change)) != agreed(settings_of())


def test_what_a_guard_remembers_need_not_agree() -> None:
    """The name, the model, and bounds on what was seen before are each guard's own."""
    assert agreed(settings_of(name="n", guard={"dedup_window": 5, "classes_max": 3})) == agreed(settings_of())
