"""`anabranch rebuild`: the model once more, from the log."""

import re
import threading
from collections.abc import Sequence
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
    json: Annotated[bool, typer.Option(help="print every message as a line of JSON")] = False,
) -> None:
    """Relearn the whole log: after a River upgrade, a lost checkpoint, or a change of the model.

    It takes over from a running learner, which exits with code 75. Followers keep their champion until the new one has
    learned what is now in the log; it is announced under the next epoch, and version numbers continue. When that is
    done, or if it is stopped before, `anabranch learn` resumes from there.

    With --without it is as if those records had never come: wrong labels, or events that somebody should not have
    published. The update's reason names them, and whoever resumes leaves them out as well; the next rebuild does not,
    unless it is told again.
    """
    from commands import wiring

    settings = wiring.settings_at(config)
    relearn(settings, without=_stretches(settings, without or ()), json=json)


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


def _stretch(settings: "Settings", said: str) -> "TopicRange":
    from anabranch.errors import ConfigError
    from anabranch.messages import TopicRange

    topics = [settings.topics.name("events"), *([settings.topics.name("labels")] if settings.labels.late else [])]
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
