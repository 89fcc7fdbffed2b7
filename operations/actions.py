"""What a person can do from the page: one list; each sends to the control topic what the command of its name sends."""

import threading
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from confluent_kafka import KafkaError, Producer

from anabranch.errors import KafkaUnavailable
from anabranch.kafka import Kafka, producer, publisher
from anabranch.messages import (
    CONTROL_PARTITION,
    Decision,
    DecisionAnswer,
    Message,
    Retire,
    RetireAnswer,
    Retrain,
    RetrainAnswer,
    RolloutReport,
    encode,
)
from anabranch.signatures import Signer
from operations.picture import ModelPicture

SEND_S = 10.0
"""So long brokers may take to take a request."""


class Asked(NamedTuple):
    """What the form says."""

    model: str
    why: str
    by: str
    ts: float
    about: str = ""
    """What was offered to be decided, as the page showed it: a digest."""


class Action(NamedTuple):
    """Something that a person can do."""

    name: str
    title: str
    request: Callable[[Asked], Message]
    preview: Callable[[ModelPicture], str]
    """What will happen, in words."""
    why_not: Callable[[ModelPicture], str]
    """Why it makes no sense now; empty: it does."""
    command: str
    """What does the same on a command line."""
    undo: str = ""
    """The name of the action that takes it back, if one does."""
    about: Callable[[ModelPicture], str] = lambda model: ""
    """What is decided, where it is one thing among others: the page sends it back, so that nobody decides unseen."""


def _retrain(asked: Asked) -> Retrain:
    return Retrain(id=uuid.uuid4().hex, model=asked.model, ts=asked.ts, reason=asked.why, by=asked.by)


def _stepping(kind: type[Retire | Decision], step: str, *, about: str = "") -> Callable[[Asked], Message]:
    """What makes a request for a step; `about` names the key of what is decided, where it is one thing among others."""

    def request(asked: Asked) -> Message:
        table = {"id": uuid.uuid4().hex, "model": asked.model, "ts": asked.ts, "why": asked.why, "by": asked.by}
        return kind.model_validate({**table, "step": step} | ({about: asked.about} if about else {}))

    return request


def _rollout(model: ModelPicture) -> RolloutReport | None:
    return None if model.report is None else model.report.rollout


def _is_retired(model: ModelPicture) -> bool:
    return model.newest is not None and model.newest.kind == "retired"


def _followers(model: ModelPicture) -> str:
    count = sum(not each.left for each in model.acks.values())
    return f"{count} follower{'' if count == 1 else 's'} known here"


def _preview_retrain(model: ModelPicture) -> str:
    members = 0 if model.report is None else len(model.report.members) - 1
    return (
        "The learner retrains models in processes of their own and lets them compete as shadows with the champion "
        f"(now there are {members}). Nothing is swapped unless one of them proves better."
    )


def _preview_retire(model: ModelPicture) -> str:
    version = 0 if model.newest is None else model.newest.version
    return (
        f"Version {version} and all before it go out of service: followers ({_followers(model)}) answer nothing, until "
        "the model is reinstated. Learning goes on."
    )


def _preview_reinstate(model: ModelPicture) -> str:
    return (
        f"What the learner has learned by now is announced at once, and followers ({_followers(model)}) answer again."
    )


def _preview_approve(model: ModelPicture) -> str:
    rollout = _rollout(model)
    if rollout is None:
        return "The champion that is being rolled out answers for all keys."
    return (
        f"The new champion answers for all keys, instead of {rollout.share:g} % of them ({_followers(model)}). Version "
        f"{rollout.beside} can come back by evidence for a while. The next step waits for {rollout.missing}."
    )


def _preview_withdraw(model: ModelPicture) -> str:
    rollout = _rollout(model)
    if rollout is None:
        return "The displaced champion answers for all keys again."
    return (
        f"Version {rollout.beside}, which followers still have ({_followers(model)}), answers for all keys again, and "
        f"the new champion, which has {rollout.share:g} % of them, for none."
    )


def _not_rolled_out(model: ModelPicture) -> str:
    return "" if _rollout(model) is not None else "nothing is being rolled out"


def _nobody_to_come_back(model: ModelPicture) -> str:
    if _rollout(model) is not None:
        return "a champion is being rolled out: approve or withdraw it"
    members = () if model.report is None else model.report.members
    return "" if any(each.kind == "displaced" for each in members) else "no displaced champion is in its probation"


def _held(model: ModelPicture, how: str) -> str:
    """Who holds it so and why, or the digest of what is held; empty: it is not."""
    several = () if model.report is None else model.report.held
    return next((each.removeprefix(f"{how} ") for each in several if each.startswith(f"{how} ")), "")


def _hold(step: str, title: str, preview: str, *, how: str, undo: str = "", ends: bool = False) -> Action:
    """One that begins to hold something, or ends it."""

    def why_not(model: ModelPicture) -> str:
        if bool(_held(model, how)) == ends:
            return ""
        return f"it is not {how}" if ends else f"it is {how} already"

    command = f"anabranch models {step} CONFIG --reason …"
    return Action(step, title, _stepping(Decision, step), lambda model: preview, why_not, command, undo=undo)


def _unapproved(model: ModelPicture) -> str:
    """The digest of the change envelope that waits for approval; empty: none does."""
    return _held(model, "unapproved")


def _preview_envelope(model: ModelPicture) -> str:
    return (
        f"What the learner's configuration lets change by itself ({_unapproved(model)}) counts from now on: swaps, "
        "which wait for this, go on by evidence. `anabranch models envelope CONFIG` prints it."
    )


ACTIONS: tuple[Action, ...] = (
    Action(
        "retrain",
        "Retrain now",
        _retrain,
        _preview_retrain,
        lambda model: "",
        "anabranch retrain CONFIG --reason …",
    ),
    Action(
        "retire",
        "Retire",
        _stepping(Retire, "retire"),
        _preview_retire,
        lambda model: "it is retired already" if _is_retired(model) else "",
        "anabranch retire CONFIG --reason …",
        undo="reinstate",
    ),
    Action(
        "reinstate",
        "Reinstate",
        _stepping(Retire, "reinstate"),
        _preview_reinstate,
        lambda model: "" if _is_retired(model) else "it is not retired",
        "anabranch reinstate CONFIG --reason …",
        undo="retire",
    ),
    Action(
        "approve",
        "Approve the rollout",
        _stepping(Decision, "approve"),
        _preview_approve,
        _not_rolled_out,
        "anabranch models approve CONFIG --reason …",
    ),
    Action(
        "withdraw",
        "Withdraw the rollout",
        _stepping(Decision, "withdraw"),
        _preview_withdraw,
        _not_rolled_out,
        "anabranch models withdraw CONFIG --reason …",
    ),
    Action(
        "rollback",
        "Roll back",
        _stepping(Decision, "rollback"),
        lambda model: (
            "The champion that was displaced last answers again, as it has become, while it is in its probation. "
            "What the present one came from cannot win for a while."
        ),
        _nobody_to_come_back,
        "anabranch models rollback CONFIG --reason …",
    ),
    _hold(
        "pin",
        "Pin the champion",
        "No other model takes the champion's place until it is unpinned. It goes on learning and is announced.",
        how="pinned",
        undo="unpin",
    ),
    _hold("unpin", "Unpin", "Better models may take the champion's place again.", how="pinned", undo="pin", ends=True),
    _hold(
        "freeze",
        "Freeze learning",
        "Models predict and are scored, and nothing is learned, retrained, swapped or announced until it is thawed. "
        "What comes meanwhile is never learned.",
        how="frozen",
        undo="thaw",
    ),
    Action(
        "envelope",
        "Approve the change envelope",
        _stepping(Decision, "envelope", about="envelope"),
        _preview_envelope,
        lambda model: "" if _unapproved(model) else "no change envelope waits for approval",
        "anabranch models envelope CONFIG --approve --reason …",
        about=_unapproved,
    ),
    _hold("thaw", "Thaw", "Models learn again, from the next event on.", how="frozen", undo="freeze", ends=True),
)
"""Whatever else a person shall be able to do is added here, and nowhere else."""

BY_NAME = {each.name: each for each in ACTIONS}


def offered(model: ModelPicture, now_s: float) -> dict[str, Any]:
    """What can be done with a model now, and what became of what was asked."""
    del now_s
    listed = [
        {
            "name": each.name,
            "title": each.title,
            "preview": each.preview(model),
            "why_not": each.why_not(model),
            "command": each.command,
            "undo": each.undo,
            "about": each.about(model),
        }
        for each in ACTIONS
    ]
    answers = [
        {"at_s": record.at_s, "request": record.message.request, "accepted": record.message.accepted}
        | {"withheld": record.message.withheld, "by": record.message.by}
        for record in model.answers
        if isinstance(record.message, RetrainAnswer | RetireAnswer | DecisionAnswer)
    ]
    return {"listed": listed, "answers": answers[::-1][:50]}


class Sender(Protocol):
    """Puts a request on a model's control topic."""

    def send(self, topic: str, message: Message, *, key: str) -> None:
        """Returns when brokers have it."""


class KafkaSender:
    """The sender on Kafka; its one producer is made when it is needed."""

    def __init__(self, kafka: Kafka, *, signer: Signer | None = None) -> None:
        self.kafka = kafka
        self.signer = signer
        self._producer: Producer | None = None
        self._lock = threading.Lock()

    def send(self, topic: str, message: Message, *, key: str) -> None:
        """As `Sender.send`.

        Raises:
            KafkaUnavailable: brokers do not take it in time.
        """
        failures: list[str] = []

        def delivered(error: KafkaError | None, _: object) -> None:
            if error is not None:
                failures.append(error.str())

        with self._lock:
            if self._producer is None:
                self._producer = publisher({**producer(self.kafka), "message.timeout.ms": int(1000 * SEND_S)})
            value = encode(message)
            signed = () if self.signer is None else self.signer.headers(value)
            headers: list[tuple[str, str | bytes | None]] = list(signed)
            self._producer.produce(
                topic, value, key, partition=CONTROL_PARTITION, on_delivery=delivered, headers=headers
            )
            left = self._producer.flush(SEND_S + 1)
        if left or failures:
            raise KafkaUnavailable(f"{topic}: {failures[0] if failures else 'no broker has taken it in time'}")
