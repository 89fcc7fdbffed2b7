"""Dead letters that are published once more: what is checked before, and what the learner makes of them."""

import base64
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from anabranch.events import Record
from anabranch.kafka import headers_of, producer
from anabranch.kafka.tail import Tail
from anabranch.messages import Act, DeadLetter, decode
from config.loading import build
from config.settings import Settings
from consumers.kafka.reader import records_at
from consumers.kafka.sink import KafkaSink
from consumers.redrive import Redriven, plan, send
from support.command_line import anabranch
from support.projects import GAUSSIAN, Project, values_on

NOW_S = 1.8e9


def settings(**guard: Any) -> Settings:
    return build({"name": "m", "task": "binary", "model": {"factory": "a:b"}, "guard": guard})


def value(id_: str = "e", *, label: Any = True, **features: Any) -> bytes:
    return orjson.dumps({"id": id_, "ts": 1.7e9, "features": features or {"a": 1.0}, "label": label})


def letter(data: bytes, *, offset: int = 0, kept: int = 10_000) -> DeadLetter:
    return DeadLetter(
        id=f"m/events/0/{offset}", topic="events", partition=0, offset=offset, stage="limits", reason="too many",
        value_base64=base64.b64encode(data[:kept]).decode(), value_bytes=len(data),
    )  # fmt: skip


def record(data: bytes, *, offset: int = 0) -> Record:
    return Record("events", 0, offset, 1.7e9, b"key", data, [("traceparent", b"x")])


def planned(letters: list[DeadLetter], originals: list[Record | None], **guard: Any) -> list[Redriven]:
    return list(plan(letters, originals, settings(**guard), now_s=NOW_S))


def test_what_is_mended_is_published_as_it_was() -> None:
    """With its key and headers; what the configuration still refuses is left out, with the reason."""
    wide = value(**{f"f{n}": 1.0 for n in range(3)})
    (good,) = planned([letter(wide)], [record(wide)], features_max=3)
    (bad,) = planned([letter(wide)], [record(wide)], features_max=2)
    assert (good.fault, good.record and good.record.key) == ("", b"key")
    assert bad.fault.startswith("limits: 3 features")


def test_a_record_that_is_gone_is_taken_from_the_letter() -> None:
    """Unless the letter was cut: half an event is none."""
    data = value()
    whole, cut = planned([letter(data), letter(data, kept=9)], [None, None])
    assert (whole.fault, whole.record and whole.record.value) == ("", data)
    assert "without its key" in whole.note
    assert (cut.record, "a part of its bytes only" in cut.fault) == (None, True)


def test_one_event_is_published_once() -> None:
    """Of two letters with one id the first."""
    data = value()
    first, second = planned([letter(data), letter(data, offset=1)], [record(data), record(data, offset=1)])
    assert (first.fault, second.fault) == ("", "a duplicate: an event with this id is among them already")


def test_an_event_time_is_judged_by_when_it_is_published() -> None:
    """One that lay in the future may have come true."""
    data = orjson.dumps({"id": "e", "ts": 1.79e9, "features": {"a": 1.0}, "label": True})
    (each,) = planned([letter(data)], [record(data)])
    assert each.fault == ""


def test_records_are_found_and_sent_with_their_origin(embedded: Any) -> None:
    """To the partition that they came from, as fast as is asked for; those with a fault stay."""
    kafka = {"bootstrap.servers": embedded.bootstrap, "fetch.wait.max.ms": 50}
    sink, data = KafkaSink(producer(kafka)), [value(f"e{n}") for n in range(3)]
    for each in data:
        sink.send("events", key=None, value=each, partition=2, headers=[("traceparent", b"x")])
    sink.flush()
    found = list(records_at(kafka, [("events", 2, n) for n in (0, 2, 9)] + [("gone", 0, 0)]))
    assert [each and each.value for each in found] == [data[0], data[2], None, None]
    letters = [letter(data[n], offset=n) for n in (0, 2)]
    first, second = plan(letters, found[:2], settings(), now_s=NOW_S)
    waits: list[float] = []
    assert send([first, second._replace(fault="no")], sink, by="ana", why="fixed", rate=20.0, wait=waits.append) == 1
    with Tail(kafka, ["events"]) as tail:
        (last,) = [each for each in tail.until_caught_up() if each.offset() == 3]
    assert waits == [0.05]
    assert (last.partition(), last.value(), last.key()) == (2, data[0], None)
    assert dict(headers_of(last)) == {
        "traceparent": b"x",
        "anabranch-redriven-from": b"events/2/0",
        "anabranch-redriven-by": b"ana",
        "anabranch-redriven-why": b"fixed",
    }


@pytest.mark.kafka
def test_a_mended_event_is_learned_once(project: Callable[..., Project]) -> None:
    """However often it is published again; a dry run publishes nothing."""
    here = project(sections=f"{GAUSSIAN}[guard]\nfeatures_max = 1\n")
    here.produce(iter([value("wide", a=1.0, b=2.0), *(value(f"e{n}", label=n % 2 > 0) for n in range(20))]))
    here.run("learn", here.config, "--until-end")
    assert "1 of 1 dead letters" in here.run("dlq", "list", here.config, "--stage", "limits")
    assert "features" in here.run("dlq", "show", here.config, f"{here.prefix}events/0/0")
    words = ("dlq", "redrive", here.config, "--why", "two features are meant")
    assert "nothing was published: first mend what they are refused for" in anabranch(*words).stderr
    here.config.write_text(here.config.read_text().replace("features_max = 1", "features_max = 2"))
    assert "can be published" in here.run(*words)
    here.run("learn", here.config, "--until-end")
    assert here.state()["events"] == 20
    for _ in range(2):
        here.run(*words, "--send", "--rate", "1000", "--by", "ana")
    acts = [decode(Act, each) for each in values_on(here.kafka, f"{here.prefix}model-control")]
    assert {(each.by, each.why, each.what) for each in acts} == {
        ("ana", "two features are meant", "1 of 1 dead letters published once more")
    }
    here.produce(iter(value(f"more{n}", label=n % 2 > 0) for n in range(20)))
    here.run("learn", here.config, "--until-end")
    assert here.state()["events"] == 41


def test_a_redacted_letter_is_no_record() -> None:
    """Where retention has taken the record, what is left of it would be learned as something else."""
    told = letter(value()).model_copy(update={"redacted": "values"})
    gone, there = planned([told, told], [None, record(value())])
    assert gone.fault == "its record is gone, and the letter was redacted ([privacy])"
    assert there.fault == ""
