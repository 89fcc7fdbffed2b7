"""What an owner tells of changes, chained: the records wait for the checkpoint that holds them, as updates do.

The head of the chain lies in the checkpoint, and its name with the committed offsets; so whoever goes on after a crash
or a takeover continues the chain, and what is told once more is the same byte for byte.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from mypy_extensions import mypyc_attr

from anabranch.chain import Head, digest
from anabranch.messages import (
    Act,
    AuditKind,
    AuditRecord,
    DecisionAnswer,
    ModelUpdate,
    RetireAnswer,
    RetrainAnswer,
    encode,
)
from anabranch.scope import Scope
from config import envelope
from config.settings import Settings
from consumers.telling import Ports, Telling

NOT_THE_LEARNERS = ("kafka", "alerts", "dashboard", "metrics", "score", "name")
"""Sections that change nothing of what a learner does, or hold what must not be guessed from a digest."""


class AuditWriter:
    """The chain of one model.

    Attributes:
        known: the head that the newest checkpoint names, whose state may be lost.
        pending: what is to be published, as values; what no checkpoint holds yet, not before the next commit.
        committed: how many of these a committed checkpoint holds.
        process: who has the model.
        ended: whether that process has given it up by itself.
        key: id of the key that signs.
        sections: digests of the configuration's sections.
        holds: what was held by a person's word.
        version: of the last announcement.
    """

    def __init__(self, model: str, scope: Scope) -> None:
        self.model = model
        self.scope = scope
        self.head = self.known = Head()
        self.pending: list[bytes] = []
        self.committed = 0
        self.process, self.key, self.holds = "", "", ""
        self.ended = False
        self.sections: dict[str, str] = {}
        self.version = 0

    def record(self, kind: AuditKind, **told: Any) -> None:
        """One more change; `told` are the other keys of `AuditRecord`."""
        number = self.head.number + 1
        record = AuditRecord(
            id=f"{self.scope.within(self.model, '/')}/{number}",
            number=number,
            follows=self.head.digest,
            model=self.model,
            scope=str(self.scope),
            kind=kind,
            **told,
        )
        value = encode(record)
        self.head = Head(number, digest(value))
        self.pending.append(value)

    # ── for checkpoints ─────────────────────────────────────────────────────────────────────────────────────────

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "head": tuple(self.head),
            "pending": list(self.pending),
            "process": self.process,
            "ended": self.ended,
            "key": self.key,
            "sections": dict(self.sections),
            "holds": self.holds,
            "version": self.version,
        }

    def restore(self, state: Mapping[str, Any] | None) -> None:
        """Go on from a checkpoint; None: it is of before there was a chain."""
        if state is None:
            return
        # Of the parent of a checkpoint that is lost: what that one has told is not told again under its numbers.
        self.head, self.pending = max(Head(*state["head"]), self.known), list(state["pending"])
        self.committed = len(self.pending)
        self.process, self.ended, self.key = state["process"], state["ended"], state["key"]
        self.sections, self.holds, self.version = dict(state["sections"]), state["holds"], state["version"]


def sections_of(settings: Settings) -> dict[str, str]:
    """A digest of each section of the configuration that a learner goes by."""
    told = settings.model_dump(mode="json", exclude=set(NOT_THE_LEARNERS))
    return {
        name: hashlib.sha256(orjson.dumps(section, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
        for name, section in told.items()
    }


def whole(sections: Mapping[str, str]) -> str:
    """One digest of them all."""
    return hashlib.sha256(orjson.dumps(sections, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16] if sections else ""


Answer = RetrainAnswer | RetireAnswer | DecisionAnswer
NOTHING_HELD = "nothing is held"


@mypyc_attr(allow_interpreted_subclasses=True)
class Auditing(Telling):
    """Whoever has one model and records what changes of it.

    Args:
        scope: "global", or "p3" for the model of partition 3.
        listener: is shown every message right after it was sent.
    """

    def __init__(self, settings: Settings, *, scope: Scope, ports: Ports, listener: Callable[[Any], None]) -> None:
        super().__init__(settings, scope=scope, ports=ports, listener=listener)
        self.audit = AuditWriter(settings.name, scope)
        self.envelope = envelope.digest(settings)

    def _record(self, kind: AuditKind, *, why: str, before: str, after: str, who: str = "", **more: Any) -> None:
        self.audit.record(
            kind,
            ts=self.ports.clock.time_s(),
            who=who or f"the learner {self.ports.process}".rstrip(),
            why=why,
            before=before,
            after=after,
            version=self.lane.version,
            epoch=self.epoch,
            seq=self.seq,
            event_number=self.lane.events,
            positions=self._by_name(),
            envelope=self.envelope,
            **more,
        )

    # ── what is recorded ────────────────────────────────────────────────────────────────────────────────────────

    def _record_start(self, why: str) -> None:
        """A process has gained the model; and what it goes by, where that is another than before."""
        audit, process = self.audit, self.ports.process
        sections, key = sections_of(self.settings), self.ports.signer.id if self.ports.signer else ""
        if not audit.head.number or audit.process != process:
            before = audit.process and f"{audit.process}, {'which had ended' if audit.ended else 'which had not ended'}"
            self._record("start", why=why, before=before, after=process, details=self._goes_by(sections, key))
        if audit.sections and audit.sections != sections:
            changed = [name for name in sections if sections[name] != audit.sections.get(name)]
            self._record(
                "configuration",
                why=f"another configuration: {', '.join(changed)}",
                before=whole(audit.sections),
                after=whole(sections),
            )
        if audit.sections and audit.key != key:
            self._record("key", why="updates are signed by another key", before=audit.key, after=key)
        audit.process, audit.ended, audit.key, audit.sections = process, False, key, sections

    def _goes_by(self, sections: Mapping[str, str], key: str) -> dict[str, str]:
        """What the first record of a chain says of how it begins."""
        if self.audit.head.number:
            return {}
        told = {"configuration": whole(sections), "key": key, "envelope": envelope.canonical(self.settings).decode()}
        return {name: text for name, text in told.items() if text}

    def _record_promotion(self, update: ModelUpdate) -> None:
        """A version is announced by the next commit, or the model retired."""
        artifact = {} if update.artifact is None else {"sha256": update.artifact.sha256}
        self._record(
            "promotion",
            who=update.by,
            why=update.reason,
            before=f"version {self.audit.version}" if self.audit.version else "none",
            after=f"version {update.version}" if update.artifact else "none: retired",
            details={"kind": update.kind, "member": update.member, **artifact, **_share(update)},
        )
        self.audit.version = update.version if update.artifact else 0

    def _send(self, message: Any) -> None:
        """On the topic that it goes to; an answer to a person is a change, or that there was none."""
        super()._send(message)
        if isinstance(message, Answer):
            self._record_answer(message)

    def _record_answer(self, message: Answer) -> None:
        before, self.audit.holds = self.audit.holds or NOTHING_HELD, self._held()
        asked, step = (message.reason, "retrain") if isinstance(message, RetrainAnswer) else (message.why, message.step)
        self._record(
            "request",
            who=message.by or "somebody",
            why=asked,
            before=before,
            after=self.audit.holds,
            done=message.accepted,
            request=message.request,
            details={"step": step, **({"withheld": message.withheld} if message.withheld else {})},
        )

    def _held(self) -> str:
        """What is held by a person's word."""
        retired = [f"retired: {self.retired.reason}"] if self.retired is not None else []
        return "; ".join([*self.lane.succession.holds, *retired]) or NOTHING_HELD

    def _record_act(self, told: Act, refusal: str) -> None:
        """What somebody says to have done beside the learner."""
        withheld = {"withheld": refusal} if refusal else {}
        self._record(
            "act",
            who=told.by or "somebody",
            why=told.why,
            before="",
            after=told.what,
            done=not refusal,
            request=told.id,
            details={"act": told.act, **withheld},
        )

    def _publish_audit(self) -> None:
        """What was recorded before the last commit, and nothing after it; signed as it goes out."""
        topic, signer, audit = self.settings.topics.name("audit"), self.ports.signer, self.audit
        committed = audit.pending[: audit.committed]
        for value in committed:
            headers = () if signer is None else signer.headers(value)
            self.ports.sink.send(topic, key=self.scope.within(self.settings.name, "/"), value=value, headers=headers)
        if committed:
            self.ports.sink.flush()
        audit.pending, audit.committed = audit.pending[len(committed) :], 0


def _share(update: ModelUpdate) -> dict[str, str]:
    """For which keys a canary answers, and who for the others."""
    return {} if update.share is None else {"share": f"{update.share:g}", "beside": str(update.beside)}
