"""Where the tests get their Kafka from, and the fixtures they share."""

import itertools
import logging
import os
import re
import shutil
import subprocess
import sys
import uuid
import venv
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

import pytest
import structlog
from hypothesis import settings

import learners.lane
from anabranch.errors import KafkaUnavailable
from commands.brokers import EmbeddedKafka
from commands.brokers.local import LocalKafka
from consumers.loop import LearningLoop
from consumers.ports import Store
from evaluation.simulation.world import Dying
from support import children
from support.brokers import WHICH, RealKafka, docker_engine_answers, shared
from support.browsers import chrome, with_charts  # noqa: F401  # fixtures
from support.checkout import ROOT
from support.projects import Project

# No deadline: two cores are shared with a broker. In CI the examples are always the same ones.
settings.register_profile("dev", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


children.can_be_interrupted()


@pytest.fixture(autouse=True)
def children_end_with_the_test() -> Iterator[None]:
    """Whatever happens: none is left running, or left for the operating system to collect."""
    with children.that_end():
        yield


@pytest.fixture(autouse=True)
def logs_as_a_process_begins() -> None:
    """A verb, a benchmark or a simulation carried out in this process may have silenced or redirected them."""
    structlog.reset_defaults()
    shared = logging.getLogger("anabranch")
    shared.handlers, shared.propagate = [], True


GOT = pytest.StashKey[str]()
NOT_ASKED = "not asked for"


def pytest_configure(config: pytest.Config) -> None:
    config.stash[GOT] = NOT_ASKED


def pytest_report_header() -> str:
    if which := os.environ.get(WHICH):
        return f"kafka: {WHICH}={which}"
    if docker_engine_answers():
        return "kafka: a Docker engine answers, testcontainers will be used"
    found = ", ".join(f"{name}: {shutil.which(name) or 'MISSING'}" for name in ("java", "mvn"))
    return f"kafka: no {WHICH}, no Docker engine; Apache Kafka's own jars will be used ({found})"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    terminalreporter.write_line(f"kafka: {config.stash[GOT]}")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    compiled = Path(learners.lane.__file__).suffix != ".py"
    for item in items:
        if compiled and item.get_closest_marker("interpreted"):
            item.add_marker(pytest.mark.skip(reason="it replaces methods of compiled classes, which have fixed ones"))
        if {"kafka", "local_kafka"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("kafka")
    # What takes long begins early: at the end one process would wait for the other.
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """What a process of the tests got is told by the one that sums up."""
    got = getattr(node, "workeroutput", {}).get(WHICH, NOT_ASKED)
    if got != NOT_ASKED:
        node.config.stash[GOT] = got


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput[WHICH] = session.config.stash[GOT]


@pytest.fixture
def dying() -> Callable[..., None]:
    """Lets a loop's process end just before the n-th thing that it does to the world."""

    def wrap(loop: LearningLoop, store: Store, *, after: int) -> None:
        ports, left = loop.ports, itertools.count(after, -1)
        fragile = Dying(store, left)
        ports.source, ports.sink = Dying(ports.source, left), Dying(ports.sink, left)
        ports.stores = lambda scope: fragile

    return wrap


@pytest.fixture(scope="session")
def kafka(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealKafka]:
    """A real broker, one for all processes of the tests.

    Where none can be had the test is skipped, but in CI that is a failure.
    """
    folder = tmp_path_factory.getbasetemp()
    with ExitStack() as stack:
        try:
            broker = stack.enter_context(shared(folder.parent if hasattr(pytestconfig, "workerinput") else folder))
        except KafkaUnavailable as error:
            pytestconfig.stash[GOT] = f"NONE: {error}"
            no_kafka(error)
        pytestconfig.stash[GOT] = f"{broker.kind}, {broker.bootstrap}"
        yield broker


@pytest.fixture
def local_kafka(tmp_path: Path) -> Iterator[LocalKafka]:
    """A real broker of the test's own, which it may stop, kill and start again (3 s, 400 MB)."""
    with ExitStack() as stack:
        try:
            broker = stack.enter_context(LocalKafka(tmp_path / "kafka"))
        except KafkaUnavailable as error:
            no_kafka(error)
        yield broker


def no_kafka(error: KafkaUnavailable) -> NoReturn:
    """Skips the test; in CI, where a skip would go unseen, fails it."""
    if os.environ.get("CI"):
        pytest.fail(f"CI needs a real Kafka: {error}")
    pytest.skip(f"no real Kafka: {error}")


@pytest.fixture
def embedded() -> Iterator[EmbeddedKafka]:
    """A fresh embedded broker."""
    with EmbeddedKafka() as broker:
        yield broker


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.kafka)])
def any_kafka(request: pytest.FixtureRequest) -> EmbeddedKafka | RealKafka:
    """The embedded broker and the real one, in turn."""
    broker: EmbeddedKafka | RealKafka = request.getfixturevalue("embedded" if request.param == "embedded" else "kafka")
    return broker


@pytest.fixture
def topic_prefix() -> str:
    """A prefix for topics and groups that no other test has."""
    return f"t-{uuid.uuid4().hex[:8]}-"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the real data sets, beside the checkout."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no ../shared/data beside the checkout: the real data sets are not part of it")
    return folder


@pytest.fixture(scope="session")
def client_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of anabranch-client, built from client/."""
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT / "client")
    return next(out.glob("anabranch_client-*.whl"))


@pytest.fixture(scope="session")
def client_python(client_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment in which only anabranch-client is installed."""
    home = tmp_path_factory.mktemp("client")
    # pip refuses a wheel of ours, which has no hash in it, beside constraints that have.
    pins = re.sub(r" \\\n +--hash=\S+", "", (ROOT / "constraints.txt").read_text())
    (home / "pins.txt").write_text(pins)
    venv.create(home / "venv")
    python = home / "venv" / "bin" / "python"
    # With our own pip, and without compiling what nobody imports: half the time.
    pip = (sys.executable, "-m", "pip", "--python", python)
    run(*pip, "install", "-q", "--no-compile", "-c", home / "pins.txt", client_wheel)
    return python


def run(*command: str | Path) -> str:
    """Runs the command; what it printed is in the failure when it fails."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, f"{command}:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture
def project(tmp_path: Path, kafka: Any, topic_prefix: str) -> Callable[..., Project]:
    """Makes a model with topics of its own."""
    return lambda **options: Project(tmp_path, bootstrap=kafka.bootstrap, prefix=topic_prefix, **options)
