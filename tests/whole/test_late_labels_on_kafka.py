"""Labels on a topic of their own, on a real Kafka with real processes: killed, taken over, and learned again."""

import itertools
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from anabranch import statetree
from anabranch.messages import DeadLetter, DriftSignal, Example, LearnedOrder, Message, decode
from anabranch.order import OrderReader
from anabranch.scope import GLOBAL
from commands import wiring
from config.loading import load
from config.settings import Settings
from consumers.examples import counted
from consumers.guard import Guard
from consumers.kafka.reader import KafkaLogReader
from detectors.watch import Watch
from evaluation.replay import Replay
from learners.lane import Lane
from support.projects import (
    GAUSSIAN,
    SCALED_LINEAR,
    Project,
    announced,
    checkpointed,
    ended,
    learned_along,
    sea,
    values_on,
)

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

EVENTS = 9000
LATE = GAUSSIAN + '[labels]\nlate = true\nhorizon = "2h"\ndefault = false\nmemory_max = 100\n'


def hours(events: int, path: Path) -> Path:
    """A file of events a second apart, whose concept turns half way."""
    with path.open("wb") as file:
        for n, value in enumerate(itertools.islice(sea(events, flipped_from=events // 2), events)):
            file.write(orjson.dumps({**orjson.loads(value), "ts": 1.6e9 + n}) + b"\n")
    return path


def on(here: Project, settings: Settings, kind: type[Message]) -> list[Any]:
    """The messages of a kind."""
    return [decode(kind, value) for value in values_on(here.kafka, settings.topics.name(kind.goes_to))]


def replayed(here: Project, settings: Settings) -> Replay:
    """From both topics, in the order that was told."""
    model, trained_on = wiring.first_champion(settings)()
    lane = Lane(settings, model, watch=Watch(settings), trained_on=trained_on)
    replay = Replay(lane, Guard(settings), KafkaLogReader(settings))
    replay.run(OrderReader(on(here, settings, LearnedOrder)).chain())
    return replay


def test_late_labels_are_joined_exactly_once_through_kills_and_takeovers(
    project: Callable[..., Project], tmp_path: Path
) -> None:
    """Each event ends once; a drift recruits from the examples; the told order leads to the learner's own state."""
    here = project(partitions=2, sections=LATE)
    data = hours(EVENTS, tmp_path / "events.jsonl")
    here.run("produce", "--data", data, "--config", here.config, "--labels-after", "10m")
    rng = random.Random(3)
    for number in range(4):
        learners = [here.start("learn", here.config, "--until-end") for _ in range(1 + (number == 2))]
        time.sleep(1.5 + 3 * rng.random())
        for learner in learners:
            if learner.poll() is None:
                learner.send_signal(signal.SIGKILL)
            ended(learner)
    here.run("learn", here.config, "--until-end")
    settings, state = load(here.config), here.state()
    replay = replayed(here, settings)
    lane = replay.lane
    assert (state["events"], state["waiting"]) == (EVENTS, 0)
    assert lane.join.endings == Counter(labelled=EVENTS)
    assert statetree.digest(lane.learning_state(), trusted=settings.model.trusted) == state["state_hash"]
    values = values_on(here.kafka, settings.topics.name("examples"))
    told = list(counted(values, model=here.name, scope=GLOBAL, start=0, end=EVENTS))
    assert [each.id for each in told] == [each.event.id for each in replay.told]
    assert len({each.id for each in told}) == EVENTS
    assert not on(here, settings, DeadLetter)
    assert any(each.triggered for each in on(here, settings, DriftSignal))
    assert any(each.kind == "swap" for each in announced(here))


def test_a_follower_learns_along_from_the_examples(project: Callable[..., Project], tmp_path: Path) -> None:
    """Labels a minute late, two partitions, a learner that is killed: the learner's very model."""
    here = project(partitions=2, sections=SCALED_LINEAR + "[labels]\nlate = true\n")
    data, words = hours(6000, tmp_path / "events.jsonl"), ("--config", here.config, "--labels-after", "1m")
    served = learned_along(here, data, *words, events=6000)
    assert served.event_number == 6000
    lane = checkpointed(here)
    assert lane["events"] == 6000
    assert statetree.encode(served.artifact.model) == statetree.encode(lane["champion"]["model"])


def test_what_never_gets_a_label_ends_by_default(project: Callable[..., Project], tmp_path: Path) -> None:
    """An hour of events, of which a third is told nothing about; two hours later they are learned as what they are."""
    here = project(sections=LATE)
    data = hours(EVENTS, tmp_path / "events.jsonl")
    lines = data.read_bytes().splitlines()
    settings = load(here.config)
    asked = [orjson.dumps({**orjson.loads(each), "label": None}) for each in lines]
    here.produce(iter(asked[:1800]))
    labels = [orjson.loads(each) for n, each in enumerate(lines) if n % 3 and n < 1800]
    told = [orjson.dumps({"id": each["id"], "ts": 1.6e9 + 1800, "label": each["label"]}) for each in labels]
    here.publish(settings.topics.name("labels"), iter(told))
    here.produce(iter(asked[1800:]))
    here.run("learn", here.config, "--until-end")
    lane = replayed(here, settings).lane
    assert lane.join.endings == Counter(labelled=1200, default=EVENTS - 7200 - 1200)
    endings = Counter(each.ending for each in on(here, settings, Example))
    assert endings == Counter(labelled=1200, default=600)


def test_labels_of_partitions_reach_the_model_of_their_events(project: Callable[..., Project], tmp_path: Path) -> None:
    """A model for each of three partitions, in two processes: the labels come with the partition of their events."""
    here = project(partitions=3, sections='scope = "partition"\n' + LATE)
    data = hours(3000, tmp_path / "events.jsonl")
    learners = [here.start("learn", here.config) for _ in range(2)]
    try:
        here.run("produce", "--data", data, "--config", here.config, "--labels-after", "1m")
        topic = load(here.config).topics.name("examples")
        seen: set[str] = set()
        until_s = time.monotonic() + 60
        while len(seen) < 3000 and time.monotonic() < until_s:
            time.sleep(1)
            seen = {orjson.loads(value)["id"] for value in values_on(here.kafka, topic)}
    finally:
        for learner in learners:
            learner.terminate()
        codes, said = zip(*map(ended, learners), strict=True)
    assert len(seen) == 3000, said
    assert codes == (0, 0)


def test_labels_that_nobody_reads_are_an_error(project: Callable[..., Project]) -> None:
    """`check --broker` says so before anybody waits for them."""
    here = project()
    here.publish(f"{here.prefix}labels", iter([b'{"id":"e1","ts":1.6e9,"label":true}']))
    with pytest.raises(AssertionError, match=r"labels holds 1 labels, and nobody reads them: set labels\.late"):
        here.run("check", here.config, "--broker")
