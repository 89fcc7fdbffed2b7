"""A follower's model that learns along: the learner's own, to the last bit, from the topics alone."""

import logging
import random
import time
from typing import Any

import orjson
import pytest

from anabranch import artifact, learning_along, statetree
from anabranch.champion import Champion
from anabranch.errors import ModelTooOld
from anabranch.follower import Follower
from anabranch.kafka.live import LiveModel
from anabranch.learning_along import LearningAlong
from anabranch.messages import LearnedOrder, ModelUpdate, TopicRange, decode
from anabranch.order import identified, read_example
from config.settings import Settings
from consumers.stores import MemoryStore
from evaluation.simulation.world import MemoryLog
from support.loops import filled, log_of, loop_on, settings_of, through_crashes
from support.streams import rows


def unpacked(log: MemoryLog, update: ModelUpdate) -> artifact.Artifact:
    """The announced model, from the log."""
    at = update.artifact
    chunks = log.records[at.topic, at.partition][at.first_offset : at.last_offset + 1]
    return artifact.unpack(b"".join(chunk.value or b"" for chunk in chunks), sha256=at.sha256)


class Feed:
    """Gives a follower's model what is on the topics, each topic in its order, and the topics as chance has it."""

    def __init__(self, log: MemoryLog, *, seed: int, updates: list[ModelUpdate] | None = None) -> None:
        self.log, self.rng = log, random.Random(seed)
        self.along = LearningAlong()
        every = [decode(ModelUpdate, each) for each in log.values("model-updates")]
        self.updates = every if updates is None else updates
        self.orders = [decode(LearnedOrder, each) for each in log.values("model-learned")]
        self.records = [each for place, several in log.records.items() if place[0] == "events" for each in several]
        self.newest = (0, 0)
        self.labels = 0

    def run(self) -> LearningAlong:
        """Everything."""
        queues = [self.updates[::-1], self.orders[::-1], self.records[::-1]]
        while any(queues):
            queue = self.rng.choice([each for each in queues if each])
            for _ in range(min(len(queue), self.rng.randint(1, 200 if queue is queues[2] else 3))):
                self._give(queue.pop())
        return self.along

    def _give(self, each: Any) -> None:
        if isinstance(each, ModelUpdate):
            if (each.epoch, each.seq) > self.newest:
                self.newest = (each.epoch, each.seq)
                self.along.exchange(each, unpacked(self.log, each))
        elif isinstance(each, LearnedOrder):
            self.along.tell(each)
        elif each.topic == "model-examples":
            self.along.hear_example(read_example(each.value), each.value)
        else:
            self.along.hear((each.topic, each.partition, each.offset), each.value)
        self.labels += self.along.advance()


def bytes_of(model: Any) -> bytes:
    return statetree.encode(model)


LINEAR = {
    "steps": [{"use": "preprocessing.StandardScaler"}, {"use": "linear_model.LogisticRegression"}],
}


def test_what_is_hidden_is_dropped_by_whoever_learns_along() -> None:
    """They read events as producers wrote them, and are told with each copy what the learner drops."""
    values = ({**row, "features": {**row["features"], "age": float(n % 50)}} for n, row in enumerate(rows(2000)))
    log, settings = log_of(map(orjson.dumps, values)), settings_of(model=LINEAR, privacy={"hidden": ["age"]})
    loop = loop_on(log, MemoryStore(), settings)
    loop.run(until_end=True)
    along = Feed(log, seed=1).run()
    assert bytes_of(along.model) == bytes_of(loop.owner.lane.champion.model)
    assert (along.differed, b"age" in bytes_of(along.model)) == (0, False)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("partitions", [1, 3])
@pytest.mark.parametrize("model", [{"steps": [{"use": "tree.HoeffdingTreeClassifier"}]}, LINEAR])
def test_it_is_the_learners_model(seed: int, partitions: int, model: dict[str, Any]) -> None:
    """Through drift and swaps, however the topics are read; and no copy is found to be another."""
    log, settings = filled(partitions=partitions), settings_of(model=model)
    loop = loop_on(log, MemoryStore(), settings)
    loop.run(until_end=True)
    feed = Feed(log, seed=seed)
    along = feed.run()
    assert bytes_of(along.model) == bytes_of(loop.owner.lane.champion.model)
    assert (along.event_number, along.told, along.differed) == (2000, 2000, 0)
    assert feed.labels > 0


@pytest.mark.parametrize("seed", range(4))
def test_it_goes_back_where_a_learner_did(seed: int, dying: Any) -> None:
    """After crashes part of the order is told once more, in other portions."""
    log, store = filled(partitions=2), MemoryStore()
    loop, crashes = through_crashes(lambda: loop_on(log, store), dying, store, rng=random.Random(seed), most=40)
    along = Feed(log, seed=seed).run()
    assert crashes > 1
    assert bytes_of(along.model) == bytes_of(loop.owner.lane.champion.model)


def settings_for(**changes: Any) -> Settings:
    return settings_of(model=LINEAR, **changes)


def test_between_two_copies_it_is_where_the_learner_is() -> None:
    """With one announcement and no more it has learned all that came after it."""
    log = filled()
    loop = loop_on(log, MemoryStore(), settings_for(detectors={}))
    loop.run(until_end=True)
    first = decode(ModelUpdate, log.values("model-updates")[0])
    feed = Feed(log, seed=1, updates=[first])
    along = feed.run()
    assert feed.labels == 2000 - first.event_number
    assert bytes_of(along.model) == bytes_of(loop.owner.lane.champion.model)
    snapshot = along.snapshot()
    assert bytes_of(snapshot) == bytes_of(along.model)
    assert snapshot is not along.model


def test_labels_that_come_later_teach_the_features_of_then() -> None:
    """As at the learner; of an event from before the copy, those of the record that brings the label."""
    events = rows()
    asked = [{**each, "label": None} for each in events]
    pairs = zip(asked + [{}] * 60, [{}] * 60 + events, strict=True)
    values = [each for pair in pairs for each in pair if each]
    log = log_of(map(orjson.dumps, values))
    loop = loop_on(log, MemoryStore(), settings_for())
    loop.run(until_end=True)
    along = Feed(log, seed=2).run()
    assert (along.event_number, along.differed) == (2000, 0)
    assert bytes_of(along.model) == bytes_of(loop.owner.lane.champion.model)


def in_time(feed: Feed) -> list[int]:
    """The topics as a follower that is always up to date reads them; how many copies differed, after each of them."""
    for each in feed.records:
        feed.along.hear((each.topic, each.partition, each.offset), each.value or b"")
    orders, differed = iter(feed.orders), []
    for update in feed.updates:
        while feed.along.at != update.order and (order := next(orders, None)) is not None:
            feed.along.tell(order)
            feed.along.advance()
            if order.id == update.order:
                break
        feed.along.exchange(update, unpacked(feed.log, update))
        differed.append(feed.along.differed)
    return differed


def test_each_copy_is_what_it_had_come_to_itself() -> None:
    """So the copies tell nothing new."""
    log = filled()
    loop_on(log, MemoryStore(), settings_for(detectors={})).run(until_end=True)
    feed = Feed(log, seed=3)
    assert len(feed.updates) > 3
    assert set(in_time(feed)) == {0}


def test_what_is_not_as_the_learner_has_it_is_mended_and_counted() -> None:
    """A record that it reads is another: the next copy tells, and it goes on from there."""
    log = filled()
    loop_on(log, MemoryStore(), settings_for(detectors={})).run(until_end=True)
    feed = Feed(log, seed=3)
    number = feed.updates[1].event_number + 5
    record = feed.records[number]
    feed.records[number] = record._replace(value=(record.value or b"").replace(b'"0":', b'"0":1'))
    assert feed.records[number] != record
    assert in_time(feed) == [0, 0] + [1] * (len(feed.updates) - 2)


def test_in_blocks_there_is_nothing_to_learn_along() -> None:
    """The copy is the model until the next one."""
    log = filled()
    loop_on(log, MemoryStore(), settings_for(publish={"warm_up_events": 50, "blocks": 300})).run(until_end=True)
    feed = Feed(log, seed=4)
    along = feed.run()
    assert (feed.labels, along.differed) == (0, 0)
    assert bytes_of(along.model) == bytes_of(unpacked(log, feed.updates[-1]).model)


def test_a_blend_is_taken_as_it_is() -> None:
    """It learns nothing until the next one: its weights come from the learner. That is no difference to be told."""
    log, shadows = filled(), {"portfolio": "cheap"}
    loop_on(log, MemoryStore(), settings_for(serve="blend", shadows=shadows)).run(until_end=True)
    feed = Feed(log, seed=4)
    along = feed.run()
    blends = [each for each in feed.updates if each.member == "blend"]
    assert len(blends) > 1
    assert {each.order for each in blends} == {""}
    assert along.differed == 0
    assert bytes_of(along.model) == bytes_of(unpacked(log, blends[-1]).model)


def late_log(events: int = 1500, *, partitions: int) -> MemoryLog:
    """Events without their labels, and labels on their own topic; some never come, some are corrected."""
    log = MemoryLog(partitions=partitions)
    for n, row in enumerate(rows(events)):
        ts = 1.6e9 + 60.0 * n
        event = {**row, "ts": ts, "label": None}
        log.append("events", orjson.dumps(event), partition=n % partitions)
        if n % 5:
            told = {"id": row["id"], "ts": ts + 600.0, "label": row["label"]}
            log.append("labels", orjson.dumps(told), partition=n % partitions)
    return log


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("partitions", [1, 3])
def test_late_labels_are_learned_along_by_examples(seed: int, partitions: int, dying: Any) -> None:
    """Through crashes: what counts of all that was told, in the learner's order, defaults among it."""
    settings = settings_of(model=LINEAR, labels={"late": True, "horizon": "2h", "default": True})
    log, store = late_log(partitions=partitions), MemoryStore()
    loop, crashes = through_crashes(
        lambda: loop_on(log, store, settings), dying, store, rng=random.Random(seed), most=2500
    )
    assert crashes > 0
    feed = Feed(log, seed=seed)
    feed.records = [each for place, several in log.records.items() if place[0] == "model-examples" for each in several]
    along = feed.run()
    lane = loop.owner.lane
    assert along.differed == 0
    assert along.event_number == lane.events
    assert lane.join.endings["default"] > 100
    assert feed.labels > 0
    assert bytes_of(along.model) == bytes_of(lane.champion.model)


def follower_of(live: LiveModel, update: ModelUpdate, taken: artifact.Artifact, **options: Any) -> Follower:
    """One that has this copy in use, and learns along with what its live model is given by hand."""
    follower = Follower("m", kafka={"bootstrap.servers": "localhost:1"}, learn_along=True, **options)
    follower._live = live
    follower._champion = Champion(update, taken, update.event_number, update.announced_ts)
    live.exchange(update, taken)
    return follower


class Handed(LiveModel):
    """On no Kafka: it takes what it was handed."""

    def learned(self, *, timeout_s: float) -> Any:
        self.along.advance()
        return self.along.snapshot()


@pytest.mark.parametrize("late", [False, True])
def test_features_that_came_after_the_copy_are_asked_with(late: bool) -> None:
    """The model has learned with them, so its answers are the learner's; a name that it has not met is left out."""
    values = [{**row, "features": {**row["features"], "new": 5.0 if row["label"] else -5.0}} for row in rows(1200)]
    values[:900] = rows(900)
    log = MemoryLog(partitions=1)
    for n, row in enumerate(values):
        log.append(
            "events", orjson.dumps({**row, "ts": 1.6e9 + n, "label": None if late else row["label"]}), partition=0
        )
        if late:
            told = {"id": row["id"], "ts": 1.6e9 + n + 0.5, "label": row["label"]}
            log.append("labels", orjson.dumps(told), partition=0)
    settings = settings_for(detectors={}, **({"labels": {"late": True, "horizon": "2h"}} if late else {}))
    loop = loop_on(log, MemoryStore(), settings)
    loop.run(until_end=True)
    feed = Feed(log, seed=1)
    first, olds = feed.updates[0], ("0", "1", "2")
    taken = unpacked(log, first)._replace(features=frozenset(olds), kinds=dict.fromkeys(olds, "number"))
    live = Handed({}, topic="", model="m", scope="global", trusted=(), keys=None)
    follower = follower_of(live, first, taken)
    for offset, value in enumerate(log.values("model-examples") if late else log.values("events")):
        if late:
            live.along.hear_example(read_example(value), value)
        else:
            live.along.hear(("events", 0, offset), value)
    for each in feed.orders:
        live.along.tell(each)
    follower._go_on(live)
    champion, asked = follower.champion, values[-1]["features"]
    assert (champion.event_number, champion.artifact.kinds["new"]) == (1200, "number")
    learners = loop.owner.lane.champion.model
    assert champion.predict_proba_one({**asked, "unknown": 1.0}) == learners.predict_proba_one(asked)
    assert champion.known({"new": 1.0, "unknown": 1.0}) == {"new": 1.0}


def test_a_lane_that_freezes_by_itself_during_a_rollout_ends_it_at_the_very_label() -> None:
    """In the middle of a batch, and with no copy for those who learn along."""
    turned = [{**row, "id": f"more-{row['id']}", "label": True} for row in rows(1500)]
    log = log_of(map(orjson.dumps, [*rows(3000), *turned]))
    settings = settings_for(rollout="manual", freeze={"label_shift": 0.5})
    loop_on(log, MemoryStore(), settings).run(until_end=True)
    every = [decode(ModelUpdate, each) for each in log.values("model-updates")]
    (last,) = [each for each in every if "frozen by itself" in each.reason]
    copy = [each for each in every if each.kind != "canary"][-1]
    feed = Feed(log, seed=1, updates=[copy])
    feed.run()
    assert last.kind == "canary"
    assert feed.labels == last.event_number - copy.event_number
    assert feed.along.told > last.event_number


def test_what_is_learned_late_is_as_old_as_it_was_told(copies: Feed) -> None:
    """One that is an hour behind does not answer under `max_age` because it has learned something just now."""
    now_s = time.time()
    first = copies.updates[0].model_copy(update={"announced_ts": now_s - 7200.0})
    live = Handed({}, topic="", model="m", scope="global", trusted=(), keys=None)
    follower = follower_of(live, first, unpacked(copies.log, first), max_age=60.0)
    ages = []
    for each, ago_s in zip(one_after_another(following(first), 3), (3600.0, 5.0, 1e9), strict=True):
        follower._go_on(live)
        assert follower.in_use is not None
        ages.append(follower.in_use.age_s)
        live.along.tell(each, ts=now_s - ago_s)
        live.along.hear(("events", 0, each.runs[0].start), copies.records[each.runs[0].start].value or b"")
        if ago_s == 5.0:
            with pytest.raises(ModelTooOld):
                follower.predict_one({"0": 1.0})
            follower._go_on(live)
            follower.predict_one({"0": 1.0})
    assert ages == pytest.approx([7200.0, 3600.0, 5.0], abs=2.0)
    follower._go_on(live)  # a clock that was far behind makes nothing older than its copy
    assert follower.in_use.age_s == pytest.approx(7200.0, abs=2.0)


# ── What is kept is bounded ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def copies() -> Feed:
    """Of a learner of 2000 events, which announces now and then."""
    log = filled()
    loop_on(log, MemoryStore(), settings_for(detectors={})).run(until_end=True)
    return Feed(log, seed=1)


def one_after_another(first: LearnedOrder, count: int) -> list[LearnedOrder]:
    """So many messages, each of one record of the events, from the first one's on."""
    found, (run,) = [first], first.runs
    for offset in range(run.end, run.end + count - 1):
        runs = (TopicRange(topic="events", partition=0, start=offset, end=offset + 1),)
        changes = {"follows": found[-1].id, "runs": runs, "event_number": offset + 1}
        found.append(identified(first.model_copy(update=changes)))
    return found


def following(update: ModelUpdate, *, runs: tuple[tuple[int, int], ...] = (), **changes: Any) -> LearnedOrder:
    """What a learner tells next after a copy: one more record, if nothing else is said."""
    start = update.offset + 1
    ranges = (TopicRange(topic="events", partition=0, start=a, end=b) for a, b in runs or ((start, start + 1),))
    known = {"follows": update.order, "epoch": update.epoch, "checkpoint": 10**6, "began": 0.0}
    about = {"model": "m", "event_number": update.event_number + 1, "version": update.version}
    return identified(LearnedOrder(id="", runs=tuple(ranges), **{**known, **about, **changes}))


def test_what_comes_while_nothing_is_learned_along_is_not_kept(copies: Feed) -> None:
    """A blend answers, or the champion is frozen: that may go on for months, with copies or without any."""
    blend = copies.updates[0].model_copy(update={"order": ""})
    along, taken = LearningAlong(), unpacked(copies.log, blend)
    along.exchange(blend, taken)
    for each in one_after_another(following(blend, follows=""), 3 * learning_along.AHEAD_MAX):
        along.tell(each)
    assert len(along._order.messages) <= learning_along.AHEAD_MAX
    assert (along.wanted(), along.advance()) == ({}, 0)
    along.exchange(blend, taken)
    assert len(along._order.messages) == 1
    assert along.told == along._order.messages.popitem()[1].event_number


def test_a_copy_that_names_its_place_is_taught_again_after_one_that_does_not(copies: Feed) -> None:
    """What was told and has happened shortly before it is there."""
    first, later = copies.updates[0], copies.updates[3]
    along = LearningAlong()
    along.exchange(first.model_copy(update={"order": ""}), unpacked(copies.log, first))
    for record in copies.records:
        along.hear((record.topic, record.partition, record.offset), record.value or b"")
    for each in copies.orders:
        along.tell(each)
    assert along.advance() == 0
    along.exchange(later, unpacked(copies.log, later))
    assert along.event_number == 2000


def test_more_than_is_kept_ends_it_until_the_next_copy(
    copies: Feed, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Messages count as well, since one may be as small as a record; the model stays as it is, and the log says so."""
    monkeypatch.setattr(learning_along, "RECORDS_MAX", 400)
    monkeypatch.setattr(learning_along, "AHEAD_MAX", 100)
    first, live = copies.updates[0], live_model()
    live.exchange(first, unpacked(copies.log, first))
    along = live.along
    for number, each in enumerate(one_after_another(following(first), 900)):
        along.tell(each)
        along.hear(("events", 0, each.runs[0].start), copies.records[number].value or b"")
        along.advance()
        live._warn_if_stopped()
    assert along.event_number == first.event_number + 200
    assert len(along._records) + len(along._order.messages) <= 400
    assert caplog.text.count("m: nothing is learned along until the next copy: more than 400 records") == 1
    along.exchange(first, unpacked(copies.log, first))
    assert along.event_number == first.event_number


@pytest.mark.parametrize("at", range(3))
def test_a_message_that_comes_once_more_takes_nothing_back(at: int) -> None:
    """Also one that was forgotten with a copy: at equal rank the last to come was the newest, however old it was."""
    rare = {"warm_up_events": 50, "refresh_events": 0, "refresh_level": 0}
    log, settings = filled(), settings_for(detectors={}, publish=rare, checkpoint={"every_events": 5000})
    loop_on(log, MemoryStore(), settings).run(until_end=True)
    feed = Feed(log, seed=1)
    feed.run()
    feed.along.tell(feed_orders(log)[at])
    feed.along.advance()
    assert (feed.along.event_number, feed.along.told) == (2000, 2000)


def feed_orders(log: MemoryLog) -> list[LearnedOrder]:
    """As they were told."""
    return [decode(LearnedOrder, each) for each in log.values("model-learned")]


def test_what_came_before_a_copy_is_dropped_whichever_comes_first(copies: Feed) -> None:
    """The copy before the message after which it stands: nothing was ever dropped, until there was too much."""
    along, orders = LearningAlong(), feed_orders(copies.log)
    records = iter(copies.log.records["events", 0])
    ends = {each.id: each.runs[-1].end for each in orders}
    kept = []
    for update in copies_of(copies.log):
        along.exchange(update, unpacked(copies.log, update))
        while orders:
            message = orders.pop(0)
            while (record := next(records, None)) is not None:
                along.hear((record.topic, record.partition, record.offset), record.value or b"")
                if record.offset + 1 >= ends[message.id]:
                    break
            along.tell(message)
            if message.id == update.order:
                break
        kept.append(len(along._records) + len(along._order.messages))
    assert len(kept) > 5
    assert kept == [0] * len(kept)


def copies_of(log: MemoryLog) -> list[ModelUpdate]:
    """As they were announced."""
    return [decode(ModelUpdate, each) for each in log.values("model-updates")]


@pytest.mark.parametrize("seed", range(3))
def test_with_one_copy_what_a_checkpoint_holds_is_dropped(
    seed: int, dying: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No learner goes back further; so it learns along for ever where announcements are rare, through crashes, too."""
    monkeypatch.setattr(learning_along, "SETTLES_FROM", 100)
    log, store = filled(partitions=2), MemoryStore()
    settings = settings_for(detectors={}, checkpoint={"every_events": 100})
    rng = random.Random(seed)
    loop, crashes = through_crashes(lambda: loop_on(log, store, settings), dying, store, rng=rng, most=60)
    along = LearningAlong()
    first = copies_of(log)[0]
    along.exchange(first, unpacked(log, first))
    kept = []
    for message in feed_orders(log):
        for run in message.runs:
            for each in log.records[run.topic, run.partition][run.start : run.end]:
                along.hear((each.topic, each.partition, each.offset), each.value or b"")
        along.tell(message)
        along.advance()
        kept.append(len(along._records))
    assert crashes > 1
    assert bytes_of(along.model) == bytes_of(loop.owner.lane.champion.model)
    assert max(kept) < 600  # of 2000


def test_what_is_missing_is_said(copies: Feed, caplog: pytest.LogCaptureFixture) -> None:
    """A message that retention took, or a record: it waits for it until the next copy comes."""
    first, live = copies.updates[0], live_model()
    live.exchange(first, unpacked(copies.log, first))
    orders = feed_orders(copies.log)
    after = next(number for number, each in enumerate(orders) if each.id == first.order) + 1
    live.along.tell(orders[after])
    run = orders[after].runs[0]
    live.along.advance()
    assert live.along.lacks() == f"the record events/0 at offset {run.start}"
    live.along.tell(orders[after + 2])
    assert live.along.lacks() == f"the message of the order that follows {first.order}"
    for _ in range(2):
        live._warn_if_it_lacks()
    assert caplog.text.count("is missing, and more was told") == 1
    live.along.tell(orders[after + 1])
    for offset in range(run.start, orders[after + 2].runs[-1].end):
        live.along.hear(("events", 0, offset), copies.log.records["events", 0][offset].value or b"")
    live.along.advance()
    assert live.along.lacks() == ""


@pytest.mark.parametrize(
    "steps",
    [
        [{"use": "facto.FMClassifier", "seed": 1}],
        [
            {"use": "preprocessing.GaussianRandomProjector", "n_components": 4, "seed": 1},
            {"use": "linear_model.LogisticRegression"},
        ],
    ],
)
def test_it_is_asked_what_the_learner_is_asked(steps: list[dict[str, Any]]) -> None:
    """Some models draw numbers for a name that is new, whether they are asked about it or taught it."""
    rng = random.Random(1)
    events = []
    for number, row in enumerate(rows(900)):
        features = {**row["features"], f"n{number % 40 if number % 3 == 0 else number % 7}": rng.random()}
        events.append({**row, "features": features, "label": row["label"] if number % 3 else None})
    log, settings = log_of(map(orjson.dumps, events)), settings_of(model={"steps": steps}, detectors={})
    loop = loop_on(log, MemoryStore(), settings)
    loop.run(until_end=True)
    along = Feed(log, seed=1, updates=copies_of(log)[:1]).run()
    assert bytes_of(along.model) == bytes_of(loop.owner.lane.champion.model)


# ── What cannot be read or learned ──────────────────────────────────────────────────────────────────────────────────


def live_model(**options: Any) -> LiveModel:
    known: dict[str, Any] = {"topic": "model-learned", "model": "m", "scope": "global", "trusted": (), "keys": None}
    return LiveModel({"bootstrap.servers": "localhost:1"}, **{**known, **options})


JUNK = (b"", b"junk", b"{}", b"[]", b"7", b'{"model": "m", "scope": "global", "number": "1"}', b"[" * 100_000)


def test_what_is_no_example_is_passed_over_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """One such record ended it for good: it lies on the topic, and was read again after each interruption."""
    log = late_log(partitions=1)
    settings = settings_of(model=LINEAR, labels={"late": True, "horizon": "2h", "default": True})
    loop = loop_on(log, MemoryStore(), settings)
    loop.run(until_end=True)
    live, feed = live_model(), Feed(log, seed=1)
    live.examples = "model-examples"
    first = feed.updates[0]
    live.exchange(first, unpacked(log, first))
    for each in feed.orders:
        live.along.tell(each)
    with caplog.at_level(logging.WARNING):
        for offset, value in enumerate((*JUNK, *log.values("model-examples"))):
            live._hear_record(("model-examples", 0, offset), value, key=None)
    assert caplog.text.count("passed over: model-examples partition 0 offset 0: not an Example: ") == 1
    assert len(caplog.records) == 1
    assert live.along.advance() > 500
    assert bytes_of(live.along.model) == bytes_of(loop.owner.lane.champion.model)


@pytest.mark.parametrize("value", [*JUNK, b'{"id": "a", "features": {"0": [1]}, "label": true}'])
def test_what_cannot_be_learned_ends_it_until_the_next_copy(
    copies: Feed, value: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """It is the copy then, and no half of a message; the log says which and why."""
    first, second = copies.updates[:2]
    live = live_model()
    live.exchange(first, unpacked(copies.log, first))
    begin = first.offset + 1
    live.along.tell(following(first, runs=((begin, begin + 2),)))
    live.along.hear(("events", 0, begin), copies.records[begin].value or b"")
    live.along.hear(("events", 0, begin + 1), value)
    assert live.along.advance() == 0
    assert live.along.event_number == first.event_number
    assert bytes_of(live.along.model) == bytes_of(unpacked(copies.log, first).model)
    for _ in range(2):
        live._warn_if_stopped()
    assert caplog.text.count("m: nothing is learned along until the next copy: what the message") == 1
    live.exchange(second, unpacked(copies.log, second))
    live.along.tell(following(second))
    live.along.hear(("events", 0, second.offset + 1), copies.records[second.offset + 1].value or b"")
    assert (live.along.advance(), live.along.stopped) == (1, "")
