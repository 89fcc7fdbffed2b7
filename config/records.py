"""Sections about what comes in: the topics, what an event may be, and labels that come later."""

from typing import Literal

from pydantic import Field, model_validator

from config.sections import Seconds, Section


class Topics(Section):
    """Names of the topics; `prefix` goes before each."""

    prefix: str = Field("", description="goes before the name of each topic")
    events: str = Field("events", description="what is learned")
    labels: str = Field("labels", description="labels that come after their events (`labels.late`)")
    examples: str = Field("model-examples", description="what was learned: events as they were asked, and labels")
    updates: str = Field("model-updates", description="every announced champion")
    segments: str = Field("model-segments", description="the models that answer for their segments ([segments])")
    artifacts: str = Field("model-artifacts", description="the bytes of the announced models, in chunks")
    signals: str = Field("drift-signals", description="what the detectors have noticed")
    reports: str = Field("model-reports", description="scores and counts, every `publish.report_events`")
    lifecycle: str = Field("model-lifecycle", description="each step in the life of a model")
    alerts: str = Field("model-alerts", description="what a person should look at")
    control: str = Field("model-control", description="requests of `anabranch retrain`")
    answers: str = Field("model-answers", description="what became of each request")
    audit: str = Field("model-audit", description="each change of a model: who, when, why, before and after")
    learned: str = Field("model-learned", description="the order in which records were learned")
    acks: str = Field("model-acks", description="which follower serves which version")
    train_jobs: str = Field("train-jobs", description="retraining jobs for workers (`retrain.executor`)")
    train_results: str = Field("train-results", description="what workers have trained, in chunks as artifacts are")
    predictions: str = Field(
        "model-predictions",
        description="what scorers and learners answered (`score.`, `publish.predictions`)",
    )
    dead_letters: str = Field("dead-letters", description="what could not be learned, with the reason")
    partitions: int = Field(4, ge=1, description="of `events`, when Anabranch creates it")
    replication: int = Field(1, ge=1, description="of the topics that Anabranch creates")

    def name(self, which: str) -> str:
        """The full name of the topic that the field `which` names."""
        return self.prefix + str(getattr(self, which))


TOPICS = tuple(name for name in Topics.model_fields if name not in ("prefix", "partitions", "replication"))
"""All topics that a system reads or writes, by their keys in `[topics]`."""


class GuardSettings(Section):
    """What an event may be. Anything beyond goes to dead-letters."""

    features_max: int = Field(1000, ge=1, description="features of an event")
    event_max_bytes: int = Field(262_144, ge=64, description="bytes of an event")
    string_max: int = Field(1024, ge=1, description="characters of a string feature, an id or a label")
    shapes_max: int = Field(10_000, ge=1, description="distinct feature names over the model's life")
    classes_max: int = Field(1000, ge=2, description="distinct labels over the model's life")
    dedup_window: int = Field(30_000, ge=0, description="how many of the last ids are remembered, at least")
    ts_ahead_max: Seconds = Field(86_400.0, description="how far `ts` may lie after the broker's timestamp")
    ts_behind_max: Seconds = Field(100 * 365.25 * 86_400.0, description="how far before it")
    poison_max: int = Field(10, ge=1, description="events in a row on which the model may raise before learning stops")
    dead_letter_max_bytes: int = Field(16_384, ge=0, description="of a refused record that are kept")


class ControlSettings(Section):
    """Who may ask a learner for something, as `anabranch retrain`, `retire` and `models` do: see docs/ROLLOUT.md."""

    trusted_keys: tuple[str, ...] | None = Field(
        None,
        description="public keys (`anabranch keys show`), one of which has signed each request; others are refused, "
        "and so is a copy of one. None = whoever may write to the topic may ask",
    )
    envelope: Literal["told", "approved"] = Field(
        "told",
        description="a configuration with another change envelope than before (`anabranch models envelope`): it is "
        "told, or nothing is swapped by itself until a person approves it",
    )
    max_age: Seconds = Field(86_400.0, description="with `trusted_keys`: an older request is refused when it is heard")
    audit_retention: Seconds = Field(
        400 * 86_400.0, description="how long the topic of the audit keeps its records, when Anabranch creates it"
    )
    key: str | None = Field(
        None,
        description="file of the private key that signs what is asked with this file, by commands and the dashboard",
    )


class FreezeSettings(Section):
    """When learning stops by itself, until a person lets it go on (`anabranch models thaw`): docs/RUNBOOK.md."""

    label_shift: float | None = Field(
        None,
        gt=0,
        description="labels have moved further than this from how they were when the champion began: Cohen's h of the "
        "label that moved most, of numbers Cohen's d; chance alone stays below .4. None = never",
    )
    label_rate: float | None = Field(
        None,
        gt=1,
        description="so many times more labels, or fewer, came for each of the last 500 events than is usual. "
        "None = never",
    )

    @property
    def watches(self) -> bool:
        """Whether anything is watched."""
        return self.label_shift is not None or self.label_rate is not None


class LabelsSettings(Section):
    """Labels that come after their events, and what becomes of events whose label never comes."""

    late: bool = Field(False, description="labels come on a topic of their own, `topics.labels`, too")
    horizon: Seconds | None = Field(
        None, description="how long an event waits for its label, in event time; None = until there is no room"
    )
    default: bool | int | float | str | None = Field(
        None,
        description="the label of an event that has none by the horizon; None = it is neither scored nor learned",
    )
    learn_default: bool = Field(True, description="whether such a label is learned, or only scored")
    several: Literal["first", "last", "sum", "max", "mean"] = Field(
        "first", description="of several labels of an event: the first, or what is made of all by the horizon"
    )
    corrections: Literal["refused", "learned"] = Field(
        "refused", description="a later revision of a label that was learned"
    )
    memory_max: int = Field(
        2000, ge=0, description="waiting events that each checkpoint holds; those beyond lie beside it in its store"
    )
    early: Seconds = Field(7 * 86_400.0, description="how long a label waits for its event, in event time")
    early_max: int = Field(100_000, ge=0, description="labels that wait for their event")
    examples: bool | None = Field(
        None,
        description="whether what was learned is told on `topics.examples`; None = where labels are late, or "
        "features are computed",
    )

    @property
    def tells_examples(self) -> bool:
        """Whether what was learned is told, and retraining reads it there."""
        return self.late if self.examples is None else self.examples

    @model_validator(mode="after")
    def _the_horizon_is_there(self) -> "LabelsSettings":
        needing = {"default": self.default is not None, f'several = "{self.several}"': self.several != "first"}
        for key, is_given in needing.items():
            if is_given and self.horizon is None:
                raise ValueError(f"`labels.{key}` says what happens at the horizon: set `labels.horizon`, as in 45d")
        if self.several != "first" and self.corrections == "learned":
            raise ValueError(
                '`labels.several` waits for all labels until the horizon: leave out `corrections = "learned"`'
            )
        return self
