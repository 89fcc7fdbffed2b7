"""`publish.predictions`: what the champion answered to each event when it was asked, on a topic."""

from functools import cache
from typing import Any

import orjson

from anabranch.messages import ModelPrediction, decode, encode
from consumers.kafka.topics import needed
from consumers.stores import MemoryStore
from evaluation.simulation.world import MemoryLog
from support.loops import TABLE, filled, log_of, loop_on, settings_of, straight, straight_hash
from support.streams import rows

SETTINGS = settings_of(publish={**TABLE["publish"], "predictions": True})


@cache
def told() -> tuple[MemoryLog, str]:
    """A log that was learned with them, and the state's hash."""
    log = filled()
    return log, straight(log, SETTINGS).owner.learning_state_hash()


def predictions(log: MemoryLog) -> list[ModelPrediction]:
    return [decode(ModelPrediction, value) for value in log.values("model-predictions")]


def test_each_event_is_told_once_with_what_was_answered() -> None:
    """In the log's order, by the version that was live; those before the first announcement by version 0."""
    log, _ = told()
    found = predictions(log)
    assert [each.id for each in found] == [row["id"] for row in rows(2000)]
    assert {each.by for each in found} == {"learner"}
    assert [each.version for each in found] == sorted(each.version for each in found)
    assert (found[0].version, found[0].event_number, found[-1].event_number) == (0, 0, 1999)
    right = sum(each.prediction == row["label"] for each, row in zip(found, rows(2000), strict=True))
    assert right > 1500


def test_what_is_learned_is_the_same_without_them() -> None:
    """To the last bit; and by default nothing is told."""
    assert told()[1] == straight_hash()
    log = filled(200)
    straight(log)
    assert not predictions(log)


PARENT = [("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")]


def test_what_comes_of_a_record_belongs_to_its_trace() -> None:
    """Its answer, or its dead letter; nothing else does, and those of other records do not."""
    log = log_of(orjson.dumps(row) for row in rows(100))
    traced, refused, plain = (orjson.dumps({**row, "id": f"t{n}"}) for n, row in enumerate(rows(3)))
    log.append("events", traced, headers=PARENT)
    log.append("events", refused.replace(b'"ts"', b'"when"'), headers=PARENT)
    log.append("events", b"{")
    log.append("events", plain)
    straight(log, SETTINGS)
    answers = {
        decode(ModelPrediction, each.value or b"").id: each.headers for each in log.records["model-predictions", 0]
    }
    assert (answers["t0"], answers["t2"], answers["e99"]) == (PARENT, (), ())
    assert [each.headers for each in log.records["dead-letters", 0]] == [PARENT, ()]
    others = [each for (topic, _), several in log.records.items() for each in several if topic.startswith("model-")]
    assert sum(bool(each.headers) for each in others) == 1


def test_a_dead_letter_of_another_record_belongs_to_no_trace() -> None:
    """A label that waits for its event is given up when another one comes for which there is no room."""
    log = log_of(orjson.dumps(row) for row in rows(50))
    for name, headers in (("first", ()), ("second", PARENT)):
        log.append("labels", orjson.dumps({"id": name, "ts": 1.6e9, "label": True}), headers=headers)
    straight(log, settings_of(labels={"late": True, "early_max": 1}))
    (letter,) = log.records["dead-letters", 0]
    assert b"labels/0/0" in (letter.value or b"")
    assert letter.headers == ()


def test_it_is_what_was_answered_before_the_label_came() -> None:
    """An event without a label is told at once."""
    log = log_of(orjson.dumps({**row, "label": None}) for row in rows(5))
    straight(log, SETTINGS)
    assert len(predictions(log)) == 5


def test_a_restart_tells_the_same_once_more() -> None:
    """What came after the last checkpoint, under the same ids and by the same model."""
    log, store = filled(300), MemoryStore()
    loop = loop_on(log, store, SETTINGS)
    loop.ports.source.start(loop)
    loop._turn()  # and no checkpoint at its end
    loop_on(log, store, SETTINGS).run(until_end=True)
    same: dict[str, set[Any]] = {}
    for each in predictions(log):
        same.setdefault(each.id, set()).add(encode(each.model_copy(update={"ts": 0.0, "epoch": 0, "seq": 0})))
    assert len(same) == 300
    assert all(len(each) == 1 for each in same.values())


def test_the_topic_is_asked_for_where_it_is_written() -> None:
    """By learners that tell it, and by no others."""
    assert "model-predictions" in needed(SETTINGS)
    assert "model-predictions" not in needed(settings_of())
