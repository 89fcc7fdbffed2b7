"""A real Apache Kafka without Docker: its own jars, fetched by Maven, run by `java` in KRaft mode."""

import argparse
import base64
import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
import weakref
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from anabranch.errors import KafkaUnavailable

# ── Apache Kafka's own jars, fetched once by Maven into a cache outside the checkout ────────────────────────────────

KAFKA_VERSION = "4.3.1"  # 4.4.0 was published without its kafka-tools-api
LOG4J_VERSION = "2.25.4"  # the version that Kafka itself brings

_POM = f"""\
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>anabranch</groupId>
  <artifactId>local-kafka</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{KAFKA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId>
      <artifactId>log4j-slf4j-impl</artifactId>
      <version>{LOG4J_VERSION}</version>
    </dependency>
  </dependencies>
</project>
"""


def kafka_jars() -> Path:
    """Returns the directory with Kafka's jars; fetches them once (about 45 MB) with Maven.

    They are kept in `$ANABRANCH_CACHE`, or else in `$XDG_CACHE_HOME/anabranch` or `~/.cache/anabranch`.

    Raises:
        KafkaUnavailable: Java or Maven is missing, or Maven fails.
    """
    need("java", "a Java runtime, 17 or newer (Debian: openjdk-17-jre-headless)")
    jars = _cache_dir() / f"kafka-{KAFKA_VERSION}"
    if not jars.is_dir():
        need("mvn", "Maven (Debian: maven), which fetches Kafka's jars once")
        _fetch_jars(jars)
    return jars


def _cache_dir() -> Path:
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("ANABRANCH_CACHE") or user_cache / "anabranch")


def need(program: str, what: str) -> None:
    if shutil.which(program) is None:
        raise KafkaUnavailable(f"`{program}` is not on the PATH; install {what}, or point at a running Kafka")


def _fetch_jars(jars: Path) -> None:
    jars.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=jars.parent, prefix="fetching-") as work:
        Path(work, "pom.xml").write_text(_POM)
        _maven(work)
        # Renaming is atomic. When somebody else was quicker their jars stay, and ours go with the directory.
        with contextlib.suppress(OSError):
            Path(work, "lib").rename(jars)
    if not jars.is_dir():
        raise KafkaUnavailable(f"cannot move Kafka's jars to {jars}; is the directory writable?")


def _maven(work: str) -> None:
    command = ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=lib", "-Dstyle.color=never"]
    try:
        done = subprocess.run(
            command, check=False, cwd=work, stdin=subprocess.DEVNULL, capture_output=True, timeout=600
        )
    except subprocess.TimeoutExpired as error:
        raise KafkaUnavailable("Maven did not fetch Kafka's jars within 10 minutes; try again") from error
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).decode(errors="replace").splitlines()[-10:])
        raise KafkaUnavailable(f"Maven cannot fetch Kafka's jars ({' '.join(command)}):\n{tail}")


# ────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={log_dir}
auto.create.topics.enable=false
num.partitions=4
offsets.topic.replication.factor=1
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=3
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
"""

_LOG4J = """\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{HH:mm:ss.SSS} %p %c{1}: %m%n
rootLogger = warn, out
"""

# A quick start matters more here than throughput: one compiler tier, no parallel collector for two cores.
_JAVA = ("java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")

# Kills the broker when this process is gone, however it went: the read ends when our end of the pipe closes.
_WATCHDOG = 'read _; kill -9 "$0"'


class LocalKafka:
    """One combined broker and controller on the loopback interface; a context manager.

    It can be stopped or killed and started again: data directory and port stay. The broker never outlives
    this process, not even after a kill -9: a watchdog shell waits on a pipe that only this process holds.

    Args:
        data_dir: where the broker keeps its log and its configuration; None is a temporary directory that goes
            away with the context or this object.
        port: 0 picks a free one.
        ready_timeout_s: how long `start` waits until the broker answers.
        properties: more lines of the broker's configuration; {port} in them is this broker's, {controller_port} its
            controller's.

    Example:
        with LocalKafka() as kafka:
            Producer({"bootstrap.servers": kafka.bootstrap})
    """

    kind = f"Apache Kafka {KAFKA_VERSION} run by java, jars by Maven"

    def __init__(
        self, data_dir: Path | None = None, *, port: int = 0, ready_timeout_s: float = 60.0, properties: str = ""
    ) -> None:
        self.data_dir = (data_dir or Path(tempfile.mkdtemp(prefix="anabranch-kafka-"))).resolve()
        # A finalizer also runs at the end of the process, where nobody has called stop().
        self._forget = weakref.finalize(self, _remove, self.data_dir if data_dir is None else None)
        self._port = port or _free_port()
        self._controller_port = _free_port()
        self._ready_timeout_s = ready_timeout_s
        self._more = properties
        self._broker: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """The address for `bootstrap.servers`."""
        return f"127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """Of the broker's process, 0 while it is not running."""
        return 0 if self._broker is None else self._broker.pid

    @property
    def log_file(self) -> Path:
        """What the broker prints: warnings and errors."""
        return self.data_dir / "broker.log"

    def start(self) -> None:
        """Starts the broker and returns once it answers.

        Raises:
            KafkaUnavailable: Java or Maven is missing, the jars cannot be fetched, or the broker does not answer.
        """
        if self._broker is not None:
            raise KafkaUnavailable(f"the broker at {self.bootstrap} is already started; stop() it first")
        classpath = f"{kafka_jars()}/*"
        self._configure(classpath)
        with self.log_file.open("ab") as log:
            self._broker = _java(classpath, "kafka.Kafka", self._properties, output=log)
        self._watchdog = _watchdog(self._broker.pid)
        try:
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Stops the broker in order; does nothing when it is not running."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the broker with SIGKILL, as a crash would; does nothing when it is not running."""
        self._end(signal.SIGKILL)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._forget()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._forget()

    @property
    def _properties(self) -> Path:
        return self.data_dir / "server.properties"

    def _configure(self, classpath: str) -> None:
        log_dir = self.data_dir / "log"
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._properties.write_text(
            (_PROPERTIES + self._more).format(port=self._port, controller_port=self._controller_port, log_dir=log_dir)
        )
        (self.data_dir / "log4j2.properties").write_text(_LOG4J)
        if not (log_dir / "meta.properties").exists():
            self._format(classpath)

    def _format(self, classpath: str) -> None:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        with self.log_file.open("ab") as log:
            # With an equals sign, since one id in 64 starts with a dash and would be taken for an option.
            which = f"--cluster-id={cluster}"
            tool = _java(classpath, "kafka.tools.StorageTool", "format", which, "-c", self._properties, output=log)
        if tool.wait() != 0:
            raise self._failure(f"formatting {self.data_dir} failed")

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self._ready_timeout_s
        while not self._answers():
            code = self._broker.poll() if self._broker else None
            if code is not None:
                raise self._failure(f"the broker ended with exit code {code} before it answered")
            if time.monotonic() > deadline:
                raise self._failure(f"the broker did not answer within {self._ready_timeout_s:g} s")
            time.sleep(0.05)

    def _answers(self) -> bool:
        if not _listens(self._port):
            return False
        with contextlib.suppress(KafkaException):
            # A broker that is still fenced answers, but is not among the brokers yet.
            return bool(_admin(self.bootstrap).list_topics(timeout=2).brokers)
        return False

    def _end(self, how: signal.Signals) -> None:
        # The watchdog goes first: when its pipe is closed it kills the broker, which is to end in order.
        if self._watchdog is not None:
            self._watchdog.kill()
            self._watchdog.communicate()
            self._watchdog = None
        if self._broker is not None:
            self._broker.send_signal(how)
            try:
                self._broker.wait(timeout=15)
            except subprocess.TimeoutExpired:
                self._broker.kill()
                self._broker.wait()
            self._broker = None

    def _failure(self, what: str) -> KafkaUnavailable:
        tail = "\n".join(self.log_file.read_text(errors="replace").splitlines()[-20:])
        return KafkaUnavailable(
            f"Apache Kafka at {self.bootstrap}: {what}. Is the port taken, or the data directory of another "
            f"version? Its log ends with:\n{tail}"
        )


def create_topic(bootstrap: str, topic: str, *, partitions: int = 4) -> int:
    """Creates the topic on a broker that makes none up itself; returns how many partitions it has."""
    admin = _admin(bootstrap)  # held by name: its answers are lost when it goes away
    admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(30)
    return partitions


def _remove(temporary: Path | None) -> None:
    if temporary is not None:
        shutil.rmtree(temporary, ignore_errors=True)


def _java(classpath: str, *arguments: str | Path, output: IO[bytes]) -> subprocess.Popen[bytes]:
    log4j = Path(arguments[-1]).parent / "log4j2.properties"
    # A session of its own: Ctrl-C reaches us alone, and we stop the broker in order.
    return subprocess.Popen(
        [*_JAVA, f"-Dlog4j2.configurationFile={log4j}", "-cp", classpath, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _watchdog(pid: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["sh", "-c", _WATCHDOG, str(pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _admin(bootstrap: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    # Below Linux's ephemeral range (32768 up): while a killed broker is down, a client that reconnects to a port
    # of that range can be given this very port as its own end and so connect to itself.
    ports = random.SystemRandom().sample(range(20_000, 32_000), 200)
    return next(port for port in ports if _can_bind(port))


def _can_bind(port: int) -> bool:
    with socket.socket() as probe:
        # As Java sets it, too: a port whose last connections are in TIME_WAIT can be had.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a broker in the foreground until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m commands.brokers.local", description=main.__doc__)
    parser.add_argument("--port", type=int, default=9092, help="0 picks a free one (default: %(default)s)")
    parser.add_argument("--data-dir", type=Path, help="keeps the topics; without it they go when the broker stops")
    options = parser.parse_args(arguments)
    if options.port and not _can_bind(options.port):
        print(f"port {options.port} is taken; choose another with --port, or --port 0", file=sys.stderr)
        return 1
    return _foreground(LocalKafka(options.data_dir, port=options.port))


def _foreground(kafka: LocalKafka) -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with kafka:
            print(f"{kafka.kind}: bootstrap.servers = {kafka.bootstrap}  (data: {kafka.data_dir}; Ctrl-C stops it)")
            sys.stdout.flush()
            signal.pause()
    except KeyboardInterrupt:
        print("stopped")
    except KafkaUnavailable as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
