"""Several models in one process on a real Kafka: killed again and again, each has learned each event once."""

import json
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anabranch.kafka import updates as kafka_updates
from anabranch.messages import LearnedOrder, decode
from anabranch.order import OrderReader
from support import command_line
from support.projects import GAUSSIAN, SCALED_LINEAR, Project, ended, sea, values_on

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

EVENTS = 8_000
QUIET = "[detectors]\n[publish]\nrefresh_events = 1000\nreport_events = 500\n"


def beside(here: Project, name: str, sections: str) -> Path:
    """Another model on the same topics, in a file of its own."""
    own = here.config.read_text().replace(f'name = "{here.name}"', f'name = "{here.prefix}{name}"')
    path = here.config.with_name(f"{name}.toml")
    path.write_text(own.replace(GAUSSIAN, sections))
    return path


def state(config: Path) -> dict[str, Any]:
    done = command_line.anabranch("state", config, "--json")
    return json.loads(done.stdout)  # type: ignore[no-any-return]  # an object


def straight(config: Path, data: Path) -> dict[str, Any]:
    """The same events without Kafka, without interruption, and alone."""
    done = command_line.anabranch("backtest", config, "--data", data, "--json")
    return json.loads(done.stdout)  # type: ignore[no-any-return]  # an object


def test_kill_9_neither_loses_nor_repeats_an_event_of_any_model(project: Callable[..., Project]) -> None:
    """P1, for each of three models: state, learned order and announcements are those of one straight run."""
    here = project(sections=GAUSSIAN + QUIET)
    configs = [here.config, beside(here, "linear", SCALED_LINEAR), beside(here, "guarded", GAUSSIAN)]
    configs[2].write_text(configs[2].read_text() + "[guard]\nstring_max = 500\n")
    here.produce(sea(EVENTS))
    rng, kills = random.Random(7), 0
    for _ in range(3):
        learner = here.start("learn", *configs, "--until-end", "--json")
        assert learner.stdout is not None
        for _ in range(rng.randrange(5, 25)):  # some messages into its work
            learner.stdout.readline()
        time.sleep(rng.random() * 0.2)
        if learner.poll() is None:
            learner.send_signal(signal.SIGKILL)
            kills += 1
        ended(learner)
    learner = here.start("learn", *configs, "--until-end")
    code, logged = ended(learner, within_s=90)
    assert code == 0, logged[-3000:]
    assert kills >= 2
    together = [json.loads(line) for line in logged.splitlines() if "models read together" in line]
    assert [each["models"] for each in together][:1] == [3], logged[-3000:]
    data = here.config.with_name("events.jsonl")
    data.write_bytes(b"\n".join(sea(EVENTS)))
    told = [decode(LearnedOrder, each) for each in values_on(here.kafka, f"{here.prefix}model-learned")]
    for name, config in zip(("m", "linear", "guarded"), configs, strict=True):
        survived = state(config)
        assert survived["events"] == EVENTS
        assert survived["state_hash"] == straight(config, data)["state_hash"]
        orders = OrderReader(each for each in told if each.model == f"{here.prefix}{name}").chain()
        learned = [offset for each in orders for run in each.runs for offset in range(run.start, run.end)]
        assert learned == list(range(EVENTS))
        updates = kafka_updates.all_updates(here.kafka, topic=here.updates, model=f"{here.prefix}{name}")
        assert sorted({(each.epoch, each.seq) for each in updates}) == [(1, n + 1) for n in range(survived["seq"])]
