"""What learners and followers tell, as messages made by hand; and a picture with something of everything."""

from typing import Any

from anabranch.messages import (
    Alert,
    ArtifactPointer,
    CheckpointPause,
    Coverage,
    CoverageAt,
    DeadLetter,
    DetectorReport,
    DriftSignal,
    FairnessReport,
    FeatureReport,
    GapReport,
    GroupReport,
    LabelBalanceReport,
    LabelShare,
    LabelsReport,
    MemberReport,
    Message,
    ModelAck,
    ModelReport,
    ModelUpdate,
    PublishedReport,
    SegmentsReport,
    ServedGroup,
    Transition,
    Verdict,
)
from operations.picture import Picture, Record

NOW_S = 1_000_000.0
POINTER = ArtifactPointer(
    topic="model-artifacts", partition=0, first_offset=0, last_offset=0, chunks=1, sha256="0" * 64, size_bytes=4096
)


def report(number: int, **told: Any) -> ModelReport:
    """A report after so many events; what is not said is healthy."""
    plain: dict[str, Any] = {
        "id": f"m/0/{number}/report",
        "model": "m",
        "version": 1,
        "event_number": number,
        "partition": 0,
        "offset": number,
        "event_ts": NOW_S,
        "scores": {"accuracy": 0.9},
        "windowed": {"accuracy": 0.9},
        "members": (MemberReport(name="first", kind="champion", loss=0.1),),
        "unread": 0,
    }
    return ModelReport(**{**plain, **told})


def update(version: int, *, kind: str = "swap", at_s: float = NOW_S, **told: Any) -> ModelUpdate:
    """An announcement."""
    plain: dict[str, Any] = {
        "model": "m",
        "version": version,
        "kind": kind,
        "epoch": 1,
        "seq": version,
        "event_number": 100 * version,
        "partition": 0,
        "offset": 100 * version,
        "event_ts": at_s,
        "announced_ts": at_s,
        "reason": "it is better",
        "member": f"r{version}",
        "artifact": None if kind == "retired" else POINTER,
        "river": "0.26.1",
        "python": "3.11",
        "numpy": "2.3",
    }
    return ModelUpdate(**{**plain, **told})


def signal(offset: int, *, triggered: bool = True, **told: Any) -> DriftSignal:
    """ADWIN has fired."""
    plain: dict[str, Any] = {
        "id": f"m/0/{offset}/adwin",
        "model": "m",
        "detector": "adwin",
        "partition": 0,
        "offset": offset,
        "event_number": offset + 1,
        "statistic": 0.2,
        "threshold": 0.1,
        "change_point": 1,
        "window_events": offset,
        "triggered": triggered,
    }
    return DriftSignal(**{**plain, **told})


def ack(follower: str, version: int, *, ts: float = NOW_S, **told: Any) -> ModelAck:
    """A follower serves a version."""
    return ModelAck(follower=follower, model="m", version=version, epoch=1, seq=version, ts=ts, **told)


def letter(offset: int, *, stage: Any = "schema") -> DeadLetter:
    """A record was refused."""
    return DeadLetter(
        id=f"m/events/0/{offset}",
        topic="events",
        partition=0,
        offset=offset,
        stage=stage,
        reason="no id",
        value_base64="",
        value_bytes=0,
    )


def alert(offset: int, *, kind: Any = "answers", **told: Any) -> Alert:
    """The learner asks somebody to look."""
    return Alert(
        id=f"m/0/{offset}/alert/{kind}",
        model="m",
        kind=kind,
        reason="look at it",
        event_number=offset,
        positions={},
        **told,
    )


def step(offset: int, *, before: Any = "recruiting", after: Any = "arena", member: str = "r1") -> Transition:
    """A member of the arena has taken a step."""
    return Transition(
        id=f"m/0/{offset}/{member}/{after}",
        model="m",
        member=member,
        before=before,
        after=after,
        reason="it is time",
        event_number=offset,
        partition=0,
        offset=offset,
        event_ts=NOW_S,
    )


def verdict(evidence: float) -> Verdict:
    """Of a shadow in its trial."""
    return Verdict(events=100, gain_events=50, gain=0.01, low=0.0, high=0.02, evidence=evidence)


def fairness(number: int) -> FairnessReport:
    """Two groups by age after so many events; their gap grows sure."""
    groups = (
        ServedGroup(
            group="under 30", events=2 * number, selection_rate=0.1, tpr=0.4, fpr=0.05, precision=0.5, accuracy=0.9,
            said=0.12, came=0.11,
        ),
        ServedGroup(
            group="60 and over", events=number, selection_rate=0.3, tpr=0.7, fpr=0.15, accuracy=0.8, said=0.3, came=0.2
        ),
    )  # fmt: skip
    apart = {"most": "60 and over", "least": "under 30"}
    gaps = (
        GapReport(
            criterion="demographic-parity", difference=0.2, low=0.2 - 30 / (number + 200), high=0.2 + 30 / number,
            ratio=1 / 3, ratio_low=0.2, ratio_high=0.5, **apart,
        ),
        GapReport(criterion="equal-opportunity", difference=0.3, low=0.0, high=0.3 + 60 / number, **apart),
    )  # fmt: skip
    return FairnessReport(feature="age", missing=3, groups=groups, gaps=gaps)


def full_report(number: int, **told: Any) -> ModelReport:
    """A report with all that there can be in one."""
    coverage = Coverage(
        by_age=(CoverageAt(age_s=60.0, asked=100, share=0.5), CoverageAt(age_s=3600.0, asked=80, share=0.97)),
        mature_age_s=3000.0,
        mature_loss=0.1,
        young_loss=0.2,
        mature_positives=0.3,
        young_positives=0.4,
    )
    everything: dict[str, Any] = {
        "members": (
            MemberReport(name="first", kind="champion", loss=0.2),
            MemberReport(name="r1", kind="recruit", loss=0.15, verdict=verdict(0.3)),
            MemberReport(name="r2", kind="recruit", loss=0.12, verdict=verdict(0.7)),
        ),
        "published": PublishedReport(version=1, events=10, age_s=5.0, lost=0.01, evidence=0.1),
        "pending": 40,
        "labels": LabelsReport(waiting=40, oldest_s=120.0, early=2, endings={"labelled": 60}, coverage=coverage),
        "jobs": 1,
        "checkpoint_pause_s": CheckpointPause(last=0.02, largest=0.05),
        "unusable": {"not a number": 3},
        "detectors": (
            DetectorReport(name="adwin", kind="error", statistic=0.05, threshold=0.1),
            DetectorReport(name="inputs", kind="input", statistic=0.04, threshold=0.01, fires_below=True),
            DetectorReport(name="young", kind="error"),
        ),
        "features": (
            FeatureReport(
                feature="amount",
                psi=0.31,
                events=500,
                before=(0.5, 0.5),
                now=(0.2, 0.8),
                missing_before=0.0,
                missing=0.0,
            ),
        ),
        "groups": (
            GroupReport(group="a", events=100, rate=0.9),
            GroupReport(group="b", events=100, rate=0.7),
        ),
        "fairness": (fairness(number),),
        "balance": LabelBalanceReport(
            events_before=500,
            events=500,
            effect=0.2,
            shares=(LabelShare(label="false", before=0.9, now=0.83), LabelShare(label="true", before=0.1, now=0.17)),
            furthest="true",
        ),
        "segments": SegmentsReport(
            by="tenant", models=12, ready=10, serving=3, swapped_in=4, swapped_out=1, answered=200, gain=0.05
        ),
        "unread": 250,
        "records_per_s": 80.0,
    }
    return report(number, **{**everything, **told})


def heard(*told: tuple[float, Message], picture: Picture | None = None) -> Picture:
    """A picture of messages, each with the brokers' time of its record."""
    picture = Picture() if picture is None else picture
    for number, (at_s, message) in enumerate(told):
        # Updates are told apart by their place.
        offset = message.offset if isinstance(message, ModelUpdate) else number
        picture.hear(Record(at_s, message.goes_to, 0, offset, message))
    return picture


def everything() -> Picture:
    """A picture with something of all that can be told."""
    picture = heard(
        (NOW_S - 300, update(1, kind="first", at_s=NOW_S - 300)),
        (NOW_S - 100, signal(120)),
        (NOW_S - 90, step(130)),
        (NOW_S - 60, update(2, at_s=NOW_S - 60, trigger="m/0/120/adwin")),
        (NOW_S - 50, alert(210)),
        (NOW_S - 40, letter(220)),
        (NOW_S - 20, ack("one", 2, ts=NOW_S - 20, taken_s=0.03)),
        (NOW_S - 200, ack("two", 1, ts=NOW_S - 200)),
        (NOW_S - 20, full_report(290, unusable={"not a number": 1})),
        (NOW_S - 10, full_report(300)),
    )
    picture.unreadable["model-reports"] += 1
    return picture
