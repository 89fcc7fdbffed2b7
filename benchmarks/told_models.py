"""Models that never were: what their learners would tell over hours, for benchmarks and tests of what is made of it."""

import math
import random
from collections.abc import Iterator
from typing import NamedTuple

from anabranch.messages import (
    Alert,
    ArtifactPointer,
    CalibrationBin,
    Coverage,
    CoverageAt,
    DeadLetter,
    DetectorReport,
    DriftSignal,
    FeatureReport,
    GroupReport,
    LabelBalanceReport,
    LabelShare,
    LabelsReport,
    MemberReport,
    Message,
    ModelAck,
    ModelReport,
    ModelUpdate,
    MovedFeature,
    PublishedReport,
    RetrainAnswer,
    TimeWindow,
    TrainedOn,
    Transition,
    Verdict,
)

DRIFT_EVERY_S = 1_800.0
"""The world changes so often; then the error jumps, a recruit competes, and wins."""
FIRES_S, ENTERS_S, WINS_S = 120.0, 180.0, 420.0
"""So long after a change a detector fires, a recruit enters, and it wins."""
EVENTS_PER_S = 20
FEATURES = ("amount", "hour", "merchant", "distance")


class Told(NamedTuple):
    """A message, when it was told, and the key in `[topics]` of where."""

    at_s: float
    key: str
    message: Message


class ToldModel:
    """One model's messages.

    Args:
        began_s: when its learner was started, epoch seconds.
    """

    def __init__(self, name: str, *, began_s: float, seed: int = 1) -> None:
        self.name, self.began_s = name, began_s
        self.random = random.Random(seed)
        self.version = 0

    def between(self, start_s: float, end_s: float, *, interval_s: float) -> Iterator[Told]:
        """Everything of some time, in order."""
        at_s = start_s
        while at_s < end_s:
            yield from self._happenings(at_s, interval_s)
            yield Told(at_s, "reports", self.report(at_s, interval_s))
            at_s += interval_s

    def _phase(self, at_s: float) -> float:
        """Seconds since the last change of the world."""
        return (at_s - self.began_s) % DRIFT_EVERY_S

    def _number(self, at_s: float) -> int:
        return max(1, int((at_s - self.began_s) * EVENTS_PER_S))

    def _place(self, at_s: float) -> dict[str, float]:
        number = self._number(at_s)
        return {"event_number": number, "partition": 0, "offset": number + 100, "event_ts": at_s}

    def _loss(self, at_s: float) -> float:
        since = self._phase(at_s)
        is_changed = at_s - self.began_s > DRIFT_EVERY_S and since < WINS_S
        wave = 0.01 * math.sin(at_s / 300)
        return max(0.01, (0.26 if is_changed else 0.12) + wave + self.random.gauss(0, 0.006))

    # ── what happens now and then ───────────────────────────────────────────────────────────────────────────────

    def _happenings(self, at_s: float, interval_s: float) -> Iterator[Told]:
        since, before = self._phase(at_s), self._phase(at_s) - interval_s
        if self.version == 0:
            self.version = 1
            yield Told(at_s, "updates", self._update(at_s, "first"))
        if at_s - self.began_s < DRIFT_EVERY_S:
            return
        signal = f"{self.name}/0/{int(at_s - since)}/signal"
        if before < FIRES_S <= since:
            yield Told(at_s, "signals", self._signal(at_s, signal))
        if before < ENTERS_S <= since:
            yield Told(at_s, "lifecycle", self.step(at_s, "recruiting", "arena", f"recruited on {signal}"))
            yield Told(at_s, "dead_letters", self._letter(at_s))
        if before < WINS_S <= since:
            self.version += 1
            yield Told(at_s, "lifecycle", self.step(at_s, "arena", "serving", "it is better: evidence 1.02"))
            yield Told(at_s, "updates", self._update(at_s, "swap", trigger=signal))
            yield Told(at_s, "acks", self._ack(at_s))

    def _recruit(self, at_s: float) -> str:
        return f"r{int((at_s - self.began_s) // DRIFT_EVERY_S)}"

    def _signal(self, at_s: float, named: str) -> DriftSignal:
        number = self._number(at_s)
        moved = MovedFeature(
            feature="amount",
            test="psi",
            statistic=0.41,
            threshold=0.25,
            p_value=0.001,
            before={"mean": 41.0, "sd": 12.0},
            after={"mean": 58.0, "sd": 19.0},
        )
        return DriftSignal(
            id=named,
            model=self.name,
            detector="adwin",
            partition=0,
            offset=number + 100,
            event_number=number,
            statistic=0.14,
            threshold=0.09,
            change_point=number - int(FIRES_S * EVENTS_PER_S),
            window_events=int(FIRES_S * EVENTS_PER_S),
            triggered=True,
            moved=(moved,),
        )

    def step(self, at_s: float, before: str, after: str, reason: str) -> Transition:
        """A step of the recruit of that time."""
        member = self._recruit(at_s)
        named = f"{self.name}/0/{int(at_s)}/{member}/{after}"
        told = {"id": named, "model": self.name, "member": member, "before": before, "after": after, "reason": reason}
        return Transition.model_validate(told | self._place(at_s))

    def _letter(self, at_s: float) -> DeadLetter:
        offset = self._number(at_s)
        return DeadLetter(
            id=f"{self.name}/events/0/{offset}",
            topic="events",
            partition=0,
            offset=offset,
            stage="schema",
            reason="features.amount: a number is expected, found 'n/a'",
            value_base64="eyJpZCI6ICJhIiwgImZlYXR1cmVzIjogeyJhbW91bnQiOiAibi9hIn19",
            value_bytes=42,
        )

    def _update(self, at_s: float, kind: str, *, trigger: str = "") -> ModelUpdate:
        is_swap = kind == "swap"
        told = {
            "model": self.name,
            "version": self.version,
            "kind": kind,
            "epoch": 1,
            "seq": self.version,
            "announced_ts": at_s,
            "reason": "the recruit has proved better" if is_swap else "the warm-up is over",
            "member": self._recruit(at_s) if is_swap else "first",
            "displaced_version": self.version - 1 if is_swap else None,
            "parent": None,
            "trigger": trigger,
            "trained_on": TrainedOn(events=4_800 if is_swap else 200),
            "verdict": self._verdict(1.02) if is_swap else None,
            "constraints": {"max_predict_us": 41.0} if is_swap else {},
            "scores": {"accuracy": 0.87},
            "artifact": ArtifactPointer(
                topic="model-artifacts",
                partition=0,
                first_offset=self.version,
                last_offset=self.version,
                chunks=1,
                sha256="0" * 64,
                size_bytes=18_200,
            ),
            "river": "0.26.1",
            "python": "3.11",
            "numpy": "2.3",
        }
        return ModelUpdate.model_validate(told | self._place(at_s))

    def _ack(self, at_s: float) -> ModelAck:
        return ModelAck(
            follower="scorer-1:71",
            model=self.name,
            version=self.version,
            epoch=1,
            seq=self.version,
            ts=at_s + 0.4,
            taken_s=0.31,
        )

    def alert(self, at_s: float) -> Alert:
        """That somebody should look at it."""
        return Alert(
            id=f"{self.name}/{int(at_s)}/alert",
            model=self.name,
            kind="unlabelled",
            reason="no label has come for 2,000 events: see that labels are published",
            event_number=self._number(at_s),
            positions={"events/0": self._number(at_s)},
        )

    def answer(self, at_s: float, request: str) -> RetrainAnswer:
        """That a retraining has begun."""
        return RetrainAnswer(
            id=f"{self.name}/{request}/answer",
            model=self.name,
            request=request,
            event_number=self._number(at_s),
            accepted=True,
            reason="new tariffs since Monday",
            by="ana",
        )

    # ── the report ──────────────────────────────────────────────────────────────────────────────────────────────

    def _verdict(self, evidence: float) -> Verdict:
        return Verdict(events=2_400, gain_events=1_900, gain=0.081, low=0.012, high=0.15, evidence=evidence)

    def report(self, at_s: float, interval_s: float) -> ModelReport:
        """How it does, with all that a learner can tell."""
        since, loss = self._phase(at_s), self._loss(at_s)
        competes = at_s - self.began_s > DRIFT_EVERY_S and ENTERS_S <= since < WINS_S
        evidence = (since - ENTERS_S) / (WINS_S - ENTERS_S)
        recruit = MemberReport(
            name=self._recruit(at_s), kind="recruit", loss=max(0.05, loss - 0.09), verdict=self._verdict(evidence)
        )
        members = (MemberReport(name="first", kind="champion", loss=loss), *((recruit,) if competes else ()))
        fired = min(1.1, 0.2 + since / FIRES_S * 0.9) if at_s - self.began_s > DRIFT_EVERY_S and since < WINS_S else 0.2
        number = self._number(at_s)
        told = {
            "id": f"{self.name}/0/{number}/report",
            "model": self.name,
            "version": self.version,
            "scores": {"accuracy": 0.872},
            "windowed": {"accuracy": 1 - loss, "f1": 0.9 - loss},
            "members": members,
            "published": PublishedReport(
                version=self.version, events=int(since * EVENTS_PER_S), age_s=since, lost=0.004, evidence=0.2
            ),
            "pending": 120 + int(20 * math.sin(at_s / 60)),
            "labels": self._labels(),
            "detectors": (
                DetectorReport(name="adwin", kind="error", statistic=0.09 * fired, threshold=0.09),
                DetectorReport(
                    name="amounts", kind="input", statistic=0.2 / max(0.2, fired), threshold=0.05
                ).model_copy(update={"fires_below": True}),
                DetectorReport(name="nightly", kind="schedule"),
            ),
            "windows": tuple(self._windows(at_s, interval_s)),
            "features": tuple(self._feature(name, at_s) for name in FEATURES),
            "groups": (
                GroupReport(group="north", events=812, rate=0.88),
                GroupReport(group="south", events=388, rate=0.86),
            ),
            "balance": self._balance(at_s),
            "unread": max(0, int(40 + 30 * math.sin(at_s / 45))),
            "records_per_s": EVENTS_PER_S + self.random.gauss(0, 0.7),
        }
        return ModelReport.model_validate(told | self._place(at_s))

    def _balance(self, at_s: float) -> LabelBalanceReport:
        positive = 0.06 + 0.02 * math.sin(at_s / 1_200)
        shares = (("false", 0.94, 1 - positive), ("true", 0.06, positive))
        return LabelBalanceReport(
            events_before=500,
            events=500,
            effect=2 * abs(math.asin(math.sqrt(positive)) - math.asin(math.sqrt(0.06))),
            shares=tuple(LabelShare(label=name, before=before, now=now) for name, before, now in shares),
            furthest="true",
        )

    def _labels(self) -> LabelsReport:
        ages = ((60.0, 0.21), (600.0, 0.58), (3_600.0, 0.83), (86_400.0, 0.96))
        coverage = Coverage(
            by_age=tuple(CoverageAt(age_s=age, asked=9_000, share=share) for age, share in ages),
            mature_age_s=64_000.0,
            mature_loss=0.131,
            young_loss=0.122,
            mature_positives=0.06,
            young_positives=0.11,
        )
        endings = {"labelled": 8_200, "default": 310}
        return LabelsReport(waiting=120, oldest_s=3_900.0, early=2, endings=endings, coverage=coverage)

    def _windows(self, at_s: float, interval_s: float) -> Iterator[TimeWindow]:
        for span, size in (("minute", 60.0), ("hour", 3_600.0), ("day", 86_400.0)):
            start = at_s // size * size
            if start > at_s - interval_s and start - size >= self.began_s - size / 2:
                accuracy = 0.88 - 0.05 * (math.sin(start / 9_000) > 0.6)
                bins = [
                    CalibrationBin(events=90 - 8 * n, said=n / 10 + 0.05, came=min(1, n / 9 + 0.03)) for n in range(10)
                ]
                told = {"span": span, "start": start - size, "events": int(size * EVENTS_PER_S)}
                told |= {"scores": {"accuracy": accuracy}, "calibration": () if span == "minute" else tuple(bins)}
                yield TimeWindow.model_validate(told)

    def _feature(self, name: str, at_s: float) -> FeatureReport:
        since = self._phase(at_s)
        shift = min(1.0, since / 600) if name == "amount" and at_s - self.began_s > DRIFT_EVERY_S else 0.05
        if name == "merchant":
            before, now = (0.5, 0.3, 0.15, 0.05), (0.44, 0.31, 0.15, 0.1)
            return FeatureReport(
                feature=name,
                psi=0.04,
                events=900,
                categories=("grocer", "fuel", "travel"),
                before=before,
                now=now,
                missing_before=0.0,
                missing=0.01,
                unseen=0.004,
            )
        before = tuple(_bell(n, 4.5) for n in range(10))
        now = tuple(_bell(n, 4.5 + 2.5 * shift) for n in range(10))
        psi = sum((b - a) * math.log(b / a) for a, b in zip(before, now, strict=True))
        edges = tuple(float(10 * n) for n in range(1, 10))
        return FeatureReport(
            feature=name,
            psi=psi,
            events=900,
            edges=edges,
            before=before,
            now=now,
            missing_before=0.01,
            missing=0.02,
            importance=0.03,
        )


def _bell(n: int, middle: float) -> float:
    weights = [math.exp(-((each - middle) ** 2) / 6) for each in range(10)]
    return max(1e-4, weights[n] / sum(weights))
