"""Apache Kafka's own jars, fetched once by Maven into a cache outside the checkout."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from anabranch.errors import KafkaUnavailable

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
