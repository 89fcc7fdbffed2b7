"""Requests that one of the trusted keys has signed; those of others, old ones and copies are refused, and answered."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from anabranch.kafka.tail import Tail
from anabranch.messages import Decision, DecisionAnswer, Retire, RetireAnswer, Retrain, RetrainAnswer, decode, encode
from anabranch.signatures import Signer
from config.settings import Settings
from consumers import keys
from consumers.loop import LearningLoop
from consumers.requests import IDS_MAX, Requests
from consumers.stores import MemoryStore
from evaluation.simulation.world import FrozenClock, MemoryControl, MemoryLog
from support import loops
from support.loops import filled, settings_of
from support.projects import GAUSSIAN, Project, sea

OURS, FOREIGN = Signer(Ed25519PrivateKey.generate()), Signer(Ed25519PrivateKey.generate())
NOW_S = FrozenClock().time_s()
TABLE = {"id": "d1", "model": "m", "ts": NOW_S + 1, "why": "audit", "by": "ann"}
PIN = Decision.model_validate({**TABLE, "step": "pin"})


def settings(**control: Any) -> Settings:
    return settings_of(control={"trusted_keys": [OURS.public], **control})


def loop_on(log: MemoryLog, store: MemoryStore, *, clock: FrozenClock) -> LearningLoop:
    return loops.loop_on(log, store, settings(), controls=lambda: MemoryControl(log), clock=clock)


def learned() -> tuple[MemoryLog, MemoryStore]:
    """A log and the checkpoint at its end."""
    log, store = filled(300), MemoryStore()
    loop_on(log, store, clock=FrozenClock()).run(until_end=True)
    return log, store


def turned(log: MemoryLog, store: MemoryStore, *, later_s: float = 2.0) -> LearningLoop:
    """A process that finds what was asked, and is gone."""
    clock = FrozenClock()
    clock.advance(later_s)
    loop = loop_on(log, store, clock=clock)
    loop.ports.source.start(loop)
    loop._turn()
    return loop


def ask(log: MemoryLog, message: Any, signer: Signer | None = OURS) -> None:
    value = encode(message)
    log.append("model-control", value, headers=() if signer is None else signer.headers(value))


def answers(log: MemoryLog) -> list[DecisionAnswer]:
    return [decode(DecisionAnswer, value) for value in log.values("model-answers")]


@pytest.mark.parametrize(
    ("signer", "withheld"),
    [
        (OURS, ""),
        (FOREIGN, "not carried out: it is signed by a key that is not among `trusted_keys`"),
        (None, "not carried out: it is not signed"),
    ],
)
def test_what_a_trusted_key_has_signed_is_carried_out(signer: Signer | None, withheld: str) -> None:
    """The others are answered, and change nothing."""
    log, store = learned()
    ask(log, PIN, signer)
    loop = turned(log, store)
    (answer,) = answers(log)
    assert answer.accepted == (not withheld)
    assert answer.withheld.startswith(withheld)
    assert bool(loop.owner.lane.succession.pinned) == (not withheld)


def test_a_copy_is_refused_by_the_process_after_it_too() -> None:
    """Whoever may write can copy a signed request; the checkpoint knows that it was made."""
    log, store = learned()
    ask(log, PIN)
    ask(log, Decision.model_validate({**TABLE, "id": "d2", "step": "unpin"}))
    turned(log, store)
    ask(log, PIN)
    loop = turned(log, store)
    assert [each.withheld for each in answers(log)] == ["", "", "not carried out: it was made before"]
    assert not loop.owner.lane.succession.pinned


def test_one_that_is_too_old_is_refused() -> None:
    """A learner that was away does not carry out what was wanted last week."""
    log, store = learned()
    ask(log, PIN)
    turned(log, store, later_s=90_000.0)
    assert answers(log)[0].withheld == "not carried out: it is 89999 s old, and control.max_age is 86400 s"


def test_every_kind_of_request_is_answered_by_its_kind() -> None:
    """And of a foreign one nothing is retrained, and nothing retired."""
    log, store = learned()
    ask(log, Retire.model_validate({**TABLE, "step": "retire"}), FOREIGN)
    ask(log, Retrain(id="r", model="m", ts=NOW_S + 1, reason="x"), FOREIGN)
    loop = turned(log, store)
    first, second = log.values("model-answers")
    assert not decode(RetireAnswer, first).accepted
    assert not decode(RetrainAnswer, second).accepted
    assert loop.owner.retired is None


def test_what_was_made_is_remembered_in_bounds_and_what_is_as_old_is_refused() -> None:
    """After a start without a checkpoint, all that was signed before it counts as made."""
    log = MemoryLog()
    requests = Requests(MemoryControl(log), model="m", settings=settings().control, clock=FrozenClock())
    requests.start(None)
    for number in range(IDS_MAX + 1):
        ask(log, PIN.model_copy(update={"id": f"d{number}", "ts": NOW_S + number}))
    heard = requests.take()
    assert [bool(each.refusal) for each in heard[:2]] == [True, False]  # the first is as old as the start
    ask(log, PIN.model_copy(update={"id": "x", "ts": NOW_S + IDS_MAX + 1}))
    assert [each.refusal for each in requests.take()] == [""]
    ask(log, PIN.model_copy(update={"id": "d1", "ts": NOW_S + 1}))
    assert [each.refusal for each in requests.take()] == ["not carried out: it was made before"]
    assert len(requests.made) == IDS_MAX


@pytest.mark.kafka
def test_a_command_signs_what_it_asks(project: Callable[..., Project], tmp_path: Path) -> None:
    """With the key in the configuration; the learner carries that out, and not what comes without one."""
    signer = keys.make(tmp_path / "operator.pem")
    control = f'[control]\ntrusted_keys = ["{signer.public}"]\nkey = "{tmp_path}/operator.pem"\n'
    here = project(sections=f"{GAUSSIAN}[publish]\nwarm_up_events = 50\n{control}")
    here.produce(sea(300))
    here.run("learn", here.config, "--until-end")
    here.run("models", "pin", here.config, "--reason", "audit")
    where = ("--topic", f"{here.prefix}model-control", "--bootstrap", here.bootstrap)
    here.run("models", "freeze", here.name, "--reason", "no key", *where)
    here.run("learn", here.config, "--until-end")
    with Tail(here.kafka, [f"{here.prefix}model-answers"]) as tail:
        told = [decode(DecisionAnswer, each.value() or b"") for each in tail.until_caught_up()]
    assert {each.step: each.accepted for each in told} == {"pin": True, "freeze": False}
