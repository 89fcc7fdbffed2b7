"""The topics that a learner needs: made, asked for at once before anything begins, and looked at for what is odd."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (
    AclOperation,
    ClusterMetadata,
    ConfigResource,
    NewTopic,
    ResourceType,
    TopicDescription,
)

from anabranch.artifact import CHUNK_BYTES
from anabranch.errors import KafkaForbidden, KafkaRefused, KafkaUnavailable
from anabranch.events import Partition
from anabranch.kafka import (
    ABSENT,
    TIMEOUT_S,
    UNAUTHORISED,
    Kafka,
    admin,
    at,
    batch,
    consumer,
    partitions,
    reach,
    reader,
    watermarks,
)
from anabranch.kafka import admin as admin_of
from config.settings import Settings

AGAIN_S = 0.5


def require(kafka: Kafka, topics: Iterable[str], *, timeout_s: float = TIMEOUT_S) -> None:
    """See that all these topics are there.

    Raises:
        KafkaRefused: naming all that are not, and all that this user is not shown.
        KafkaForbidden: all are there, and some are not shown to this user.
        KafkaUnavailable: no broker answers.
    """
    cluster = reach(kafka, timeout_s=timeout_s)
    unlisted = [topic for topic in dict.fromkeys(topics) if not _is_in(cluster, topic)]
    if not unlisted:
        return
    faults = _asked_for(kafka, unlisted)
    absent = [topic for topic, code in faults.items() if code in ABSENT]
    hidden = [topic for topic, code in faults.items() if code in UNAUTHORISED]
    said = []
    if absent:
        said.append(f"missing topics: {', '.join(absent)}; create them with `anabranch topics create CONFIG`")
    if hidden:
        there = "give this user the rights to read and write there, as docs/RIGHTS.md lists them"
        said.append(f"not authorised for {', '.join(hidden)}: {there}")
    if said:
        raise (KafkaRefused if absent else KafkaForbidden)("; ".join(said))


def _is_in(cluster: ClusterMetadata, topic: str) -> bool:
    return topic in cluster.topics and cluster.topics[topic].error is None


def _asked_for(kafka: Kafka, topics: Iterable[str]) -> dict[str, int]:
    """The error of each by name: a list of all topics leaves out those that a user may not see.

    A broker that makes topics up itself makes them now; that takes it a moment.
    """
    client, faults = admin(kafka), dict.fromkeys(topics, 0)
    for pause_s in (0.0, AGAIN_S):
        time.sleep(pause_s)
        for topic in faults:
            try:
                error = client.list_topics(topic, timeout=TIMEOUT_S).topics[topic].error
            except KafkaException as raised:
                error = raised.args[0]
            faults[topic] = 0 if error is None else error.code()
        faults = {topic: code for topic, code in faults.items() if code}
        if not faults:
            break
    return faults


# ── The topics of a model and the settings they need. Only `anabranch topics create` makes them, never a consumer ───

DAY_MS = 86_400_000
_KEPT = {"cleanup.policy": "compact", "retention.ms": "-1"}
# A record is there until its segment is closed, and for the retention after that.
_DAY = {"cleanup.policy": "delete", "retention.ms": str(DAY_MS), "segment.ms": str(DAY_MS)}
_DAYS_7 = {"cleanup.policy": "delete", "retention.ms": str(7 * DAY_MS)}
_DAYS_30 = {"cleanup.policy": "delete", "retention.ms": str(30 * DAY_MS)}

LEARNED = (
    "events",
    "updates",
    "artifacts",
    "signals",
    "reports",
    "lifecycle",
    "alerts",
    "control",
    "answers",
    "audit",
    "learned",
    "dead_letters",
)
"""The topics that every learner reads and writes."""


TRAINED = ("train_jobs", "train_results")
"""The topics of whoever has jobs carried out elsewhere, and of who carries them out."""


def needed(settings: Settings) -> list[str]:
    """The names of the topics that a learner with these settings reads and writes."""
    labels = settings.labels
    more = {"labels": labels.late, "examples": labels.tells_examples, "predictions": settings.publish.predictions}
    more |= {"segments": settings.segments.by is not None}
    more |= dict.fromkeys(TRAINED, settings.retrain.executor == "topic")
    return [settings.topics.name(which) for which in (*LEARNED, *(which for which, on in more.items() if on))]


def unread_labels(settings: Settings) -> str:
    """That labels lie on their topic, and this learner does not read them; empty, if it is not so.

    Raises:
        KafkaUnavailable: no broker answers.
    """
    topic = settings.topics.name("labels")
    if settings.labels.late or not _is_in(reach(settings.kafka), topic):
        return ""
    ends = _ends(reader(settings.kafka), topic, partitions(settings.kafka, topic))
    count = sum(ends.values())
    if not count:
        return ""
    return (
        f"{topic} holds {count:,} labels, and nobody reads them: set labels.late = true, or publish each label in its "
        "event once more"
    )


log = structlog.get_logger()

_MANY = ("events", "labels", "examples", "predictions")
"""Topics with as many partitions as the events have."""

_CONFIGS: dict[str, dict[str, str]] = {
    "events": _DAYS_7,
    "labels": _DAYS_7,
    "examples": _DAYS_30,
    "updates": _KEPT,
    "segments": _KEPT,
    "artifacts": _KEPT | {"segment.bytes": str(128 * 2**20)},  # smaller ones are cleaned sooner
    "signals": _DAYS_30,
    "reports": _DAYS_7,
    "lifecycle": _DAYS_30,
    "alerts": _DAYS_30,
    "control": _DAYS_30,
    "answers": _DAYS_30,
    "audit": _DAYS_30,  # in place of that, as long as `control.audit_retention` says
    "learned": _DAYS_7,  # as the events: without one of the two the other is of no use
    "acks": _DAYS_7,
    "predictions": _DAYS_7,
    "train_jobs": _DAY,  # nobody waits for a job for longer
    "train_results": _DAY,
    "dead_letters": _DAYS_30,
}


def see(settings: Settings) -> None:
    """See that everything a learner needs is there, before it begins; what else is wrong with it is a warning.

    Raises:
        KafkaRefused: naming all topics that are missing.
        KafkaForbidden: naming all rights that are.
        KafkaUnavailable: no broker answers.
    """
    require(settings.kafka, needed(settings))
    if lacks := lacking(settings, described(settings)):
        raise KafkaForbidden(f"this user lacks {', '.join(lacks)}; {granting(settings, lacks)}")
    if unread := unread_labels(settings):
        log.warning("unread labels", fault=unread)
    for fault in shortcomings(settings):
        log.warning("topic settings", fault=fault)


def create(settings: Settings) -> dict[str, str]:
    """Create what is missing; by topic, what came of it.

    Raises:
        KafkaUnavailable: no broker answers, or one refuses.
    """
    names = settings.topics
    wanted = [
        NewTopic(
            names.name(which),
            num_partitions=names.partitions if which in (*_MANY, "train_jobs") else 1,
            replication_factor=names.replication,
            config=config | _longer(which, settings),
        )
        for which, config in _CONFIGS.items()
    ]
    client = admin(settings.kafka)  # held by name: its answers are lost when it goes away
    answers = client.create_topics(wanted, operation_timeout=TIMEOUT_S, request_timeout=TIMEOUT_S)
    return {name: _answer(name, future) for name, future in answers.items()}


def _longer(which: str, settings: Settings) -> dict[str, str]:
    """Events and labels are kept for as long as a label may take, and a while after it; the audit as is configured."""
    if which == "audit":
        return {"retention.ms": str(int(settings.control.audit_retention * 1000))}
    horizon_s = settings.labels.horizon if settings.labels.late else None
    if horizon_s is None or which not in ("events", "labels"):
        return {}
    return {"retention.ms": str(int(horizon_s * 1000) + 7 * DAY_MS)}


def _answer(name: str, future: object) -> str:
    try:
        future.result()  # type: ignore[attr-defined]  # confluent_kafka's stubs name no type for it
    except KafkaException as error:
        # Somebody may have made it between the question and the answer; asking first would not help.
        if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return "was there"
        raise KafkaUnavailable(f"{name}: {error.args[0].str()}") from error
    return "created"


# ── Rights ──────────────────────────────────────────────────────────────────────────────────────────────────────────

READ = ("events", "labels", "examples", "control", "updates", "artifacts", "train_results")
ONLY_READ = ("events", "labels", "control", "train_results")


def described(settings: Settings) -> dict[str, TopicDescription | KafkaException]:
    """What the broker tells of the topics that a learner needs, by their keys in `[topics]`; the embedded one: nothing.

    Raises:
        KafkaUnavailable: no broker answers.
    """
    if str(reach(settings.kafka).cluster_id).startswith("mockCluster"):
        return {}
    names = {settings.topics.name(which): which for which in _CONFIGS}
    client = admin(settings.kafka)  # held by name: its answers are lost when it goes away
    asked = client.describe_topics(
        TopicCollection(needed(settings)), include_authorized_operations=True, request_timeout=TIMEOUT_S
    )
    found: dict[str, TopicDescription | KafkaException] = {}
    for name, future in asked.items():
        try:
            found[names[name]] = future.result()
        except KafkaException as error:
            found[names[name]] = error
    return found


def lacking(settings: Settings, told: Mapping[str, TopicDescription | KafkaException]) -> list[str]:
    """The rights that this user lacks for what a learner does, as `WRITE on model-updates`."""
    return [
        f"{each.name} on {settings.topics.name(which)}"
        for which, topic in told.items()
        # Where brokers ask nobody they do not tell.
        if isinstance(topic, TopicDescription) and topic.authorized_operations is not None
        for each in wanted_of(which)
        if each not in topic.authorized_operations
    ]


def wanted_of(which: str) -> list[AclOperation]:
    """What a learner does on a topic."""
    reads = [AclOperation.READ] if which in READ else []
    return reads if which in ONLY_READ else [*reads, AclOperation.WRITE]


def granting(settings: Settings, lacks: Sequence[str]) -> str:
    """What to do about rights that are missing."""
    operation, _, topic = lacks[0].partition(" on ")
    user = settings.kafka.get("sasl.username", "NAME")
    return (
        f"grant it: `kafka-acls --add --allow-principal User:{user} --operation {operation} --topic {topic}`, and so "
        "on; docs/RIGHTS.md lists what each process needs"
    )


# ── What is wrong with topics that are there: settings under which something is lost, and transactions ──────────────

ANSWER_S = 3.0
MESSAGE_OVERHEAD_BYTES = 4096


def shortcomings(settings: Settings) -> list[str]:
    """Settings of the topics under which something is lost; nothing where the broker does not tell them."""
    there = needed(settings)
    checked = ("events", "labels", "examples", "updates", "artifacts")
    names = {which: name for which in checked if (name := settings.topics.name(which)) in there}
    found = configs(settings, names)
    faults = [fault for which, config in found.items() for fault in _faults(which, names[which], config)]
    return [*faults, *_kept_too_briefly(settings, found)]


def _faults(which: str, name: str, config: Mapping[str, str]) -> Iterator[str]:
    policy, hours = config.get("cleanup.policy", ""), int(config.get("retention.ms", "-1")) / 3_600_000
    is_log = which in _MANY
    if is_log and "compact" in policy:
        yield (
            f"{name} has cleanup.policy={policy}: the broker drops all but the last record of each key, so that "
            "retraining and `rebuild` miss the others; set cleanup.policy=delete"
        )
    is_dropped = "delete" in policy and hours >= 0
    if (not is_log and is_dropped) or (which == "updates" and "compact" not in policy):
        yield (
            f"{name} has cleanup.policy={policy} and retention.ms={config.get('retention.ms')}: what was announced is "
            f"gone after {hours:g} h, and who starts to follow then finds no model; set cleanup.policy=compact and "
            "retention.ms=-1"
        )
    needed = CHUNK_BYTES + MESSAGE_OVERHEAD_BYTES
    if which == "artifacts" and int(config.get("max.message.bytes", needed)) < needed:
        yield f"{name} has max.message.bytes={config['max.message.bytes']}: models come in chunks of {needed} bytes"


def _kept_too_briefly(settings: Settings, found: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """What late labels need of the logs: records as old as a label may be, and the examples that retraining reads."""
    horizon_s = settings.labels.horizon if settings.labels.late else None
    for which in ("events", "labels"):
        kept_ms = int(found.get(which, {}).get("retention.ms", "-1"))
        if horizon_s is not None and 0 <= kept_ms < horizon_s * 1000:
            yield (
                f"{settings.topics.name(which)} has retention.ms={kept_ms} ({kept_ms / DAY_MS:g} d), and "
                f"labels may come {horizon_s * 1000 / DAY_MS:g} d after their events (labels.horizon): `rebuild` "
                "would find labels without events, or events without labels; raise retention.ms above the horizon"
            )
    if "examples" not in found:
        return
    topic, wanted = settings.topics.name("examples"), settings.retrain.history_max
    every = partitions(settings.kafka, topic)
    for partition, (start, end) in _watermarks(reader(settings.kafka), topic, every).items():
        # Where nothing was dropped there are few because few were learned.
        if start and end - start < wanted:
            yield (
                f"{topic} partition {partition} holds {end - start:,} examples, those before them are gone, and "
                f"retraining reads as many as {wanted:,} (retrain.history_max): raise retention.ms, or lower that"
            )


SEGMENT_DAYS = 7
"""After so long a broker closes a segment, where `segment.ms` is not set: nothing of an open one is deleted."""


def kept_s(config: Mapping[str, str]) -> float | None:
    """How long a topic may keep a record, in seconds: until its segment is closed, and the retention after that.

    None: for ever. Retention goes by the newest record of a segment (the brokers' documentation of `segment.ms`).

    >>> kept_s({"cleanup.policy": "delete", "retention.ms": "604800000", "segment.ms": "86400000"}) / 86400
    8.0
    >>> kept_s({"cleanup.policy": "compact", "retention.ms": "604800000"}) is None
    True
    """
    retention_ms = int(config.get("retention.ms", "-1"))
    if "delete" not in config.get("cleanup.policy", "delete") or retention_ms < 0:
        return None
    return (retention_ms + int(config.get("segment.ms", SEGMENT_DAYS * DAY_MS))) / 1000


def configs(settings: Settings, names: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The settings of the topics, of those that the broker tells."""
    if str(reach(settings.kafka).cluster_id).startswith("mockCluster"):
        return {}  # the embedded broker would leave the question open
    client = admin_of(settings.kafka)  # held by name: its answers are lost when it goes away
    asked = {which: ConfigResource(ResourceType.TOPIC, name) for which, name in names.items()}
    answers = client.describe_configs(list(asked.values()), request_timeout=ANSWER_S)
    found = {}
    for which, resource in asked.items():
        try:
            config = answers[resource].result()
        except KafkaException:  # not authorised, or not there
            continue
        found[which] = {name: str(entry.value) for name, entry in config.items() if entry.value is not None}
    return found


def transactions(settings: Settings) -> list[str]:
    """What transactions do to the events: one that is open holds back all that comes after it.

    Raises:
        KafkaUnavailable: no broker answers, or there is no such topic.
    """
    topic = settings.topics.name("events")
    every = partitions(settings.kafka, topic)
    committed = reader(settings.kafka)
    # The same question at both levels of isolation: between the two ends lies what an open transaction holds back.
    ends = _ends({**committed, "isolation.level": "read_uncommitted"}, topic, every)
    readable = _ends(committed, topic, every)
    marked = _without_a_last_record(committed, topic, readable)
    return [fault for each in every for fault in _held_back(topic, each, readable[each], ends[each], marked)]


def _held_back(topic: str, partition: int, readable: int, end: int, marked: set[int]) -> Iterator[str]:
    if readable < end:
        yield (
            f"{topic} partition {partition}: a transaction that is still open holds back the records from offset "
            f"{readable} on, of {end}: nothing after it is learned before its producer ends it"
        )
    elif partition in marked:
        yield (
            f"{topic} partition {partition} ends in the mark of a transaction: its offsets have gaps, and only what "
            "was committed is learned"
        )


def _ends(configured: dict[str, Any], topic: str, every: Sequence[int]) -> dict[int, int]:
    """Where each partition ends for such a reader."""
    return {each: end for each, (_, end) in _watermarks(configured, topic, every).items()}


def _watermarks(configured: dict[str, Any], topic: str, every: Sequence[int]) -> dict[int, tuple[int, int]]:
    """The first and the next offset of each partition, for such a reader."""
    with closing(consumer(configured)) as client:
        return {each: watermarks(client, Partition(topic, each), timeout_s=ANSWER_S) for each in every}


def _without_a_last_record(configured: dict[str, Any], topic: str, ends: Mapping[int, int]) -> set[int]:
    """The partitions whose last offset holds no record that could be read."""
    last = {partition: end - 1 for partition, end in ends.items() if end}
    # The mark of a transaction takes an offset and is handed to nobody, so that only reading there can tell.
    found, until_s = set(last), time.monotonic() + ANSWER_S
    open_ends = set(last)
    with closing(consumer({**configured, "enable.partition.eof": True})) as client:
        client.assign(at({Partition(topic, partition): offset for partition, offset in last.items()}))
        while open_ends and time.monotonic() < until_s:
            for message in batch(client, 100, timeout_s=0.1):
                error = message.error()
                if error is None:
                    found.discard(message.partition() or 0)
                elif error.code() == KafkaError._PARTITION_EOF:
                    open_ends.discard(message.partition() or 0)
    return found - open_ends
