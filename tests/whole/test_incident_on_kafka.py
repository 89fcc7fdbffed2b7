"""An incident on a real Kafka, as docs/RUNBOOK.md tells it: a producer ships a broken feature.

It is noticed, frozen, explained, left out of a rebuild, and another model is contested and approved; then each of an
auditor's questions is answered by one command.
"""

import hashlib
import itertools
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from anabranch.messages import AuditRecord, DriftSignal, ModelUpdate, decode
from support.command_line import anabranch
from support.projects import GAUSSIAN, Project, announced, ended, sea, values_on
from support.waiting import until

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

SECTIONS = """{model}
[publish]
warm_up_events = 300
refresh_events = 1000
report_events = 200
report_interval = "1s"
key = "{keys}/learner.pem"
[score]
trusted_keys = ["{learner}"]
[control]
envelope = "approved"
trusted_keys = ["{operator}"]
key = "{keys}/operator.pem"
[rollout]
kind = "manual"
[detectors.inputs]
use = "inputs"
reference_events = 1000
window = 200
[detectors.worse]
use = "threshold"
metric = "Accuracy"
window = 400
below = 0.6
"""


def now() -> str:
    """As it is written on a command line; nothing that was published before is of this moment, nor what comes after."""
    time.sleep(0.05)
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    time.sleep(0.05)
    return moment


def broken(rows: Iterator[bytes]) -> Iterator[bytes]:
    """What two of the features hold comes the other way about, a hundred times as large: as if in cents."""
    for row in rows:
        told = orjson.loads(row)
        x = told["features"]
        yield orjson.dumps({**told, "features": {**x, "f0": 100 * (10 - x["f0"]), "f1": 100 * (10 - x["f1"])}})


def newest(here: Project) -> ModelUpdate:
    return announced(here)[-1]


def recorded(here: Project, *words: object) -> list[AuditRecord]:
    lines = here.run("audit", "list", here.config, "--json", *words).splitlines()
    return [decode(AuditRecord, line.encode()) for line in lines]


def learned(here: Project, events: int) -> Any:
    """Wait until so many are learned and checkpointed."""
    return until(lambda: here.state()["events"] >= events, within_s=60)


def ask(here: Project, *words: object) -> str:
    """Ask the learner, and wait for the answer, which is in the audit."""
    request = here.run(*words, "--by", "ann").split(": ")[1].split(" ")[0]
    (answer,) = until(lambda: [each for each in recorded(here, "--kind", "request") if each.request == request])
    assert answer.done, answer.details
    return answer.after


def show(title: str, text: str) -> None:
    """For docs/RUNBOOK.md, whose outputs are these."""
    if folder := os.environ.get("ANABRANCH_SHOWN"):
        with Path(folder).open("a") as out:
            out.write(f"$ {title}\n{text.rstrip()}\n\n")


def test_a_broken_feature_is_found_frozen_left_out_and_answered_for(
    project: Callable[..., Project], tmp_path: Path
) -> None:
    """From the first bad event to the last question."""
    keys = {name: anabranch("keys", "new", tmp_path / f"{name}.pem").stdout.strip() for name in ("learner", "operator")}
    here = project(sections=SECTIONS.format(model=GAUSSIAN, keys=tmp_path, **keys))
    name, config, rows = here.name, here.config, sea(20_000, flipped_from=2500)
    learner = here.start("learn", config)
    here.produce(itertools.islice(rows, 1500))
    until(lambda: announced(here), within_s=60)
    learned(here, 1500)
    good = newest(here)
    began = now()
    here.produce(broken(itertools.islice(rows, 600)))
    ended_at = now()
    learned(here, 2100)

    # noticed, frozen, explained
    signals = [decode(DriftSignal, value) for value in values_on(here.kafka, f"{here.prefix}drift-signals")]
    assert {moved.feature for each in signals for moved in each.moved} & {"f0", "f1"}
    show("anabranch alerts list fraud.toml", here.run("alerts", "list", config))
    frozen = ask(here, "models", "freeze", config, "--reason", "f0 and f1 come in cents since noon")
    assert frozen.startswith("frozen by ann")
    told = here.run("explain", f"models:/{name}/{newest(here).version}", "--config", config, "--id", "e1600")
    assert "f0" in told
    show(f"anabranch explain models:/fraud/{newest(here).version} --config fraud.toml --id e1600", told)

    # left out, rebuilt: the learner is taken over
    rebuilt = here.run("rebuild", config, "--from", began, "--to", ended_at)
    show(f"anabranch rebuild fraud.toml --from {began} --to {ended_at}", rebuilt)
    assert f"{here.prefix}events/0:1500-2099, 600 offsets" in rebuilt
    assert ended(learner)[0] == 75
    assert (newest(here).kind, here.state()["events"]) == ("rebuild", 1500)

    # the concept changes: contested, approved, promoted
    learner = here.start("learn", config)
    try:
        until(lambda: len(recorded(here, "--kind", "start")) == 3)
        here.produce(itertools.islice(rows, 600))
        portions = iter(lambda: list(itertools.islice(rows, 100)), [])
        for portion in portions:
            here.produce(iter(portion))
            time.sleep(0.1)
            if newest(here).kind == "canary":
                break
        canary = newest(here)
        assert canary.kind == "canary", canary
        show(
            f"anabranch explain-swap fraud {canary.version} --config fraud.toml",
            here.run("explain-swap", name, canary.version, "--config", config),
        )
        ask(here, "models", "approve", config, "--reason", "its scores hold")
        swap = until(lambda: newest(here) if newest(here).kind == "swap" else None)
        assert swap.by == "ann"
    finally:
        learner.terminate()
    assert ended(learner)[0] == 0
    questions(here, good=good, swap=swap, at=began)


def questions(here: Project, *, good: ModelUpdate, swap: ModelUpdate, at: str) -> None:
    """Of an auditor, each answered by one command."""
    name, config = here.name, here.config

    def asked(*words: object) -> str:
        told = here.run(*words)
        show("anabranch " + " ".join(map(str, words)), told)
        return told

    # which model answered then, and who is answerable for it
    assert asked("audit", "at", config, at).startswith(f"models:/{name}/{good.version} since ")
    # who changed it, and why
    requests = asked("audit", "list", config, "--kind", "request")
    assert "request freeze: ann: f0 and f1 come in cents" in requests
    assert "request approve: ann: its scores hold" in requests
    everything = asked("audit", "list", config)
    assert "rebuilt from the log, without" in everything
    assert "taken over by a rebuild" in everything
    assert "which had not ended" in everything
    # what may it change by itself
    envelope = asked("models", "envelope", config)
    assert f"sha256:{hashlib.sha256(envelope.encode()).hexdigest()}" == swap.envelope
    # are the records as they were told
    assert "records as they were told" in asked("audit", "verify", config)
    # can it be made again
    assert "equal: the model is the same" in asked("reproduce", f"models:/{name}/{swap.version}", "--config", config)
    # what is known of it, and how it has done
    card = asked("models", "show", f"models:/{name}/{swap.version}", "--config", config)
    assert swap.envelope in card
    assert "verified" in card
    # what is it made of
    bom = config.parent / "bom.json"
    asked("models", "export", f"models:/{name}/{swap.version}", "--config", config, "--cyclonedx", bom)
    component = orjson.loads(bom.read_bytes())["metadata"]["component"]
    assert component["hashes"] == [{"alg": "SHA-256", "content": swap.pointer.sha256}]
    # how long are the records kept
    kept = anabranch("doctor", config, "--audit-days", "183")
    show("anabranch doctor fraud.toml --audit-days 183", kept.stdout)
    (finding,) = [line for line in kept.stdout.splitlines() if "retention.audit" in line]
    assert "model-audit" not in finding
    assert f"{here.prefix}events 7 d" in finding
