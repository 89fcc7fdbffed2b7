"""The main job on a real Kafka, with real processes: learn, drift, swap, follow, kill, take over."""

import itertools
import json
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anabranch import artifact, follow, statetree
from anabranch.errors import NoChampionYet
from anabranch.kafka import artifacts as kafka_artifacts
from anabranch.kafka import updates as kafka_updates
from anabranch.kafka.updates import Updates
from anabranch.messages import LearnedOrder, ModelUpdate, decode, encode
from anabranch.order import OrderReader
from commands import wiring
from config.loading import load
from consumers.guard import Guard
from consumers.kafka.reader import KafkaLogReader
from detectors.watch import Watch
from evaluation.replay import Replay
from learners.lane import Lane
from support.projects import SCALED_LINEAR, Project, announced, checkpointed, ended, sea, values_on

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


def test_elec2_is_learned_announced_and_followed_bit_for_bit(
    project: Callable[..., Project], shared_data: Path, client_python: Path
) -> None:
    """A second process that has only the client makes the learner's own predictions, to the last bit."""
    here = project(sections=SCALED_LINEAR)
    data = shared_data / "elec2.csv.gz"
    words = ("--data", data, "--topic", f"{here.prefix}events", "--config", here.config, "--partition", 0)
    here.run("produce", *words, "--limit", 15_000)
    here.run("learn", here.config, "--until-end")
    update = kafka_updates.all_updates(here.kafka, topic=here.updates, model=here.name)[-1]
    published = artifact.unpack(kafka_artifacts.fetch(here.kafka, update), sha256=update.artifact.sha256)
    script = (
        "import sys, json; from anabranch import follow\n"
        "name, bootstrap, topic = sys.argv[1:4]\n"
        "with follow(name, kafka={'bootstrap.servers': bootstrap}, topic=topic) as model:\n"
        "    model.wait(timeout_s=30)\n"
        "    print([model.predict_proba_one(x) for x in json.loads(sys.argv[4])])\n"
    )
    rows = json.dumps([x for x, _ in published.canary])
    command = [client_python, "-I", "-c", script, here.name, here.bootstrap, here.updates, rows]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=90)
    assert done.stdout.strip() == repr([expected for _, expected in published.canary]), done.stderr
    assert here.state()["events"] == 15_000


def test_a_drift_is_retrained_from_the_log_swapped_in_and_followed_live(project: Callable[..., Project]) -> None:
    """Signal, retraining process, arena, swap and announcement, while events keep coming and a follower predicts."""
    here = project()
    learner = here.start("learn", here.config)
    versions: list[str] = []
    try:
        with follow(
            here.name, kafka=here.kafka, topic=here.updates, on_update=lambda update: versions.append(update.kind)
        ) as model:
            stream = sea(40_000, flipped_from=8000)
            here.produce(itertools.islice(stream, 8000))
            # No faster than the retraining process can start on a busy machine, and no longer than it takes.
            here.produce(itertools.takewhile(lambda _: "swap" not in versions, stream), rate=700)
            update = model.champion.update
            row = {"f0": 9.0, "f1": 9.0, "f2": 1.0}
            assert model.predict_one(row) is False  # it was True before the labels turned
    finally:
        learner.terminate()
    code, said = ended(learner)
    assert code == 0, said
    assert "swap" in versions, said
    assert update.version >= 2
    swap = next(each for each in announced(here) if each.kind == "swap")
    assert swap.trained_on.ranges[0].end > 8000
    assert swap.verdict is not None
    assert swap.verdict.low > 0


def test_kill_9_neither_loses_nor_repeats_an_event(project: Callable[..., Project]) -> None:
    """P1: after several kill -9 the learning state is that of one straight run."""
    here = project(sections=SCALED_LINEAR + "[detectors]\n[publish]\nrefresh_events = 1000\nreport_events = 500\n")
    here.produce(sea(15_000))
    rng, kills = random.Random(7), 0
    for _ in range(4):
        learner = here.start("learn", here.config, "--until-end", "--json")
        assert learner.stdout is not None
        for _ in range(rng.randrange(2, 8)):  # some messages into its work
            learner.stdout.readline()
        time.sleep(rng.random() * 0.2)
        if learner.poll() is None:
            learner.send_signal(signal.SIGKILL)
            kills += 1
        ended(learner)
    here.run("learn", here.config, "--until-end")
    survived, updates = here.state(), announced(here)
    straight = straight_run(here)
    assert kills >= 3
    assert survived["events"] == 15_000
    assert survived["state_hash"] == straight["state_hash"]
    # A restart may announce once more what it cannot know to be announced; a reader orders by (epoch, seq).
    assert sorted({(each.epoch, each.seq) for each in updates}) == [(1, n + 1) for n in range(survived["seq"])]


def straight_run(here: Project) -> dict[str, Any]:
    """The same events in the same order, without Kafka and without interruption."""
    folder = here.config.parent
    data = folder / "events.jsonl"
    data.write_bytes(b"\n".join(sea(15_000)))
    return json.loads(here.run("backtest", here.config, "--data", data, "--json"))  # type: ignore[no-any-return]


def test_the_learned_order_leads_to_the_learners_state_after_kills_and_takeovers(
    project: Callable[..., Project],
) -> None:
    """From the topic and the log alone: two partitions, a drift with retraining, kill -9, two learners at once."""
    here = project(partitions=2)
    rows = sea(20_000, flipped_from=4000)
    here.produce(itertools.islice(rows, 9000), partitions=2)
    rng = random.Random(11)
    for number in range(5):
        learners = [here.start("learn", here.config, "--until-end") for _ in range(1 + (number == 2))]
        time.sleep(2 + 3 * rng.random())
        for learner in learners:
            if learner.poll() is None:
                learner.send_signal(signal.SIGKILL)
            ended(learner)
    settings = load(here.config)
    topic, produced = settings.topics.name("learned"), 9000

    def told() -> list[LearnedOrder]:
        return [decode(LearnedOrder, value) for value in values_on(here.kafka, topic)]

    learner = here.start("learn", here.config)
    try:
        while produced < 20_000 and not any(each.returned for each in OrderReader(told()).chain()):
            here.produce(itertools.islice(rows, 200), partitions=2)
            produced += 200
            time.sleep(1)
    finally:
        learner.terminate()
        ended(learner)
    here.run("learn", here.config, "--until-end")
    model, trained_on = wiring.first_champion(settings)()
    lane = Lane(settings, model, watch=Watch(settings), trained_on=trained_on)
    chain = OrderReader(told()).chain()
    Replay(lane, Guard(settings), KafkaLogReader(settings)).run(chain)
    state = here.state()
    assert len({(each.checkpoint, each.began) for each in told()}) > 2
    assert len({run.partition for each in chain for run in each.runs}) == 2
    assert any(each.returned for each in chain)
    assert state["events"] == lane.events == produced
    assert statetree.digest(lane.learning_state(), trusted=settings.model.trusted) == state["state_hash"]


def test_a_follower_that_learns_along_has_the_learners_own_model(project: Callable[..., Project]) -> None:
    """Two partitions, a drift with retraining, a learner that is killed: the very bytes, and no copy was another."""
    here = project(partitions=2, sections=SCALED_LINEAR)
    here.produce(sea(1000), partitions=2)
    learner = here.start("learn", here.config)
    try:
        with follow(here.name, kafka=here.kafka, topic=here.updates, learn_along=True) as model:
            model.wait(timeout_s=30)
            here.produce(itertools.islice(sea(9000, flipped_from=4000), 1000, 5000), rate=1000, partitions=2)
            learner.send_signal(signal.SIGKILL)
            ended(learner)
            learner = here.start("learn", here.config)
            here.produce(itertools.islice(sea(9000, flipped_from=4000), 5000, None), rate=1000, partitions=2)
            until_s = time.monotonic() + 60
            while model.champion.event_number < 9000 and time.monotonic() < until_s:
                time.sleep(0.1)
            learner.terminate()
            assert ended(learner)[0] == 0
            time.sleep(1)  # what it announced at last
            served = model.champion
    finally:
        learner.kill()
    assert served.event_number == 9000
    state = checkpointed(here)
    assert state["events"] == 9000
    assert statetree.encode(served.artifact.model) == statetree.encode(state["champion"]["model"])


def test_without_the_order_nobody_learns_along(project: Callable[..., Project]) -> None:
    """Another interleaving gives another model: it is refused, and says why."""
    here = project()
    here.produce(sea(1000))
    here.run("learn", here.config, "--until-end")
    with (
        follow(here.name, kafka=here.kafka, topic=here.updates, learn_along=True, learned="nowhere") as model,
        pytest.raises(NoChampionYet, match="nowhere"),
    ):
        model.wait(timeout_s=5)


def test_a_second_learner_takes_over_and_the_first_leaves_with_a_code_of_its_own(
    project: Callable[..., Project],
) -> None:
    """P3: the newcomer owns the model at once; the one before is fenced, says so, and exits with 75."""
    here = project()
    here.produce(sea(2000))
    first = here.start("learn", here.config)
    wait_for_version(here)
    second = here.start("learn", here.config)
    try:
        here.produce(itertools.islice(sea(4000), 2000, None), rate=500)
        code, said = ended(first)
    finally:
        second.terminate()
    assert code == 75, said
    assert "anabranch: another process owns this model now (" in said
    assert ended(second)[0] == 0
    here.run("learn", here.config, "--until-end")
    assert here.state()["events"] == 4000


def wait_for_version(here: Project) -> None:
    with follow(here.name, kafka=here.kafka, topic=here.updates) as model:
        model.wait(timeout_s=30)


def test_before_the_first_model_the_follower_says_so(project: Callable[..., Project]) -> None:
    """Nobody is confused by a missing model: the error names the model and the topic."""
    here = project()
    with follow(here.name, kafka=here.kafka, topic=here.updates) as model:
        with pytest.raises(NoChampionYet, match=f"no champion of '{here.name}'"):
            model.predict_one({"f0": 1.0})
        with pytest.raises(NoChampionYet, match=r"within 0\.5 s"):
            model.wait(timeout_s=0.5)


def test_a_learner_can_begin_with_a_published_version(project: Callable[..., Project]) -> None:
    """`--from models:/name@champion` fetches the bytes from Kafka; the lineage names the version."""
    here = project()
    here.produce(sea(1500))
    here.run("learn", here.config, "--until-end")
    text = here.config.read_text()
    here.config.write_text(text.replace(f'name = "{here.name}"', f'name = "{here.name}2"'))
    here.run("learn", here.config, "--until-end", "--from", f"models:/{here.name}@champion")
    with Updates(here.kafka, topic=here.updates, model=f"{here.name}2") as updates:
        found: list[ModelUpdate] = []
        while not updates.caught_up:
            found += updates.poll(1.0)
    assert re.fullmatch(rf"models:/{here.name}/\d+", found[0].trained_on.note)
    assert decode(ModelUpdate, encode(found[0])) == found[0]
