"""[privacy] in the learning loop: what is hidden is as if it had never been sent, and is in nothing that is written."""

import base64
from functools import cache
from typing import Any

import orjson
import pytest

from anabranch.errors import ConfigError
from anabranch.messages import DeadLetter, Example, ModelPrediction, ModelReport, decode
from config.settings import Settings
from consumers.loop import LearningLoop
from consumers.owner import StartOptions
from consumers.stores import MemoryStore
from evaluation.simulation.world import MemoryLog
from support.loops import TABLE, log_of, loop_on, settings_of, straight, straight_hash
from support.streams import rows

KEY = "a key of thirty-two characters.."
HIDDEN = {"hidden": ["ssn"]}
PSEUDONYMS = {"pseudonyms": KEY, "users": ["customer"]}
HERS = "078-05-1120"


def asked(n: int, row: dict[str, Any]) -> dict[str, Any]:
    """With a number that is nobody's business, of a customer."""
    features = {**row["features"], "ssn": f"{HERS}/{n % 5}", "customer": f"customer-{n % 50}"}
    return {**row, "id": f"payment-{n}", "features": features}


def bad(row: dict[str, Any]) -> list[bytes]:
    """What is refused in several ways: the value is where it should be, under another key, in bytes that are torn."""
    whole = orjson.dumps(row)
    return [
        orjson.dumps({**row, "ts": "yesterday"}),
        orjson.dumps({**row, "features": None, "data": row["features"]}),
        orjson.dumps({**row, "label": "perhaps"}),
        whole[:-5],
        orjson.dumps(whole.decode()),
    ]


def settings(**privacy: Any) -> Settings:
    publish = {**TABLE["publish"], "predictions": True}
    labels = {"late": True, "horizon": "1h", "default": False, "memory_max": 20}
    return settings_of(publish=publish, labels=labels, privacy=privacy, features={"drop": ["customer", "ssn"]})


def late_log() -> MemoryLog:
    """Every third label comes 20 events later on its topic, some of them twice and otherwise; bad records between."""
    log, waiting = MemoryLog(), list[dict[str, Any]]()
    for n, row in enumerate(rows(1500)):
        event = asked(n, {**row, "ts": 1.6e9 + n})
        if n % 3 == 0:
            waiting.append({"id": event["id"], "ts": event["ts"] + 20, "label": event.pop("label")})
        log.append("events", orjson.dumps(event), key=f"customer-{n % 50}".encode())
        if n % 100 == 50:
            for value in bad(event):
                log.append("events", value)
        if len(waiting) > 20:
            label = waiting.pop(0)
            log.append("labels", orjson.dumps(label))
            if n % 30 == 0:
                log.append("labels", orjson.dumps({**label, "label": not label["label"]}))
                log.append("labels", orjson.dumps({**label, "id": f"payment-{n}-nobody"}))
    return log


def written(log: MemoryLog, store: MemoryStore) -> dict[str, bytes]:
    """All that came of it: the topics that no producer writes, by name, and the checkpoints."""
    topics = {topic for topic, _ in log.records} - {"events", "labels"}
    found = {topic: b"\n".join(log.values(topic)) for topic in topics}
    keys = [each.key or b"" for (topic, _), records in log.records.items() if topic in topics for each in records]
    return {**found, "keys": b"\n".join(keys), "checkpoints": b"\n".join(store.blobs.held.values())}


@cache
def learned(**privacy: Any) -> tuple[LearningLoop, MemoryLog, dict[str, bytes]]:
    log, store = late_log(), MemoryStore(keep=50)
    loop = loop_on(log, store, settings(**privacy))
    loop.run(until_end=True)
    return loop, log, written(log, store)


def run(loop: LearningLoop) -> LearningLoop:
    loop.run(until_end=True)
    return loop


def holding(found: dict[str, bytes], word: str) -> list[str]:
    """Where a word stands; dead letters are looked into."""
    letters = [base64.b64decode(orjson.loads(line)["value_base64"]) for line in found["dead-letters"].splitlines()]
    return sorted(name for name, data in {**found, "letters": b"\n".join(letters)}.items() if word.encode() in data)


def test_the_run_would_show_what_is_not_hidden() -> None:
    """Otherwise nothing would be proved by its absence: drift, late labels, letters of each kind, checkpoints."""
    loop, log, found = learned()
    assert {decode(DeadLetter, value).stage for value in log.values("dead-letters")} >= {"decode", "schema", "label"}
    assert (loop.owner.lane.join.endings["labelled"] > 400, loop.owner.seq > 2) == (True, True)
    assert {"checkpoints", "letters", "model-examples"} <= set(holding(found, HERS))
    ids = holding(found, "payment-")
    assert {"checkpoints", "dead-letters", "keys", "letters", "model-examples", "model-predictions"} <= set(ids)


def test_what_is_hidden_stands_in_nothing_that_is_written() -> None:
    """Byte for byte: topics and their keys, dead letters, and checkpoints with all that waits in them."""
    _, log, found = learned(hidden=("ssn",))
    assert holding(found, HERS) == []
    assert "letters" in holding(found, "payment-")
    letters = [decode(DeadLetter, value) for value in log.values("dead-letters")]
    assert {each.redacted for each in letters} == {"", "values", "all"}
    assert all(bool(each.value_digest) == (each.redacted == "all") for each in letters)
    assert not any(each.value_base64 for each in letters if each.redacted == "all")


def test_what_is_hidden_is_as_if_it_had_never_been_sent() -> None:
    """To the last bit of what was learned, with drift and recruits that were trained on the log."""
    values = ({**row, "features": {**row["features"], "ssn": f"{HERS}/{n}"}} for n, row in enumerate(rows()))
    log = log_of(map(orjson.dumps, values))
    assert straight(log, settings_of(privacy=HIDDEN)).owner.learning_state_hash() == straight_hash()


def test_ids_keys_and_users_are_behind_pseudonyms_in_all_that_is_written() -> None:
    """In checkpoints, too; predictions, examples and letters tell of one event under one pseudonym."""
    loop, log, found = learned(hidden=("ssn",), pseudonyms=KEY, users=("customer",))
    for word in (HERS, "payment-", "customer-", KEY):
        assert holding(found, word) == [], word
    edge = loop.settings.edge
    pseudonyms = {edge.pseudonym(f"payment-{n}") for n in range(1500)}
    predicted = [decode(ModelPrediction, value) for value in log.values("model-predictions")]
    told = [decode(Example, value) for value in log.values("model-examples")]
    assert {each.id for each in predicted} == pseudonyms
    assert {each.id for each in told} <= pseudonyms
    assert {each.features["customer"] for each in told} == {edge.pseudonym(f"customer-{n}") for n in range(50)}


def test_pseudonyms_change_nothing_of_what_is_learned() -> None:
    """Labels find their events and duplicates are recognised, behind pseudonyms as before."""
    plain, veiled = learned(hidden=("ssn",))[0].owner, learned(hidden=("ssn",), pseudonyms=KEY)[0].owner
    assert veiled.learning_state_hash() == plain.learning_state_hash()
    assert veiled.lane.join.endings == plain.lane.join.endings
    assert veiled.guard.state()["counts"] == plain.guard.state()["counts"]


def test_groups_may_be_made_of_what_is_hidden() -> None:
    """Of events whose labels come late as well: their rates are told, and the feature is nowhere else."""
    values = []
    for n, row in enumerate(rows(600)):
        features = {**row["features"], "sex": "female" if n % 2 else "male"}
        values += [orjson.dumps({**row, "features": features, "label": label}) for label in (None, row["label"])]
    table: dict[str, Any] = {"constraints": {"group": "sex", "max_group_gap_widening": 0.2}}
    table["fairness"] = {"sensitive": ["sex"]}
    store, log = MemoryStore(keep=50), log_of(values)
    lane = run(loop_on(log, store, settings_of(**table, privacy={"hidden": ["sex"]}))).owner.lane
    last = decode(ModelReport, log.values("model-reports")[-1])
    assert {each.group for each in last.groups} == {"female", "male"}
    assert last.fairness
    assert {each.group for each in last.fairness[0].groups} == {"female", "male"}
    there = {name for name, data in written(log, store).items() if b"female" in data}
    assert there == {"model-reports", "checkpoints"}
    # As where the feature is only kept from the models.
    plain = straight(log_of(values), settings_of(**table, features={"drop": ["sex"]})).owner.lane
    assert lane.champion.groups is not None
    assert plain.champion.groups is not None
    assert lane.champion.groups.state() == plain.champion.groups.state()


@pytest.mark.parametrize(
    ("privacy", "said"),
    [
        (HIDDEN, "`privacy.hidden` names 'ssn', which was learned before"),
        (PSEUDONYMS, "`privacy.pseudonyms` is set"),
    ],
)
def test_what_was_learned_in_the_open_is_not_gone_on_with(privacy: dict[str, Any], said: str) -> None:
    """It lies in the state: the learner stops, and a rebuild learns the log anew behind the edge."""
    log, store = late_log(), MemoryStore(keep=50)
    loop_on(log, store, settings()).run(until_end=True)
    with pytest.raises(ConfigError, match="anabranch rebuild") as raised:
        loop_on(log, store, settings(**privacy)).run(until_end=True)
    assert said in str(raised.value)
    again = loop_on(log, store, settings(**privacy), how=StartOptions(rebuild=True))
    again.run(until_end=True)
    assert again.owner.lane.events > 1000
    loop_on(log, store, settings(**privacy)).run(until_end=True)


def test_another_key_is_not_gone_on_with() -> None:
    """Whoever was learned of would be a stranger; the key is not told."""
    log, store = late_log(), MemoryStore(keep=50)
    loop_on(log, store, settings(**PSEUDONYMS)).run(until_end=True)
    with pytest.raises(ConfigError, match=r"`privacy\.pseudonyms` is another key") as raised:
        loop_on(log, store, settings(**{**PSEUDONYMS, "pseudonyms": "another key of some length"})).run(until_end=True)
    assert "another key of some" not in str(raised.value)
