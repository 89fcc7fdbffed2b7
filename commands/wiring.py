"""What several verbs need to put together: the settings, the first champion, the loop on Kafka."""

import getpass
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog
import typer
from river import base

from anabranch import artifact, statetree
from anabranch.errors import ArtifactMissing, ConfigError, ModelSpecError
from anabranch.kafka import DEFAULT_BOOTSTRAP, producer
from anabranch.kafka import artifacts as kafka_artifacts
from anabranch.kafka import updates as kafka_updates
from anabranch.messages import Message, ModelUpdate, TrainedOn, encode
from anabranch.scope import GLOBAL, Scope, of_partition
from anabranch.signatures import Signer, TrustedKeys
from anabranch.statetree import StateTreeError
from anabranch.values import epoch_s
from commands import data
from commands import views as figures
from config import loading
from config.records import Topics
from config.settings import Settings
from consumers.fanout import Fanout, FanoutSource
from consumers.guard import Guard, learnable
from consumers.guard.reading import Reading
from consumers.intake import Read
from consumers.jobs.executors import Runners
from consumers.kafka.control import SharedControl
from consumers.kafka.reader import KafkaControl
from consumers.kafka.sink import KafkaSink
from consumers.kafka.source import KafkaSource
from consumers.keys import signer_of
from consumers.loop import LearningLoop
from consumers.owner import PLAIN, First, Owner, StartOptions
from consumers.ports import Clock
from consumers.stores import store_of
from consumers.telling import Ports
from consumers.timing import SystemClock
from detectors.watch import Watch
from evaluation.files import Files
from evaluation.history import blaming
from learners.derived import Alone
from learners.emitted import Kept
from learners.lane import Lane
from learners.models import catalogue
from learners.models.tasks import Task
from operations.registry import Reference

log = structlog.get_logger()

FRESH_S = 30.0
"""For so long it is known which scopes have announced nothing: a thousand are gained at once."""

NOT_USED = 3
"""Exit code: it ran to the end, but more than a tenth of the input could not be used."""


def settings_at(config: Path) -> Settings:
    """The settings; modules beside the file can be named in `factory`.

    Raises:
        ConfigError: naming the file and what is wrong in it, with the model, a detector or a metric as well.
    """
    settings = loading.load(config)
    # Before any model is built, since a factory is imported from beside the file.
    sys.path.insert(0, str(config.resolve().parent))
    with naming(config):
        lane_of(settings)
    return settings


def lane_of(settings: Settings) -> Lane:
    """A lane with a fresh champion: what cannot be made of the settings shows here, before anything begins."""
    return Lane(settings, catalogue.build(settings.model, seed=settings.seed), watch=Watch(settings))


@contextmanager
def naming(config: Path) -> Iterator[None]:
    """Faults of the configuration that are found in here name the file."""
    try:
        yield
    except StateTreeError as error:
        raise ModelSpecError(f"{config}: the model's state cannot be kept: {error}") from error
    except ConfigError as error:
        raise type(error)("\n".join(f"{config}: {line}" for line in str(error).splitlines())) from error


def fitting(settings: Settings) -> Lane:
    """The same for a model that has to be checkpointed: what its state cannot keep faithfully shows as well.

    Raises:
        ConfigError: the model cannot be built, does not fit the task, or its state cannot be kept.
    """
    lane = lane_of(settings)
    refused = statetree.refusals(lane.champion.model, trusted=settings.model.trusted)
    if refused:
        raise ModelSpecError("the model's state cannot be kept:\n" + "\n".join(refused))
    return lane


def first_champion(settings: Settings, *, warm_up: Files | None = None, published: str | None = None) -> First:
    """How the first champion is made: from nothing, from a file, or from a published version."""
    if warm_up is not None and published is not None:
        raise ConfigError("give either --warm-up or --from: a published version has been trained already")
    if published is not None:
        return lambda: _from_published(settings, published)
    if warm_up is not None:
        return lambda: _warmed_up(settings, warm_up)
    return lambda: (catalogue.build(settings.model, seed=settings.seed), TrainedOn())


def _warmed_up(settings: Settings, files: Files) -> tuple[base.Estimator, TrainedOn]:
    """A fresh model that has learned a file, through the same guard as everything."""
    model = catalogue.build(settings.model, seed=settings.seed)
    guard = Guard(settings)
    learn, alone = Task(settings, wants_proba=False).learner(model), Alone(settings)
    learned = 0
    for record in data.records(files):
        event = learnable(guard, guard.check(record))
        if event is not None:
            event = alone.asked(event)
            with blaming(guard, event):
                learn(event.x, event.y)
            alone.learned(event)
            learned += 1
    return model, TrainedOn(events=learned, note=f"warmed up on {files.name}, {guard.refused} rows refused")


def _from_published(settings: Settings, name: str) -> tuple[base.Estimator, TrainedOn]:
    update, unpacked = published(settings, name)
    return unpacked.model, TrainedOn(events=update.event_number, note=f"models:/{update.model}/{update.version}")


def published(settings: Settings, published: str) -> tuple[ModelUpdate, artifact.Artifact]:
    """A version on `model-updates`, signed as `score.trusted_keys` asks where it is set, and its model.

    Args:
        published: models:/name/7, or models:/name@champion.

    Raises:
        ConfigError: there is none of that name; says which versions there are.
        ArtifactError: its bytes are gone, or not what was announced.
    """
    update, _ = version_of(settings, published)
    packed = kafka_artifacts.fetch(settings.kafka, update)
    return update, artifact.unpack(packed, sha256=update.pointer.sha256, trusted=settings.model.trusted)


def version_of(settings: Settings, published: str, *, scope: Scope = GLOBAL) -> tuple[ModelUpdate, list[ModelUpdate]]:
    """The announcement of a version, and all announcements of its model, oldest first; as for `published`."""
    named = Reference.read(published)
    if named.alias not in ("", "champion"):
        raise ConfigError(f"{published}: only a champion can be taken here; write models:/{named.model}@champion")
    topic = settings.topics.name("updates")
    keys = trusted_by(settings)
    known = kafka_updates.all_updates(settings.kafka, topic=topic, model=named.model, scope=scope, keys=keys)
    champions = [each for each in known if each.kind != "retired"]
    wanted = [each for each in champions if named.version in (None, each.version)]
    if not wanted:
        versions = ", ".join(str(each.version) for each in champions) or "none"
        signed = "" if keys is None else " that one of score.trusted_keys has signed"
        raise ConfigError(f"{published}: not on {topic}; versions there{signed}: {versions}")
    # They are in the order of (epoch, seq): the last one is the champion,
    # and of a version that was announced twice the later announcement.
    return wanted[-1], known


def moment_of(text: str, *, option: str = "") -> float:
    """The epoch seconds of a moment on the command line.

    Args:
        option: by which it was said.

    Raises:
        ConfigError: it is none, or has no zone.
    """
    at_s = epoch_s(text)
    if at_s is None:
        said = f"{option} {text!r}" if option else repr(text)
        raise ConfigError(f"{said} is no moment with its zone: write it as 2026-11-27T02:00:00Z")
    return at_s


def trusted_by(settings: Settings) -> TrustedKeys | None:
    """One of these must have signed what a learner tells; None: no signature is asked for."""
    return None if settings.score.trusted_keys is None else TrustedKeys(settings.score.trusted_keys)


def scope_of(settings: Settings, partition: int | None) -> Scope:
    """Which of a configuration's models is meant."""
    if settings.scope == GLOBAL and partition is None:
        return GLOBAL
    if settings.scope == GLOBAL:
        raise ConfigError(f'{settings.name} is one model of all partitions (scope = "global"): leave --partition out')
    if partition is None:
        raise ConfigError(f'{settings.name} has a model for each partition (scope = "partition"): say --partition 0')
    return of_partition(partition)


def learning_loop(
    settings: Settings,
    *,
    first: First,
    how: StartOptions = PLAIN,
    before: LearningLoop | None = None,
    listener: Callable[[Message], None] | None = None,
    stopping: threading.Event | None = None,
    fanout: Fanout | None = None,
    reading: Reading | None = None,
) -> LearningLoop:
    """The loop on Kafka; `before` is the one that the broker took for dead.

    Args:
        fanout, reading: what it shares with other models of this process, if there are any (commands/several.py).
    """
    # What was started goes on from its checkpoint: after an outage, a rebuild must not go back to the first record.
    started = before.started if before is not None else ()
    clock = SystemClock()
    stopping = stopping or threading.Event()
    signer = before.ports.signer if before is not None else signer_of(settings)
    source = KafkaSource(settings, stopping=stopping)
    ports = Ports(
        source=source if fanout is None else FanoutSource(source, fanout),
        sink=KafkaSink(producer(settings.kafka), stopping=stopping),
        stores=lambda scope: store_of(settings, scope),
        runners=Runners(settings, clock=clock),
        clock=clock,
        controls=SharedControl(KafkaControl(settings)).reader,
        acks=lambda: KafkaControl(settings, topic="acks"),
        announced=Announced(settings, signer=signer, clock=clock),
        signer=signer,
        kept=lambda scope, version: kept(settings, scope, version, signer=signer),
        process=this_process(),
        reading=reading,
    )
    return LearningLoop(
        settings, first=first, ports=ports, how=how, started=started, listener=listener, stopping=stopping
    )


def this_process() -> str:
    """Who this is, for people."""
    return f"{getpass.getuser()}@{socket.gethostname()}:{os.getpid()}"


def kept(settings: Settings, scope: Scope, version: int, *, signer: Signer | None = None) -> Kept:
    """A version as it was announced; with a key, one that it has signed.

    Raises:
        ArtifactMissing: it was not announced, or its bytes are gone.
        ArtifactError: its bytes are not what was announced.
    """
    topic, keys = settings.topics.name("updates"), None if signer is None else TrustedKeys([signer.public])
    known = kafka_updates.all_updates(settings.kafka, topic=topic, model=settings.name, scope=scope, keys=keys)
    found = [each for each in known if each.version == version and each.kind != "retired"]
    if not found:
        raise ArtifactMissing(f"it is not on {topic}")
    packed = kafka_artifacts.fetch(settings.kafka, found[-1])
    unpacked = artifact.unpack(packed, sha256=found[-1].pointer.sha256, trusted=settings.model.trusted)
    return Kept(version, unpacked.model, found[-1].trained_on)


class Announced:
    """Asked for the newest update of a model that has no checkpoint: mostly there is none, and its topic is read once.

    What is announced meanwhile is announced by somebody who has a checkpoint, and is not asked for here.
    """

    def __init__(self, settings: Settings, *, signer: Signer | None, clock: Clock) -> None:
        self.settings = settings
        self.signer = signer
        self.clock = clock
        self.known: set[tuple[str, str]] = set()
        self.read_s = float("-inf")

    def __call__(self, scope: Scope) -> ModelUpdate | None:
        """The newest update of a scope, as by `announced`."""
        if self.clock.monotonic_s() - self.read_s > FRESH_S:
            self.known = kafka_updates.announced(self.settings.kafka, topic=self.settings.topics.name("updates"))
            self.read_s = self.clock.monotonic_s()
        if (self.settings.name, scope) not in self.known:
            return None
        return announced(self.settings, scope, signer=self.signer)


def announced(settings: Settings, scope: Scope, *, signer: Signer | None = None) -> ModelUpdate | None:
    """The newest update of a model. With a key those that it has signed count, and others where there are none yet."""
    topic = settings.topics.name("updates")
    own = [] if signer is None else [TrustedKeys([signer.public])]
    for keys in (*own, None):
        known = kafka_updates.all_updates(settings.kafka, topic=topic, model=settings.name, scope=scope, keys=keys)
        if known:
            return known[-1]
    return None


def summary(owner: Owner, *, named: bool = False) -> str:
    """What an owner's model has come to since its very first start, in a line."""
    lane, guard = owner.lane, owner.guard
    scores = figures.listed(lane.scores.values(), between=", ")
    where = f"{owner.settings.name}: " if named else ""
    where += "" if owner.scope.is_global else f"{owner.scope}: "
    counted = [f"{lane.events:,} events learned"]
    counted += [f"{guard.duplicates:,} duplicates passed over"] if guard.duplicates else []
    counted += [f"{guard.refused:,} refused"] if guard.refused else []
    counted += [f"{len(lane.join):,} without a label yet"] if lane.join.pending else []
    counted += [f"{count:,} unusable predictions ({why})" for why, count in lane.scores.unusable.items()]
    return f"{where}{', '.join(counted)}; version {lane.version}; {scores}"


def exit_by(read: Read) -> None:
    """Say which share of the input was of no use, or of the answers; a code of its own if it was more than a tenth.

    Raises:
        Exit: with code 3.
    """
    words = read.in_words()
    if words:
        print(words, file=sys.stderr)
    if read.ended_badly:
        raise typer.Exit(NOT_USED)


def kafka_options(config: Path | None, bootstrap: str | None) -> dict[str, object]:
    """librdkafka's settings from a configuration file or an address."""
    if config is not None:
        return {"bootstrap.servers": DEFAULT_BOOTSTRAP, **loading.load(config).kafka}
    return {"bootstrap.servers": bootstrap or os.environ.get("ANABRANCH_BOOTSTRAP", DEFAULT_BOOTSTRAP)}


def topic_of(which: str, config: Path | None) -> str:
    """The name of a topic: the configuration's, or what it is called without one."""
    topics = Topics() if config is None else loading.load(config).topics
    return topics.name(which)


def print_message(message: Message) -> None:
    """One message as one line of JSON, as it is on its topic."""
    print(encode(message).decode(), flush=True)
