"""`anabranch watch` and `anabranch retrain`: what a person hears of a model, and of a name that nobody knows."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from anabranch.kafka import producer
from anabranch.messages import (
    DeadLetter,
    DriftSignal,
    LabelBalanceReport,
    LabelShare,
    Message,
    ModelReport,
    RetireAnswer,
    Transition,
    encode,
)
from commands.views.watch import line
from commands.watch import Which, _which
from config.loading import load
from consumers.kafka.sink import KafkaSink
from support.command_line import anabranch, ended, start

MODEL = 'name = "m"\ntask = "binary"\n[model]\nsteps = [{ use = "naive_bayes.GaussianNB" }]\n'
TOPICS = ("signals", "lifecycle", "alerts", "reports", "dead_letters", "updates", "control", "answers")
PLACE: dict[str, Any] = {"partition": 0, "offset": 7}

STEP = Transition(
    id="m-1", model="m", member="r5-now", before="recruiting", after="arena", reason="trained",
    event_number=1200, event_ts=0.0, **PLACE,
)  # fmt: skip
REFUSED = DeadLetter(
    id="m/events/0/7",
    topic="events",
    stage="decode",
    reason="no JSON: \x1b[2J",
    value_base64="",
    value_bytes=1,
    **PLACE,
)
SIGNAL = DriftSignal(
    id="m-s-1", model="m", detector="adwin", event_number=1199, statistic=0.3, threshold=0.1, change_point=1100,
    window_events=99, triggered=False, withheld="cooldown", **PLACE,
)  # fmt: skip
REPORT = ModelReport(
    id="m-r-1",
    model="m",
    version=2,
    event_number=2000,
    event_ts=0.0,
    scores={},
    windowed={"accuracy": 0.5},
    members=(),
    **PLACE,
)

BALANCE = LabelBalanceReport(
    events_before=500,
    events=500,
    effect=0.4,
    shares=(LabelShare(label="no", before=0.9, now=0.75), LabelShare(label="yes", before=0.1, now=0.25)),
    furthest="yes",
)


@pytest.fixture
def config(tmp_path: Path, any_kafka: Any, topic_prefix: str) -> Path:
    """A model with empty topics."""
    path = tmp_path / "m.toml"
    kafka = f'[kafka]\n"bootstrap.servers" = "{any_kafka.bootstrap}"\n'
    path.write_text(f'{MODEL}[topics]\nprefix = "{topic_prefix}"\n{kafka}')
    for which in TOPICS:
        any_kafka.create_topic(load(path).topics.name(which))
    return path


def say(config: Path, *said: tuple[str, Message]) -> None:
    settings = load(config)
    sink = KafkaSink(producer(settings.kafka))
    for which, message in said:
        sink.send(settings.topics.name(which), key="", value=encode(message))
    sink.flush()


def watched(config: Path, *words: object, lines: int) -> tuple[list[str], int]:
    """The first so many lines of a watch from the start, and its exit code at Ctrl-C."""
    watch = start("watch", config, "--since-start", *words)
    assert watch.stdout is not None
    found = [watch.stdout.readline().rstrip("\n") for _ in range(lines)]
    watch.send_signal(signal.SIGINT)
    done = ended(watch)
    return found + done.stdout.splitlines(), done.returncode


def test_watch_prints_what_the_model_says_and_nothing_of_others(config: Path) -> None:
    """A line a message; Ctrl-C is how it ends."""
    other = {"model": "m2", "id": "m2-1"}
    say(config, ("lifecycle", STEP.model_copy(update=other)), ("lifecycle", STEP), ("dead_letters", REFUSED))
    found, code = watched(config, lines=2)
    assert code == 0
    assert len(found) == 2
    assert any(each.endswith("lifecycle  r5-now: recruiting → arena: trained") for each in found)
    assert any("refused    events partition 0 offset 7: decode: no JSON" in each for each in found)


def test_watch_prints_one_topic_as_json(config: Path) -> None:
    """The messages as they are."""
    say(config, ("lifecycle", STEP), ("signals", SIGNAL))
    found, code = watched(config, "--topic", "signals", "--json", lines=1)
    assert code == 0
    assert [json.loads(each)["detector"] for each in found] == ["adwin"]


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (SIGNAL, "1,199  signal     adwin (error): not retrained: cooldown"),
        (STEP.model_copy(update={"level": "alert"}), "1,200  lifecycle  ALERT r5-now: recruiting → arena: trained"),
        (REPORT, "2,000  report     version 2  accuracy 0.5000"),
        (
            REPORT.model_copy(update={"balance": BALANCE, "windowed": {}}),
            "2,000  report     version 2  of the labels no 75.0 % (was 90.0 %), yes 25.0 % (was 10.0 %)",
        ),
        (
            RetireAnswer(
                id="m/1",
                model="m",
                request="1",
                step="retire",
                event_number=7,
                version=2,
                accepted=False,
                withheld="it is retired already",
                why="it leaks",
                by="ann",
            ),
            "7  answer     ann: it leaks: not retired: it is retired already",
        ),
        (REFUSED, "–  refused    events partition 0 offset 7: decode: no JSON: �[2J"),
    ],
)
def test_a_message_is_a_line(message: Message, said: str) -> None:
    """And what a malformed record says moves no cursor."""
    assert line(message).strip() == said


@pytest.mark.parametrize(
    ("named", "said"), [("dead_leters", "did you mean `dead-letters`?"), ("all", "one of signals, answers, lifecycle")]
)
def test_a_topic_that_is_none_is_named(config: Path, named: str, said: str) -> None:
    """In words of the command line."""
    done = anabranch("watch", config, "--topic", named)
    text = " ".join(done.stderr.replace("│", " ").split())
    assert done.returncode == 2
    assert f"'{named}' is no topic of a model: {said}" in text
    assert "Value error" not in text


def test_a_topic_may_be_named_as_in_the_configuration() -> None:
    """`[topics]` has dead_letters, and --topic dead-letters."""
    assert [_which("dead_letters"), _which("dead-letters")] == [Which.DEAD_LETTERS] * 2


def test_retrain_warns_of_a_model_that_nobody_has_announced(config: Path) -> None:
    """The request is sent anyway: the learner may be about to start."""
    done = anabranch("retrain", config, "--reason", "test")
    assert done.returncode == 0, done.stderr
    assert "warning: no champion of m is on" in done.stderr
    assert "requested a retraining of m" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["retire"], "requested to retire m"),
        (["reinstate"], "requested to reinstate m"),
        (["models", "approve"], "requested to approve the rollout of m"),
        (["models", "withdraw"], "requested to withdraw the rollout of m"),
        (["models", "pin"], "requested to pin m"),
        (["models", "rollback", "--version", "3"], "requested to rollback m"),
        (["models", "promote", "--member", "x"], "requested to promote m"),
        (["models", "freeze"], "requested to freeze m"),
    ],
)
def test_what_a_person_decides_is_a_request(config: Path, words: list[str], said: str) -> None:
    """On the same topic, with the same warning."""
    done = anabranch(*words, config, "--reason", "test")
    assert done.returncode == 0, done.stderr
    assert "warning: no champion of m is on" in done.stderr
    assert said in done.stdout
