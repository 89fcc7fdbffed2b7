"""What brokers tell when they are asked whether a learner can live with them: rights, copies, clocks, and retention."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition

from anabranch.events import Partition
from anabranch.kafka import TIMEOUT_S, admin, partitions
from config.settings import Settings
from consumers.finding import Finding, failure, good, warning
from consumers.kafka.reader import bounds, records_at
from consumers.kafka.topics import DAY_MS, TRAINED, configs, described, granting, kept_s, lacking

ENOUGH_S = 86_400.0
"""What is dropped within a day is told of."""

SKEW_S = 5.0

ANSWERABLE = (
    "audit",
    "updates",
    "artifacts",
    "lifecycle",
    "signals",
    "answers",
    "control",
    "learned",
    "events",
    "labels",
)
"""What is needed to say later which model answered, why, and on which records it was made."""


# ── Rights, and copies ──────────────────────────────────────────────────────────────────────────────────────────────


def rights(settings: Settings) -> Iterator[Finding]:
    """Whether this user may read and write what a learner does, and whether each partition has all its copies."""
    told = described(settings)
    behind = []
    for which, topic in told.items():
        name = settings.topics.name(which)
        if isinstance(topic, KafkaException):
            said = topic.args[0].str()
            yield warning("topics.described", f"{name}: {said}", "grant this user DESCRIBE on the topic")
            continue
        behind += [f"{name}/{each.id}" for each in topic.partitions if len(each.isr) < len(each.replicas)]
    if lacks := lacking(settings, told):
        yield failure("acl.topics", f"this user lacks {', '.join(lacks)}", granting(settings, lacks))
    else:
        yield good("acl.topics", "this user may read and write what a learner does")
    if behind:
        yield warning(
            "topics.copies",
            f"fewer copies than configured are in sync: {', '.join(behind)}",
            "see which broker is away, or behind",
        )


# ── What the log still holds, beside what is needed of it ───────────────────────────────────────────────────────────


class Need(NamedTuple):
    """Of a partition of the events, the oldest record that is needed."""

    partition: int
    low: int
    """The first offset that is there."""
    position: int
    """The next one that is learned."""
    oldest: int
    """The first that retraining reads."""
    oldest_s: float | None
    """When it was written, epoch seconds; None: it is not there."""


def retention(settings: Settings, *, now_s: float) -> Iterator[Finding]:
    """Whether the records that are to be learned, and those that retraining reads, are there, and for how long yet."""
    topic = settings.topics.name("events")
    config = configs(settings, {"events": topic}).get("events", {})
    kept_s = int(config["retention.ms"]) / 1000 if config.get("retention.ms", "-1") != "-1" else None
    found = [each for need in _needs(settings) for each in judged(need, topic=topic, kept_s=kept_s, now_s=now_s)]
    yield from found or [good("retention.window", f"{topic} holds what is to be learned and what retraining reads")]


def judged(need: Need, *, topic: str, kept_s: float | None, now_s: float) -> Iterator[Finding]:
    """What is wrong with a partition, if something is.

    Args:
        kept_s: how long records are kept; None: for ever.
    """
    place = f"{topic} partition {need.partition}"
    raise_it = f"raise retention.ms of {topic}"
    if need.position < need.low:
        yield failure(
            "retention.position",
            f"{place}: the learner is at offset {need.position:,}, and those before {need.low:,} are gone",
            f"{raise_it}; `anabranch rebuild` relearns what is left",
        )
        return
    if need.low and need.oldest < need.low:
        yield warning(
            "retention.window",
            f"{place}: retraining reads from offset {need.oldest:,} on, and those before {need.low:,} are gone",
            f"{raise_it}, or lower retrain.history_max",
        )
    elif kept_s is not None and need.oldest_s is not None and need.oldest < need.position:
        left_s = need.oldest_s + kept_s - now_s
        if left_s < min(ENOUGH_S, kept_s / 2):
            yield warning(
                "retention.window",
                f"{place}: the window that retraining reads, from offset {need.oldest:,} on, falls off the topic "
                f"{_in(left_s)}",
                f"{raise_it}, or lower retrain.history_max",
            )


def _in(left_s: float) -> str:
    return "at any moment" if left_s <= 0 else f"in {left_s / 3600:.1f} h" if left_s >= 360 else f"in {left_s:.0f} s"


def _needs(settings: Settings) -> list[Need]:
    topic = settings.topics.name("events")
    every = partitions(settings.kafka, topic)
    there = bounds(settings.kafka, [Partition(topic, each) for each in every])
    committed = _committed(settings, topic, every)
    # How a recruit's history lies over the partitions is not known here: as if they were equally full.
    back = -(-settings.retrain.history_max // max(1, len(every)))
    oldest = {each: max(0, position - back) for each, position in committed.items()}
    low = {each: there[Partition(topic, each)][0] for each in every}
    places = [(topic, each, max(oldest[each], low[each])) for each in sorted(oldest)]
    written = {
        partition: None if record is None else record.timestamp_s
        for (_, partition, _), record in zip(places, records_at(settings.kafka, places), strict=True)
    }
    return [Need(each, low[each], committed[each], oldest[each], written[each]) for each in sorted(oldest)]


def _committed(settings: Settings, topic: str, every: Iterable[int]) -> dict[int, int]:
    """The learner's positions; none, if it has never learned."""
    client, group = admin(settings.kafka), f"anabranch-{settings.name}"
    asked = [ConsumerGroupTopicPartitions(group, [TopicPartition(topic, each) for each in every])]
    try:
        told = client.list_consumer_group_offsets(asked, request_timeout=TIMEOUT_S)[group].result()
    except KafkaException:
        return {}
    return {each.partition: each.offset for each in told.topic_partitions if each.offset >= 0}


def kept_for(settings: Settings, *, days: int) -> Iterator[Finding]:
    """Whether what must be answered for later is kept for so many days."""
    names = {which: settings.topics.name(which) for which in ANSWERABLE}
    found = {which: config.get("retention.ms") for which, config in configs(settings, names).items()}
    short = too_short(found, days=days)
    if short:
        kept = ", ".join(f"{names[which]} {kept:g} d" for which, kept in short.items())
        yield warning(
            "retention.audit",
            f"{days} days are asked for, and kept are: {kept}",
            f"set retention.ms={days * DAY_MS} on these topics, or archive them",
        )
    else:
        yield good("retention.audit", f"what must be answered for is kept for {days} days or more")


def too_short(retention_ms: Mapping[str, str | None], *, days: int) -> dict[str, float]:
    """The topics that keep less, with the days that they keep; `-1` is for ever.

    >>> too_short({"events": "604800000", "updates": "-1", "answers": None}, days=183)
    {'events': 7.0}
    """
    kept = {which: int(text) / DAY_MS for which, text in retention_ms.items() if text is not None and int(text) >= 0}
    return {which: each for which, each in kept.items() if each < days}


PERSONAL = ("events", "labels", "examples", "predictions", "dead_letters", "signals", "reports", *TRAINED)
"""The topics on which values of events stand; of the last two as shares of categories."""


def kept_too_long(settings: Settings) -> Iterator[Finding]:
    """Whether something is kept for longer than `privacy.retention_max` promises."""
    most_s = settings.privacy.retention_max
    if most_s is None:
        return
    # A segment's name is a value of events.
    personal = (*PERSONAL, *(("segments",) if settings.segments.by is not None else ()))
    names = {which: settings.topics.name(which) for which in (*personal, "artifacts")}
    known = configs(settings, names)
    said = list(too_long({names[which]: known[which] for which in personal if which in known}, most_s=most_s))
    if "artifacts" in known and kept_s(known["artifacts"]) is None:
        publish = settings.publish
        models = f"the last {publish.versions_kept} models, each with {publish.canary_rows} events to check it by"
        said.append(f"{names['artifacts']}: for ever, {models} (publish.versions_kept, publish.canary_rows)")
    horizon_s = settings.labels.horizon
    if horizon_s is not None and horizon_s > most_s:
        said.append(f"checkpoints: events that wait for their label, {horizon_s / 86_400:g} d (labels.horizon)")
    if said:
        yield warning(
            "retention.privacy",
            f"{most_s / 86_400:g} d are promised (privacy.retention_max), and kept are: {'; '.join(said)}",
            "lower retention.ms and segment.ms, which together are how long a record may be there; docs/PRIVACY.md",
        )
    else:
        untold = "" if known else ", as far as these brokers tell"
        yield good("retention.privacy", f"nothing of an event is kept for longer than {most_s / 86_400:g} d{untold}")


def too_long(configs: Mapping[str, Mapping[str, str]], *, most_s: float) -> Iterator[str]:
    """The topics that keep a record for longer, and how long.

    >>> [*too_long({"events": {"retention.ms": "604800000"}, "labels": {"cleanup.policy": "compact"}}, most_s=864000)]
    ['events: 14 d (retention.ms and segment.ms)', 'labels: for ever (cleanup.policy=compact)']
    """
    for name, config in configs.items():
        kept = kept_s(config)
        if kept is None:
            why = "cleanup.policy=compact" if "compact" in config.get("cleanup.policy", "") else "retention.ms=-1"
            yield f"{name}: for ever ({why})"
        elif kept > most_s:
            yield f"{name}: {kept / 86_400:g} d (retention.ms and segment.ms)"


# ── Clocks ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def clocks(settings: Settings, *, now_s: float) -> Iterator[Finding]:
    """Whether the newest records come from the future: clocks of producers, learners and this machine differ then."""
    names = [settings.topics.name(which) for which in ("events", "reports", "updates")]
    every = [Partition(name, each) for name in names for each in sorted(partitions(settings.kafka, name))]
    there = bounds(settings.kafka, every)
    places = [(place.topic, place.number, end - 1) for place, (low, end) in there.items() if end > low]
    ahead = {
        place[0]: record.timestamp_s - now_s
        for place, record in zip(places, records_at(settings.kafka, places), strict=True)
        if record is not None and record.timestamp_s - now_s > SKEW_S
    }
    if ahead:
        told = ", ".join(f"{name} by {seconds:.0f} s" for name, seconds in ahead.items())
        yield warning(
            "clock.skew",
            f"the newest records lie ahead of this machine's clock: {told}",
            "synchronise the clocks (NTP): event times, ages and the times that models take are compared with them",
        )
    else:
        yield good("clock.skew", "no newest record lies ahead of this machine's clock")
