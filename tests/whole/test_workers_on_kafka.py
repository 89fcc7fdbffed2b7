"""Several workers of one command on a real Kafka: one is killed under load, and nothing is lost or learned twice."""

import json
import os
import signal
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from support.projects import SCALED_LINEAR, Project, sea
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

SECTIONS = 'scope = "partition"\n' + SCALED_LINEAR + "[detectors]\n[publish]\nwarm_up_events = 100\n"
EVENTS = 12_000


def logged(log: Path, event: str) -> list[dict[str, Any]]:
    """The lines of a log that tell of such an event, as far as they are written."""
    lines = [line for line in log.read_text().splitlines() if line.startswith("{") and line.endswith("}")]
    return [each for each in map(json.loads, lines) if each["event"] == event]


def straight_hash(here: Project, partition: int) -> str:
    """Of the state that this partition's events lead to in order, without Kafka and without interruption."""
    data = here.config.parent / f"p{partition}.jsonl"
    data.write_bytes(b"\n".join(islice(sea(EVENTS), partition, None, 2)))
    told = json.loads(here.run("backtest", here.config, "--data", data, "--json"))
    return str(told["state_hash"])


def test_a_worker_that_is_killed_under_load_comes_back_and_each_event_is_learned_once(
    project: Callable[..., Project], tmp_path: Path
) -> None:
    """Each partition's state is that of a straight run, to the last bit."""
    here, log = project(sections=SECTIONS, partitions=2), tmp_path / "log"
    here.produce(islice(sea(EVENTS), EVENTS // 2), partitions=2)
    with log.open("w") as err:
        command = here.start("learn", here.config, "--workers", 2, stderr=err)
    try:
        until(lambda: len(logged(log, "first")) >= 2, within_s=60)
        os.kill(logged(log, "worker started")[0]["pid"], signal.SIGKILL)
        here.produce(islice(sea(EVENTS), EVENTS // 2, None), rate=4000, partitions=2)
        until(lambda: len(logged(log, "worker started")) == 3, within_s=30)
        again = logged(log, "worker started")[2]["worker"]
        until(lambda: [each for each in logged(log, "restored") if each["worker"] == again], within_s=60)
        time.sleep(0.5)
    finally:
        command.terminate()
        assert command.wait(40) == 0, log.read_text()[-2000:]
    assert [each["how"] for each in logged(log, "worker died")] == ["was killed by signal 9"]
    here.run("learn", here.config, "--until-end")
    for partition in range(2):
        state = json.loads(here.run("state", here.config, "--json", "--partition", partition))
        assert (state["events"], state["duplicates"]) == (EVENTS // 2, 0)
        assert state["state_hash"] == straight_hash(here, partition)
