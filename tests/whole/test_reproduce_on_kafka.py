"""`anabranch reproduce` on a real Kafka: what a killed learner announced is learned again from the topics alone."""

import json
import signal
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from anabranch.kafka import admin
from support.command_line import anabranch
from support.projects import Project, announced, ended, sea
from support.waiting import until

pytestmark = pytest.mark.kafka


def told(here: Project, version: int, *words: object) -> tuple[int, dict[str, Any]]:
    """The exit code, and what is told."""
    done = anabranch("reproduce", f"models:/{here.name}/{version}", "--config", here.config, "--json", *words)
    return done.returncode, json.loads(done.stdout)


def test_a_version_comes_out_to_the_last_byte_or_it_is_said_why_not(project: Callable[..., Project]) -> None:
    """Two partitions, a drift, a kill: equal; with another model: not; without all the records: it cannot."""
    here = project(partitions=2, sections='[model]\nsteps = [{ use = "tree.HoeffdingTreeClassifier" }]\n')
    here.produce(sea(6000, flipped_from=2500), partitions=2)
    learner = here.start("learn", here.config, "--until-end")
    until(lambda: announced(here))
    learner.send_signal(signal.SIGKILL)
    ended(learner)
    here.run("learn", here.config, "--until-end")
    last = announced(here)[-1]
    assert last.version > 1

    code, found = told(here, last.version)
    assert (code, found["outcome"], found["sha256"]) == (0, "equal", last.pointer.sha256)
    assert {(each["topic"], each["partition"]) for each in found["inputs"]["ranges"]} == {
        (f"{here.prefix}events", 0),
        (f"{here.prefix}events", 1),
    }
    assert found["inputs"]["records"] == found["events"] == last.event_number

    as_it_was = here.config.read_text()
    here.config.write_text(as_it_was.replace("HoeffdingTreeClassifier", "HoeffdingAdaptiveTreeClassifier"))
    code, found = told(here, last.version)
    assert (code, found["outcome"]) == (1, "different")
    assert "model" in found["differs"] or found["apart"] or not found["sha256"]

    here.config.write_text(as_it_was.replace("[topics]\n", '[topics]\nlearned = "nowhere"\n'))
    code, found = told(here, last.version)
    assert (code, found["outcome"], "nowhere" in found["why"]) == (2, "cannot", True)

    here.config.write_text(as_it_was)
    client = admin(here.kafka)
    for each in client.delete_records([TopicPartition(f"{here.prefix}events", 1, 10)]).values():
        each.result(timeout=10)
    done = anabranch("reproduce", f"models:/{here.name}@champion", "--config", here.config)
    assert (done.returncode, done.stderr) == (2, "")
    assert f"  {here.prefix}events/0: offsets 0 to " in done.stdout
    assert "partition 1: offsets 0 to 9 were learned, and are gone\n  what to do: " in done.stdout
    assert done.stdout.endswith("it cannot be reproduced\n")
