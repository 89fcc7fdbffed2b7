"""`anabranch learn --workers N`: what is refused, what workers are told, and what a person sees of them together."""

import io
import sys
import threading
from pathlib import Path

import orjson
import pytest

from anabranch.errors import ConfigError
from anabranch.messages import ModelReport, encode
from commands import workers
from commands.views.learn import QUIET_S
from commands.views.workers import WorkersView
from consumers.intake import Read
from consumers.stores import MemoryStore
from support.command_line import anabranch, config_in
from support.loops import filled, loop_on, settings_of

MODEL = '[model]\nsteps = [{ use = "naive_bayes.GaussianNB" }]\n'


def hearing(*, relays: bool = False, shows: bool = True) -> tuple[workers.Hearing, list[str]]:
    """Of a command, with what its view says."""
    said: list[str] = []
    view = WorkersView(settings_of(scope="partition"), say=said.append, monotonic_s=lambda: 0.0)
    return workers.Hearing(view, relays=relays, shows=shows, stopping=threading.Event()), said


def report(partition: int) -> bytes:
    return encode(
        ModelReport(
            id=f"m-{partition}",
            model="m",
            version=3,
            event_number=1000,
            partition=partition,
            offset=999,
            event_ts=0.0,
            scores={},
            windowed={},
            members=(),
        )
    )


def test_one_model_of_all_partitions_has_one_worker(tmp_path: Path) -> None:
    """Said before anything is started, with what to do."""
    done = anabranch("learn", config_in(tmp_path, f'name = "m"\ntask = "binary"\n{MODEL}'), "--workers", 2)
    assert done.returncode == 2
    assert 'one process learns (scope = "global")' in done.stderr
    assert 'set scope = "partition"' in done.stderr


def test_a_worker_is_the_same_command_with_a_number() -> None:
    """Options that are not set are left out."""
    options = {"until_end": True, "accept_loss": False, "from": None, "target": "y", "metrics_port": 9400, "worker": 2}
    words = workers._command(Path("a.toml"), options)
    assert words[1:] == [
        *("-m", "commands.main", "learn", "a.toml", "--until-end"),
        *("--target", "y", "--metrics-port", "9400", "--worker", "2"),
    ]


def test_each_worker_has_a_port_of_its_own() -> None:
    """None, and any that is free, stay so; beyond the last one nobody can listen."""
    assert [workers._port(9400, number) for number in (1, 2, 3)] == [9400, 9401, 9402]
    assert [workers._port(first, 2) for first in (None, 0)] == [None, 0]
    with pytest.raises(ConfigError, match="65536"):
        workers._port(65_535, 2)


def test_static_members_are_told_apart() -> None:
    """Two with one id would displace each other for ever."""
    static = settings_of(scope="partition", kafka={"group.instance.id": "pod-0"})
    assert [workers.of_worker(static, each).kafka["group.instance.id"] for each in (1, 2)] == ["pod-0-1", "pod-0-2"]
    assert workers.of_worker(settings_of(), 1) == settings_of()


def test_reports_of_all_workers_are_in_one_view() -> None:
    """And who has which partitions, when that changes."""
    heard, said = hearing()
    heard.heard(1, report(0))
    heard.heard(2, report(1))
    assert [line.partition("  ")[0] for line in said] == ["partition 0: 1,000 events", "partition 1: 1,000 events"]
    heard.heard(1, b'["standing", {"p0": [10, 10], "p2": [5, 6]}]\n')
    heard.heard(2, b'["standing", {"p1": [7, 7]}]\n')
    heard.view.look()
    heard.view.look()
    heard.gone(2)
    heard.view.look()
    assert said[2:] == [
        "worker 1: partitions 0, 2  worker 2: partition 1",
        "worker 1: partitions 0, 2  worker 2: none",
    ]


def test_waiting_is_said_once_for_all() -> None:
    """Of the models of all workers together."""
    heard, said = hearing()
    clock = iter((1.0, 1.0 + QUIET_S, 2.0 + QUIET_S))
    heard.view.monotonic_s = lambda: next(clock)
    heard.heard(1, b'["standing", {"p0": [10, 10]}]\n')
    heard.heard(2, b'["standing", {"p1": [7, 8]}]\n')
    for _ in range(3):
        heard.view.look()
    assert said[1:] == ["waiting for events on events; 17 learned so far; Ctrl-C ends it"]


def test_messages_go_on_line_by_line_and_nothing_else_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a factory prints is no message, and is printed all the same."""
    monkeypatch.setattr(sys, "stdout", out := io.StringIO())
    heard, said = hearing(relays=True, shows=False)
    printed = (
        b"hello from a factory\n",
        b"[INFO] loaded\n",
        b"[1, 2, 3]\n",
        b'["standing"\n',
        b'["no", {}]\n',
        b"\xff\n",
    )
    for line in (b'{"id": "a"}\n', b'["standing", {}]\n', *printed):
        heard.heard(1, line)
    expected = b"".join((b'{"id": "a"}\n', *printed)).decode(errors="replace")
    assert (out.getvalue(), said) == (expected, [])


def test_what_a_worker_tells_at_its_end_is_summed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real loop's: a line for each model, in the order of the partitions; and what was of use in all."""
    loop = loop_on(filled(600), MemoryStore(), settings_of(scope="partition"))
    loop.run(until_end=True)
    monkeypatch.setattr(sys, "stdout", out := io.StringIO())
    workers.Teller(1, tells_all=False).ended(loop)
    heard, _ = hearing()
    for scope in ("p10", "p2", "p0"):
        for line in out.getvalue().replace("p0", scope).encode().splitlines(keepends=True):
            heard.heard(1, line)
    assert heard.read == loop.read + loop.read + loop.read
    assert heard.read.records == 1800
    lines = [line for _, line in sorted(heard.summaries.items())]
    assert [line.partition(";")[0] for line in lines] == [f"p{n}: 600 events learned" for n in (0, 2, 10)]


def test_a_worker_tells_where_it_stands_when_that_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each model's events and records."""
    monkeypatch.setattr(workers, "TOLD_EVERY_S", 0.01)
    monkeypatch.setattr(workers, "end_with_supervisor", lambda: None)
    loop = loop_on(filled(100), MemoryStore(), settings_of(scope="partition"))
    loop.run(until_end=True)
    monkeypatch.setattr(sys, "stdout", out := io.StringIO())
    teller = workers.Teller(1, tells_all=False)
    teller.loop = loop
    with teller:
        teller._ending.wait(0.1)
    assert [orjson.loads(line) for line in out.getvalue().splitlines()] == [["standing", {"p0": [100, 100]}]]
    assert Read(100, 0, 0, 0) == loop.read
