"""The end of a learner: what a signal does to a real process on a real Kafka, and what its supervisors are told."""

import json
import os
import shlex
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer

from anabranch.errors import LearningFrozen, OwnershipLost, SessionExpired
from anabranch.events import Partition
from anabranch.kafka import updates as kafka_updates
from commands import wiring
from commands.brokers.local import LocalKafka
from commands.main import app, exit_code
from config import loading
from consumers.kafka.source import KafkaSource
from consumers.ports import Committed, Positions
from support import command_line
from support.checkout import ROOT
from support.command_line import start
from support.waiting import until

STOP_S = 10.0


@pytest.fixture
def unit() -> RawConfigParser:
    """The systemd unit."""
    parser = RawConfigParser(strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # systemd tells cases apart
    parser.read(ROOT / "deploy" / "anabranch.service")
    return parser


def test_the_unit_does_not_restart_a_learner_that_was_taken_over(unit: RawConfigParser) -> None:
    """Two supervisors would take the model from each other for ever. Everything else is started again, without end."""
    service = unit["Service"]
    kept_down = service["RestartPreventExitStatus"].split()
    assert (service["Restart"], unit["Unit"]["StartLimitIntervalSec"]) == ("on-failure", "0")
    assert str(OwnershipLost.exit_code) in kept_down
    assert str(exit_code(LearningFrozen("…"))) not in kept_down


def test_the_unit_leaves_time_for_the_last_checkpoint(unit: RawConfigParser) -> None:
    """SIGTERM first, to the learner alone, and longer than it takes."""
    service = unit["Service"]
    assert (service["KillSignal"], service["KillMode"]) == ("SIGTERM", "mixed")
    assert int(service["TimeoutStopSec"]) > STOP_S


def test_the_unit_starts_a_verb_that_exists(unit: RawConfigParser) -> None:
    """With the configuration that lies beside it."""
    program, verb, config = shlex.split(unit["Service"]["ExecStart"])
    assert Path(program).name == "anabranch"
    assert verb in {command.name for command in app.registered_commands}
    assert (ROOT / "deploy" / Path(config).name).exists()


@pytest.fixture
def config(tmp_path: Path, kafka: Any, topic_prefix: str) -> Path:
    """Such a model, with topics."""
    path = configured(tmp_path, bootstrap=kafka.bootstrap, prefix=topic_prefix)
    anabranch("topics", "create", path)
    return path


def configured(folder: Path, *, bootstrap: str, prefix: str) -> Path:
    """A model whose only checkpoints are the first, that of its announcement after 200 events, and the last."""
    path = folder / "anabranch.toml"
    path.write_text(
        f'name = "{prefix}m"\ntask = "binary"\n'
        '[model]\nsteps = [{ use = "preprocessing.StandardScaler" }, { use = "linear_model.LogisticRegression" }]\n'
        f'[topics]\nprefix = "{prefix}"\npartitions = 2\n'
        f'[checkpoint]\nstore = "{folder}/checkpoints"\nevery = "1h"\nevery_events = 10_000_000\n'
        "[publish]\nrefresh_events = 0\n"
        f'[kafka]\n"bootstrap.servers" = "{bootstrap}"\n'
    )
    return path


def anabranch(*words: object) -> str:
    """What a verb prints."""
    done = command_line.anabranch(*words)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


class Flow:
    """A producer that goes on until it is told to stop: the learner is at work when the signal comes."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True})
        self.topic = topic
        self.sent = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stopping.wait(0.01):
            for _ in range(100):
                features = {"a": float(self.sent % 7), "b": self.sent % 3}
                event = {"id": f"e{self.sent}", "ts": time.time(), "features": features, "label": self.sent % 7 > 3}
                self.producer.produce(self.topic, orjson.dumps(event), partition=self.sent % 2)
                self.sent += 1
            self.producer.poll(0)

    def __enter__(self) -> "Flow":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        assert not self.producer.flush(30)


@pytest.fixture
def flow(kafka: Any, topic_prefix: str, config: Path) -> Iterator[Flow]:
    """Events that keep coming."""
    with Flow(kafka.bootstrap, f"{topic_prefix}events") as flow:
        yield flow


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_ends_the_learner_after_a_checkpoint(number: signal.Signals, config: Path, flow: Flow) -> None:
    """In the midst of its work, within ten seconds: state, commit and announcements are all there; exit code 0."""
    learner = start("learn", config, "--json")
    assert learner.stdout is not None
    while '"members":' not in learner.stdout.readline():  # a report, after 1000 events
        assert learner.poll() is None, "the learner ended by itself"
    begun_s = time.monotonic()
    learner.send_signal(number)
    _, err = learner.communicate(timeout=60)
    took_s = time.monotonic() - begun_s
    assert (learner.returncode, took_s < STOP_S) == (0, True), (took_s, err[-2000:])
    state = json.loads(anabranch("state", config, "--json"))
    settings = wiring.settings_at(config)
    announced = kafka_updates.all_updates(settings.kafka, topic=settings.topics.name("updates"), model=settings.name)
    assert state["events"] == state["accepted"] == sum(next(iter(state["positions"].values())).values()) >= 1000
    assert announced[-1].event_number == 200
    assert (announced[-1].version, announced[-1].seq) == (state["version"], state["seq"])


@pytest.mark.kafka
@pytest.mark.slow
def test_the_next_learner_goes_on_from_there(config: Path, flow: Flow) -> None:
    """Nothing was lost and nothing was learned twice."""
    learner = start("learn", config, "--json")
    assert learner.stdout is not None
    learner.stdout.readline()
    learner.send_signal(signal.SIGTERM)
    learner.communicate(timeout=60)
    flow.__exit__()
    anabranch("learn", config, "--until-end")
    state = json.loads(anabranch("state", config, "--json"))
    assert (state["events"], state["duplicates"]) == (flow.sent, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_ends_a_learner_that_waits_for_its_first_broker(number: signal.Signals, tmp_path: Path) -> None:
    """There is nothing to checkpoint yet."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address, port = mute.getsockname()
        learner = start("learn", configured(tmp_path, bootstrap=f"{address}:{port}", prefix=""))
        mute.settimeout(60)
        mute.accept()[0].close()  # it has asked, and waits for 15 s
    begun_s = time.monotonic()
    learner.send_signal(number)
    learner.communicate(timeout=60)
    assert (learner.returncode, time.monotonic() - begun_s < 5) == (130, True)


@pytest.mark.kafka
@pytest.mark.slow
def test_a_signal_ends_the_learner_soon_while_the_broker_is_away(tmp_path: Path, local_kafka: LocalKafka) -> None:
    """It cannot checkpoint: it says so, and what it did not commit is learned again."""
    path = configured(tmp_path, bootstrap=local_kafka.bootstrap, prefix="")
    anabranch("topics", "create", path)
    with Flow(local_kafka.bootstrap, "events"):
        learner = start("learn", path, "--json")
        assert learner.stdout is not None
        while '"members":' not in learner.stdout.readline():
            assert learner.poll() is None, "the learner ended by itself"
    local_kafka.kill()
    time.sleep(1)
    begun_s = time.monotonic()
    learner.send_signal(signal.SIGTERM)
    _, err = learner.communicate(timeout=120)
    assert time.monotonic() - begun_s < STOP_S + 2, err[-2000:]
    assert learner.returncode == 1
    assert "stopped without a last checkpoint" in err
    assert "%3|" not in err
    local_kafka.start()
    anabranch("learn", path, "--until-end")
    state = json.loads(anabranch("state", path, "--json"))
    assert state["events"] == sum(next(iter(state["positions"].values())).values())


class Members:
    """Gets all partitions from their beginning."""

    def assigned(self, partitions: Sequence[Partition], committed: Committed | None) -> Positions:
        """Read from there."""
        return dict.fromkeys(partitions, 0)

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Nothing to keep."""

    def lost(self, partitions: Sequence[Partition]) -> None:
        """Nothing to keep."""


@pytest.mark.kafka
@pytest.mark.slow
def test_a_commit_that_is_never_answered_is_given_up(
    tmp_path: Path, local_kafka: LocalKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that shuts down just then: librdkafka would ask again without end, and leaving would wait for that."""
    path = configured(tmp_path, bootstrap=local_kafka.bootstrap, prefix="")
    anabranch("topics", "create", path)
    stopping = threading.Event()
    source = KafkaSource(loading.load(path), stopping=stopping)
    source.start(Members())
    until(lambda: bool(source.poll(1, timeout_s=0.1)) or bool(source.read))
    os.kill(local_kafka.pid, signal.SIGSTOP)
    try:
        monkeypatch.setattr(source, "_await_broker", lambda: None)  # it was still there
        stopping.set()
        begun_s = time.monotonic()
        with pytest.raises(SessionExpired, match="whether the commit has arrived is unknown"):
            source.commit(source.read, "")
        source.close()
        assert time.monotonic() - begun_s < STOP_S
    finally:
        os.kill(local_kafka.pid, signal.SIGCONT)
