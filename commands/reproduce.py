"""`anabranch reproduce`: learns once more what led to a published version, and compares the bytes."""

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from anabranch.messages import LearnedOrder, ModelUpdate, TrainedOn
    from config.settings import Settings
    from consumers.finding import Finding
    from consumers.owner import First
    from evaluation.reproduction import Inputs, Reproduction

NOT_EQUAL, CANNOT = 1, 2
"""Exit codes."""


def reproduce(
    model: Annotated[str, typer.Argument(help="which version: models:/NAME/7 or models:/NAME@champion")],
    config: Annotated[Path, typer.Option(help="the model's TOML file, as its learner had it")],
    partition: Annotated[int | None, typer.Option(help='the partition of the model, with scope = "partition"')] = None,
    warm_up: Annotated[Path | None, typer.Option(help="the file that the first champion was trained on")] = None,
    published: Annotated[
        str | None, typer.Option("--from", help="the published model that the learner started from: models:/name/7")
    ] = None,
    target: Annotated[str, typer.Option(help="the label column in --warm-up")] = "target",
    json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Learn again, from the topics alone, what led to a version, and say whether its bytes come out the same.

    It reads the learned order, the records that it names and the settings; no learner and no checkpoint is needed, and
    nothing is published. What stands in the way is said before it begins. Exit code 0: the model is the same to the
    last byte; 1: it is not; 2: it cannot be reproduced, and why.
    """
    from anabranch.errors import AnabranchError, ConfigError
    from commands import data, wiring

    settings = wiring.settings_at(config)
    files = None if warm_up is None else data.files(settings, [warm_up], target=target)
    first = wiring.first_champion(settings, warm_up=files, published=published)
    try:
        _reproduce(settings, model, partition=partition, first=first, first_given=bool(files or published), json=json)
    except ConfigError:
        raise
    except AnabranchError as error:
        # Such as brokers that are away: it is not known whether it is equal, which the code of other errors would say.
        _cannot(error, json=json)
        raise typer.Exit(CANNOT) from error


def _cannot(error: Exception, *, json: bool) -> None:
    """What came in between: brokers that are away, a retraining whose records are gone."""
    import orjson

    print(f"anabranch: it cannot be reproduced: {error}", file=sys.stderr)
    if json:
        print(orjson.dumps({"outcome": "cannot", "why": str(error)}).decode())


def _reproduce(
    settings: "Settings", model: str, *, partition: int | None, first: "First", first_given: bool, json: bool
) -> None:
    from anabranch.errors import ConfigError
    from commands import wiring
    from consumers.kafka.reader import told_order
    from evaluation import reproduction
    from operations.registry import Reference

    scope = wiring.scope_of(settings, partition)
    if (name := Reference.read(model).model) != settings.name:
        raise ConfigError(f"the configuration is of {settings.name}, not of {name}")
    update, known = wiring.version_of(settings, model, scope=scope)
    orders = reproduction.chain_to(update, told_order(settings, scope, keys=wiring.trusted_by(settings)))
    begun = reproduction.first_announcement(orders, known)
    story = _Story(update, reproduction.inputs_of(orders), None if begun is None else begun.trained_on, json=json)
    story.begin(_obstacles(settings, update, orders, begun, first_given=first_given))
    story.end(settings, _learned(settings, update, orders, first, quiet=json, story=story))


def _obstacles(
    settings: "Settings",
    update: "ModelUpdate",
    orders: "Sequence[LearnedOrder]",
    begun: "ModelUpdate | None",
    *,
    first_given: bool,
) -> "list[Finding]":
    from anabranch.events import Partition
    from anabranch.messages import TrainedOn
    from consumers.kafka.reader import bounds
    from evaluation import reproduction

    places = {*reproduction.inputs_of(orders).spans()}
    places |= {Partition(each.examples.topic, each.examples.partition) for each in orders if each.examples is not None}
    return list(
        reproduction.obstacles(
            update,
            orders,
            settings=settings,
            bounds=bounds(settings.kafka, sorted(places)),
            trained_on=TrainedOn() if begun is None else begun.trained_on,
            first_given=first_given,
        )
    )


def _learned(
    settings: "Settings",
    update: "ModelUpdate",
    orders: "Sequence[LearnedOrder]",
    first: "First",
    *,
    quiet: bool,
    story: "_Story",
) -> "Reproduction":
    """What comes out; where it goes apart, the story ends here."""
    from anabranch.errors import LearnError
    from commands.views.reproduce import progress
    from consumers.kafka.reader import KafkaLogReader
    from evaluation.replay import JobLost, ReplayError
    from evaluation.reproduction import Reproduction

    attempt = Reproduction(settings, update, first=first, log=KafkaLogReader(settings))
    try:
        with progress(update.event_number, quiet=quiet) as note:
            for events in attempt.run(orders):
                note(events)
    except JobLost:
        raise
    except (ReplayError, LearnError) as error:
        attempt.data = b""
        story.apart = str(error)
    return attempt


class _Story:
    """What is told of a reproduction: at once, to a person; at the end, as JSON."""

    def __init__(self, update: "ModelUpdate", inputs: "Inputs", first: "TrainedOn | None", *, json: bool) -> None:
        self.update, self.inputs, self.first, self.json = update, inputs, first, json
        self.findings: list[Finding] = []
        self.began_s = time.monotonic()
        self.apart = ""
        """Where it went another way than the learner, if it did not even come to the version."""

    def begin(self, findings: "list[Finding]") -> None:
        """What it takes, and what stands in the way.

        Raises:
            Exit: with code 2, if something does.
        """
        self.findings = findings
        if not self.json:
            print("\n".join(self._beginning()))
        if any(each.level == "failure" for each in findings):
            self._tell("cannot")
            raise typer.Exit(CANNOT)

    def _beginning(self) -> Iterator[str]:
        update, inputs = self.update, self.inputs
        yield f"models:/{update.model}/{update.version} ({update.kind}, event {update.event_number:,}): {update.reason}"
        yield "it is learned again from:"
        for place, (start, end) in inputs.spans().items():
            mine = [each for each in inputs.ranges if (each.topic, each.partition) == tuple(place)]
            count = sum(each.end - each.start for each in mine)
            yield f"  {place.topic}/{place.number}: offsets {start:,} to {end - 1:,}, {count:,} records that were taken"
        yield f"  the learned order: {inputs.messages:,} messages, {inputs.first_message} to {inputs.last_message}"
        yield f"  retrainings: {inputs.jobs:,}; requests: {inputs.requests:,}; examples told: {inputs.examples:,}"
        if self.first is not None and self.first.events:
            yield f"  the first champion: {self.first.note or f'{self.first.events:,} events'}"
        for each in self.findings:
            yield f"{each.level}: {each.what}\n  what to do: {each.fix}"

    def end(self, settings: "Settings", attempt: "Reproduction") -> None:
        """What came out.

        Raises:
            Exit: with code 1, if the model is another.
        """
        differs = [] if attempt.is_equal or not attempt.data else _parts(settings, self.update, attempt.data)
        # The bytes of a model are one part of what is announced; the others are what it was asked and fed.
        is_same = attempt.is_equal or bool(differs and "model" not in differs)
        self._tell("equal" if is_same else "different", attempt=attempt, differs=differs)
        if not is_same:
            raise typer.Exit(NOT_EQUAL)

    def _tell(self, outcome: str, *, attempt: "Reproduction | None" = None, differs: Sequence[str] = ()) -> None:
        import orjson

        if self.json:
            print(orjson.dumps(self._as_json(outcome, attempt, differs)).decode())
        elif attempt is None:
            print("it cannot be reproduced")
        else:
            print("\n".join(self._ending(outcome, attempt, differs)))

    def _ending(self, outcome: str, attempt: "Reproduction", differs: Sequence[str]) -> Iterator[str]:
        events = attempt.replay.lane.events
        yield f"{events:,} events learned again in {time.monotonic() - self.began_s:.1f} s"
        yield f"  announced  sha256 {self.update.pointer.sha256}"
        yield f"  reproduced sha256 {attempt.sha256 or f'none: {self.apart or self._not_live()}'}"
        if outcome == "equal":
            but = f"; what else is announced with it differs: {', '.join(differs)}" if differs else ""
            yield f"equal: the model is the same to the last byte{but}"
            return
        where = f" (they differ in: {', '.join(differs)})" if differs else ""
        yield f"NOT equal{where}"
        yield (
            "  what may be the cause: another configuration than the learner had then, another version of Anabranch, "
            "records that were changed, or a model whose arithmetic is not the same on every machine"
        )

    def _not_live(self) -> str:
        return f"no version {self.update.version} went live at event {self.update.event_number:,}"

    def _as_json(self, outcome: str, attempt: "Reproduction | None", differs: Sequence[str]) -> dict[str, Any]:
        update, inputs = self.update, self.inputs
        return {
            "outcome": outcome,
            "model": update.model,
            "scope": update.scope,
            "version": update.version,
            "kind": update.kind,
            "event_number": update.event_number,
            "announced_sha256": update.pointer.sha256,
            "sha256": "" if attempt is None else attempt.sha256,
            "differs": list(differs),
            "apart": self.apart,
            "inputs": {
                **inputs._asdict(),
                "records": inputs.records,
                "ranges": [each.model_dump() for each in inputs.ranges],
                "first_champion": None if self.first is None else self.first.model_dump(mode="json"),
            },
            "events": 0 if attempt is None else attempt.replay.lane.events,
            "findings": [each._asdict() for each in self.findings],
        }


def _parts(settings: "Settings", update: "ModelUpdate", data: bytes) -> list[str]:
    """Which parts are not those that were announced; none are known where those bytes are gone."""
    from anabranch.errors import ArtifactError
    from anabranch.kafka import artifacts
    from anabranch.statetree import StateTreeError
    from evaluation.reproduction import differing

    try:
        return differing(data, artifacts.fetch(settings.kafka, update), trusted=settings.model.trusted)
    except (ArtifactError, StateTreeError):
        return []
