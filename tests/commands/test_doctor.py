"""The doctor: what is wrong around a learner, each with a code and what to do."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from commands import doctor
from config.loading import load, secrets_in_file
from consumers.finding import Finding
from consumers.kafka.diagnosis import Need, judged, too_short
from support.checkout import ROOT
from support.command_line import anabranch, config_in
from support.projects import GAUSSIAN, Project, sea

TEXT = 'name = "m"\ntask = "binary"\nmodel.steps = [{ use = "naive_bayes.GaussianNB" }]\n'
DAY_S = 86_400.0


def around(folder: Path, more: str) -> dict[str, Finding]:
    """What is found on this machine, by code."""
    config = config_in(folder, f'{TEXT}checkpoint.store = "{folder}/store"\n{more}')
    return {each.code: each for each in doctor._around(load(config))}


def test_secrets_in_the_file_are_told_by_their_keys(tmp_path: Path) -> None:
    """Those that come from elsewhere are not; nor is any secret shown."""
    kafka = '[kafka]\n"sasl.password" = "hunter2"\n"ssl.key.password" = "${env:X}"\n"sasl.username" = "ana"\n'
    assert secrets_in_file(config_in(tmp_path, f'{TEXT}score.tokens = ["a", "${{file:/t}}"]\n{kafka}')) == [
        "score.tokens[0]",
        "kafka.sasl.password",
    ]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ('kafka = {"bootstrap.servers" = "localhost:1"}', set()),
        ('kafka = {"bootstrap.servers" = "kafka.example.com:1"}', {"keys.unsigned", "keys.control", "kafka.plaintext"}),
        (
            'kafka = {"bootstrap.servers" = "kafka.example.com:1", "security.protocol" = "ssl"}',
            {"keys.unsigned", "keys.control"},
        ),
        ('publish.key = "{folder}/key"', {"keys.signing"}),
    ],
)
def test_what_is_wrong_on_this_machine_is_told(tmp_path: Path, more: str, told: set[str]) -> None:
    """A key that others may read; brokers elsewhere without encryption."""
    key = tmp_path / "key"
    key.write_text("x")
    key.chmod(0o644)
    found = around(tmp_path, more.replace("{folder}", str(tmp_path)))
    bad = {code: each for code, each in found.items() if each.level != "ok"}
    assert bad.keys() == told
    assert all(each.fix for each in bad.values())


def test_the_store_is_written_to_and_left_as_it_was(tmp_path: Path) -> None:
    """One that is not there is not made."""
    assert "can be made" in around(tmp_path, "")["store.writable"].what
    assert not (tmp_path / "store").exists()
    (tmp_path / "store" / "m").mkdir(parents=True)
    assert "can be written and read" in around(tmp_path, "")["store.writable"].what
    assert [each for each in (tmp_path / "store").rglob("*") if each.is_file()] == []


def test_a_store_that_cannot_be_written_is_a_failure(tmp_path: Path) -> None:
    """As `check` says it."""
    (tmp_path / "store").write_text("a file")
    assert around(tmp_path, "")["store.writable"].level == "failure"


@pytest.mark.parametrize(
    ("need", "told"),
    [
        (Need(0, low=0, position=100, oldest=50, oldest_s=0.0), ("retention.window", "in 6.0 h")),
        (Need(0, low=0, position=100, oldest=50, oldest_s=2 * DAY_S), None),
        (Need(0, low=60, position=100, oldest=50, oldest_s=2 * DAY_S), ("retention.window", "before 60 are gone")),
        (Need(0, low=200, position=100, oldest=50, oldest_s=None), ("retention.position", "before 200 are gone")),
        (Need(0, low=0, position=100, oldest=50, oldest_s=-DAY_S), ("retention.window", "at any moment")),
    ],
)
def test_a_window_that_falls_off_the_topic_is_told_before(need: Need, told: tuple[str, str] | None) -> None:
    """With when; and what is gone already."""
    found = list(judged(need, topic="events", kept_s=7 * DAY_S, now_s=7 * DAY_S - 6 * 3600))
    assert [each.code for each in found] == ([] if told is None else [told[0]])
    assert told is None or told[1] in found[0].what


def test_what_is_kept_for_ever_is_kept_long_enough() -> None:
    """The others are told with what they keep."""
    assert too_short({"events": "86400000", "updates": "-1", "reports": str(200 * 86_400_000)}, days=183) == {
        "events": 1.0
    }


def test_a_configuration_that_cannot_be_used_ends_it(tmp_path: Path) -> None:
    """With exit code 1, as every failure, and a line of JSON for a script."""
    done = anabranch("doctor", config_in(tmp_path, f"{TEXT}tsk = 1\n"), "--json")
    (found,) = map(json.loads, done.stdout.splitlines())
    assert (done.returncode, found["code"], found["level"]) == (1, "config.valid", "failure")
    assert anabranch("doctor", config_in(tmp_path, f"{TEXT}tsk = 1\n")).stdout.endswith("\n1 failure, 0 warnings\n")


@pytest.mark.kafka
def test_on_a_healthy_broker_nothing_fails(project: Callable[..., Project]) -> None:
    """After some learning; what is kept too briefly for an audit, or for longer than promised, is told on request."""
    here = project(sections=f'{GAUSSIAN}[privacy]\nretention_max = "10d"\n')
    here.produce(sea(300))
    here.run("learn", here.config, "--until-end")
    found = [json.loads(line) for line in here.run("doctor", here.config, "--audit-days", "183", "--json").splitlines()]
    assert [each["code"] for each in found if each["level"] == "failure"] == []
    by_code = {each["code"]: each for each in found}
    assert {"acl.topics", "clock.skew", "followers.behind", "retention.window", "versions.river"} <= by_code.keys()
    assert "events 7 d" in by_code["retention.audit"]["what"]
    # A record of the first hour of a segment is there until the segment is closed, and seven days more.
    assert f"{here.prefix}events: 14 d" in by_code["retention.privacy"]["what"]
    assert f"{here.prefix}model-artifacts: for ever, the last 100 models" in by_code["retention.privacy"]["what"]


def test_each_code_is_described() -> None:
    """Scripts rely on them, and people look them up."""
    rooms = ("commands/doctor.py", "consumers/kafka/diagnosis.py")
    source = "".join((ROOT / each).read_text() for each in rooms)
    kinds = "acl|clock|config|followers|kafka|keys|retention|store|topics|versions|workers"
    codes = set(re.findall(rf'"((?:{kinds})\.[a-z-]+)"', source))
    described = set(re.findall(r"^\| `([a-z.-]+)`", (ROOT / "docs/DOCTOR.md").read_text(), flags=re.MULTILINE))
    assert codes - {"retention.ms"} == described  # a setting of topics
