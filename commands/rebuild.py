"""`anabranch rebuild`: the model once more, from the log."""

import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from anabranch.messages import TopicRange
    from config.settings import Settings
    from consumers.loop import LearningLoop


def rebuild(
    config: Annotated[Path, typer.Argument(help="the model's TOML file")],
    without: Annotated[
        list[str] | None,
        typer.Option(help="leave these records out: TOPIC/PARTITION:FIRST-LAST, as events/0:1200-1299; repeatable"),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--from", help="leave out what came from then on: RFC 3339, as 2026-11-27T02:00:00Z")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="with --from: and before then")] = None,
    json: Annotated[bool, typer.Option(help="print every message as a line of JSON")] = False,
) -> None:
    """Relearn the whole log: after a River upgrade, a lost checkpoint, or a change of the model.

    It takes over from a running learner, which exits with code 75. Followers keep their champion until the new one has
    learned what is now in the log; it is announced under the next epoch, and version numbers continue. When that is
    done, or if it is stopped before, `anabranch learn` resumes from there.

    With --without it is as if those records had never come: wrong labels, or events that somebody should not have
    published. --from and --to name them by the time at which they came, by the records' timestamps, in all partitions
    of the events, and of the labels where these come late. The update's reason names what is left out, and whoever
    resumes leaves it out as well; the next rebuild does not, unless it is told again.
    """
    from commands import wiring

    settings = wiring.settings_at(config)
    left_out = (*_stretches(settings, without or ()), *_between(settings, since, until))
    for each in left_out if not json else ():
        count = each.end - each.start
        print(f"left out: {each.topic}/{each.partition}:{each.start}-{each.end - 1}, {count} offsets")
    relearn(settings, without=left_out, json=json)


def relearn(settings: "Settings", *, without: "tuple[TopicRange, ...]", json: bool = False) -> None:
    """The model once more from the log, less these stretches of it."""
    from commands import wiring
    from consumers.kafka import topics
    from consumers.owner import StartOptions
    from consumers.supervisor import supervise

    first = wiring.first_champion(settings)
    listener = wiring.print_message if json else None
    how = StartOptions(rebuild=True, without=without)

    def make(stopping: threading.Event, before: "LearningLoop | None") -> "LearningLoop":
        if before is None:
            topics.see(settings)
        return wiring.learning_loop(settings, first=first, how=how, before=before, listener=listener, stopping=stopping)

    loop = supervise(make, until_end=True)
    for owner in loop.owners.values():
        if not json:
            version = f"announced as version {owner.lane.version} of epoch {owner.epoch}"
            done = "not announced yet" if owner.rebuilding else version
            print(f"{owner.lane.events} events relearned; {done}; `anabranch learn` resumes from here")


# ── what is left out ────────────────────────────────────────────────────────────────────────────────────────────────


def _stretches(settings: "Settings", said: Sequence[str]) -> "tuple[TopicRange, ...]":
    """The stretches, of which each has to be on its topic: what is yet to come is not left out.

    Raises:
        ConfigError: one is not written so, is of a topic that is not learned, or is not there.
    """
    from anabranch.errors import ConfigError
    from anabranch.events import Partition
    from consumers.kafka.reader import bounds

    found = tuple(_stretch(settings, each) for each in said)
    there = bounds(settings.kafka, {Partition(each.topic, each.partition) for each in found}) if found else {}
    for each in found:
        low, high = there[Partition(each.topic, each.partition)]
        if not low < each.end <= high:
            holds = f"holds offsets {low} to {high - 1}" if high > low else "holds nothing"
            raise ConfigError(
                f"--without {each.topic}/{each.partition}:{each.start}-{each.end - 1}: that partition {holds}; name "
                "records that are there"
            )
    return found


def _between(settings: "Settings", since: str | None, until: str | None) -> "Iterator[TopicRange]":
    """What came between two moments, of each partition that is learned.

    Raises:
        ConfigError: one of them is missing, or no moment; or nothing came between them.
    """
    from anabranch.errors import ConfigError
    from anabranch.events import Partition
    from anabranch.kafka import partitions
    from anabranch.messages import TopicRange
    from commands import wiring
    from consumers.kafka.reader import offsets_at

    if since is None and until is None:
        return
    if since is None or until is None:
        raise ConfigError("--from and --to go together: a rebuild leaves out what came between them")
    first_s, last_s = wiring.moment_of(since, option="--from"), wiring.moment_of(until, option="--to")
    kafka, topics = settings.kafka, _learned_topics(settings)
    places = [Partition(topic, each) for topic in topics for each in sorted(partitions(kafka, topic))]
    starts, ends = offsets_at(kafka, places, at_s=first_s), offsets_at(kafka, places, at_s=last_s)
    found = [
        TopicRange(topic=place.topic, partition=place.number, start=starts[place], end=ends[place])
        for place in places
        if starts[place] < ends[place]
    ]
    if not found:
        raise ConfigError(f"nothing on {' or '.join(topics)} came from {since} to {until}; `--from` is the earlier one")
    yield from found


def _learned_topics(settings: "Settings") -> list[str]:
    return [settings.topics.name("events"), *([settings.topics.name("labels")] if settings.labels.late else [])]


def _stretch(settings: "Settings", said: str) -> "TopicRange":
    from anabranch.errors import ConfigError
    from anabranch.messages import TopicRange

    topics = _learned_topics(settings)
    match = re.fullmatch(r"(?P<topic>[\w.-]+)/(?P<partition>\d+):(?P<first>\d+)-(?P<last>\d+)", said, re.ASCII)
    if match is None or int(match["last"]) < int(match["first"]):
        raise ConfigError(
            f"--without {said}: write TOPIC/PARTITION:FIRST-LAST, from the first offset to the last one, as "
            f"{topics[0]}/0:1200-1299"
        )
    if match["topic"] not in topics:
        raise ConfigError(f"--without {said}: {match['topic']} is not learned; write {' or '.join(topics)}")
    return TopicRange(
        topic=match["topic"], partition=int(match["partition"]), start=int(match["first"]), end=int(match["last"]) + 1
    )
