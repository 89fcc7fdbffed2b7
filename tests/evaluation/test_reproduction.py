"""A published version is learned again from the log: its very bytes come out, or it is said why they cannot."""

import itertools
import random
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from anabranch import artifact
from anabranch.errors import LogTruncated
from anabranch.events import Partition
from anabranch.messages import LearnedOrder, ModelUpdate, TrainedOn
from anabranch.order import OrderReader
from config.settings import Settings
from consumers.finding import Finding
from consumers.stores import MemoryStore
from evaluation.replay import JobLost
from evaluation.reproduction import (
    Reproduction,
    chain_to,
    differing,
    first_announcement,
    inputs_of,
    obstacles,
)
from evaluation.simulation.world import MemoryLog, MemorySource
from support.loops import filled, first_of, loop_on, settings_of, straight, through_crashes, updates_in
from support.replays import told
from support.streams import rows


def reproduced(
    log: MemoryLog, update: ModelUpdate, settings: Settings | None = None, *, orders: Sequence[LearnedOrder] = ()
) -> Reproduction:
    """What comes out of the log, from an untrained model on."""
    settings = settings or settings_of()
    labels = "labels" if settings.labels.late else ""
    source = MemorySource(log, "events", labels=labels, examples="model-examples")
    attempt = Reproduction(settings, update, first=first_of(settings), log=source)
    for _ in attempt.run(orders or chain_to(update, OrderReader(told(log)))):
        pass
    return attempt


def swaps_of(log: MemoryLog) -> list[ModelUpdate]:
    return [each for each in updates_in(log) if each.kind == "swap"]


def announced_bytes(log: MemoryLog, update: ModelUpdate) -> bytes:
    """The bytes of a version, from their chunks."""
    at = update.pointer
    chunks = log.records[at.topic, at.partition][at.first_offset : at.last_offset + 1]
    return b"".join(each.value or b"" for each in chunks)


@pytest.mark.parametrize("partitions", [1, 3])
def test_versions_of_every_kind_come_out_to_the_last_byte(partitions: int) -> None:
    """The first, refreshes, and a recruit that a retraining brought and that took over: the sha256 as announced."""
    log = filled(partitions=partitions)
    straight(log)
    updates = updates_in(log)
    kinds = {each.kind: each for each in updates}  # the last of each kind
    assert {"swap", "refresh"} <= {*kinds}
    assert [kind for kind, each in kinds.items() if not reproduced(log, each).is_equal] == []


def test_what_a_learner_announced_that_crashed_comes_out_too(dying: Any) -> None:
    """What was told twice, or by whom somebody took over from, is learned once."""
    log, store = filled(), MemoryStore()
    _, crashes = through_crashes(lambda: loop_on(log, store), dying, store, rng=random.Random(1), most=40)
    assert crashes > 1
    swap = swaps_of(log)[-1]
    assert reproduced(log, swap).is_equal
    assert inputs_of(chain_to(swap, OrderReader(told(log)))).records == swap.event_number


def test_an_announcement_that_names_no_message_is_found_by_its_event() -> None:
    """Where it is announced in blocks, nobody learns along, and `order` is empty."""
    settings = settings_of(publish={**settings_of().publish.model_dump(exclude_unset=True), "blocks": 200})
    log = filled(1000)
    straight(log, settings)
    updates = updates_in(log)
    assert len(updates) > 1
    assert {each.order for each in updates} == {""}
    assert reproduced(log, updates[-1], settings).is_equal


def test_late_labels_come_out_as_well() -> None:
    """Two topics; retraining reads the examples that were told."""
    settings = settings_of(labels={"late": True})
    log = MemoryLog()
    for asked, answered in itertools.zip_longest(rows(2000), [None] * 40 + rows(1960)):
        log.append("events", orjson.dumps({**asked, "label": None}))
        if answered is not None:
            label = {"id": answered["id"], "ts": answered["ts"] + 40.0, "label": answered["label"]}
            log.append("labels", orjson.dumps(label))
    straight(log, settings)
    last = updates_in(log)[-1]
    assert {each.topic for each in inputs_of(chain_to(last, OrderReader(told(log)))).ranges} == {"events", "labels"}
    assert reproduced(log, last, settings).is_equal


def test_another_record_gives_another_model() -> None:
    """A label that was changed on the topic after it was learned: not equal, and it is the model that differs."""
    log = filled()
    straight(log)
    update = updates_in(log)[0]
    events = log.records["events", 0]
    changed = {**rows(6)[5], "features": {name: value + 1.0 for name, value in rows(6)[5]["features"].items()}}
    events[5] = events[5]._replace(value=orjson.dumps(changed))
    attempt = reproduced(log, update)
    assert attempt.data
    assert not attempt.is_equal
    assert "model" in differing(attempt.data, announced_bytes(log, update))


def test_another_configuration_is_not_taken_for_the_same() -> None:
    """It may come to the version and be another, or not come to it: here it is announced at another event."""
    log = filled(600)
    straight(log)
    attempt = reproduced(log, updates_in(log)[0], settings_of(publish={"warm_up_events": 60}))
    assert (attempt.data, attempt.sha256, attempt.is_equal) == (b"", "", False)


def test_what_differs_beside_the_model_is_named() -> None:
    """The canary rows and the features are not the model."""
    log = filled(200)
    straight(log)
    data = announced_bytes(log, updates_in(log)[0])
    found = artifact.unpack(data, sha256=updates_in(log)[0].pointer.sha256)
    other = artifact.pack(
        found.model, task="binary", positive=None, features=["x"], canary=[x for x, _ in found.canary]
    )
    assert differing(data, other) == ["features"]
    assert differing(data, data) == []


def test_a_retraining_that_cannot_be_carried_out_is_no_other_model() -> None:
    """Its records are gone: nothing can be said, which is not the same as unequal."""
    log = filled()
    straight(log)
    swap = swaps_of(log)[0]
    chain = chain_to(swap, OrderReader(told(log)))
    settings = settings_of()

    class Truncated(MemorySource):
        def read(self, runs: Any, *, topic: str = "") -> Any:
            if not topic:  # of a job; the order names its topics
                raise LogTruncated("partition 0: offsets 0 to 9 are gone")
            return super().read(runs, topic=topic)

    attempt = Reproduction(settings, swap, first=first_of(settings), log=Truncated(log, "events"))
    with pytest.raises(JobLost, match="offsets 0 to 9 are gone"):
        list(attempt.run(chain))


# ── What stands in the way ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def learned() -> MemoryLog:
    log = filled(600)
    straight(log)
    return log


def found(log: MemoryLog, *, update: ModelUpdate | None = None, **other: Any) -> list[Finding]:
    """Of the last version of a log."""
    update = update or updates_in(log)[-1]
    orders = chain_to(update, OrderReader(told(log)))
    known: dict[str, Any] = {
        "settings": settings_of(),
        "bounds": {Partition("events", 0): (0, 600)},
        "trained_on": TrainedOn(),
        "first_given": False,
    }
    return list(obstacles(update, other.pop("orders", orders), **{**known, **other}))


def test_nothing_stands_in_the_way_of_what_is_there(learned: MemoryLog) -> None:
    """The same program, all records, the order from its first message on."""
    assert found(learned) == []
    update = updates_in(learned)[-1]
    begun = first_announcement(chain_to(update, OrderReader(told(learned))), updates_in(learned))
    assert begun is not None
    assert begun.version == 1


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ((10, 600), "events partition 0: offsets 0 to 9 were learned, and are gone"),
        ((0, 100), "the topic ends at 100: it is another"),
        ((0, 0), "the topic ends at 0: it is another"),
    ],
)
def test_records_that_are_gone_are_said_beforehand(learned: MemoryLog, bounds: tuple[int, int], said: str) -> None:
    """Retention has taken them, or the topic was made anew."""
    (each,) = found(learned, bounds={Partition("events", 0): bounds})
    assert (each.code, each.level) == ("reproduce.retention", "failure")
    assert said in each.what
    assert each.fix


def test_another_river_is_said_beforehand(learned: MemoryLog) -> None:
    """And where to run it; another Python is a warning."""
    update = updates_in(learned)[-1]
    other = update.model_copy(update={"river": "0.1.0", "python": "3.9.0"})
    river, python = found(learned, update=other)
    assert (river.code, river.level, python.level) == ("reproduce.river", "failure", "warning")
    assert "River 0.1.0" in river.fix


def test_an_order_that_is_not_told_is_said_beforehand(learned: MemoryLog) -> None:
    """Not at all, not from its first message on, or of another log."""
    chain = chain_to(updates_in(learned)[-1], OrderReader(told(learned)))
    elsewhere = [*chain[:-1], chain[-1].model_copy(update={"other_log": "topic 'events' was recreated"})]
    for orders, said in (([], "does not tell"), (chain[1:], "is gone"), (elsewhere, "was recreated")):
        (each,) = found(learned, orders=orders)
        assert each.level == "failure"
        assert said in each.what


def test_a_first_champion_from_elsewhere_has_to_be_given(learned: MemoryLog) -> None:
    """The topics do not hold the file that it was trained on."""
    trained_on = TrainedOn(events=50, note="warmed up on old.csv, 0 rows refused")
    (each,) = found(learned, trained_on=trained_on)
    assert (each.code, each.level) == ("reproduce.first-champion", "failure")
    assert "old.csv" in each.what
    assert found(learned, trained_on=trained_on, first_given=True) == []
