"""Sections about what is learned, and how: the model, its scores, drift, retraining, shadows, and who may win."""

import re
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from config.sections import Seconds, Section


class ModelSpec(Section):
    """The model: a factory, or River steps.

    `steps = [{use = "preprocessing.StandardScaler"}, {use = "linear_model.LogisticRegression", l2 = 0.1}]`;
    wherever a parameter is a model or an optimizer, write a table with `use` again.
    """

    factory: str | None = Field(
        None, description="`module:function`, called without arguments; the module may lie beside the file"
    )
    steps: tuple[dict[str, Any], ...] | None = Field(
        None, description="River's classes by name, one table each: the last one answers, those before it prepare"
    )
    trusted: tuple[str, ...] = Field(
        (), description="classes outside River, `module:Class` or `module`, that checkpoints and artifacts may hold"
    )
    user: str = Field("user", description="of a recommender: the feature that holds the user")
    item: str = Field("item", description="the feature that holds the item")
    _given: bytes = PrivateAttr(b"")

    @property
    def given(self) -> bytes:
        """The model as bytes, where a program has one and no file says how it is made; else empty."""
        return self._given

    def giving(self, data: bytes) -> "ModelSpec":
        """The same, with the model as bytes."""
        given = self.model_copy()
        given._given = data
        return given

    @model_validator(mode="after")
    def _one_of_both(self) -> "ModelSpec":
        if (self.factory is None) == (self.steps is None):
            raise ValueError("write either `factory` or `steps`")
        return self


class ScoresSettings(Section):
    """What is measured on the predictions that were served, running and windowed."""

    metrics: tuple[str | dict[str, Any], ...] | None = Field(
        None, description="names in river.metrics, or tables with `use` and parameters; the task has a default"
    )
    window: int = Field(1000, ge=1, description="events of the windowed scores")


class Detector(Section):
    """A signal by the name of what makes it, and its parameters, which `detectors/catalogue.py` knows.

    A drift detector on the champion's error (`drift.ADWIN`, `drift.binary.DDM`, `sr.SRDetector` …), or `inputs`,
    `predictions`, `labels`, `threshold`, `schedule`, `volume`.
    """

    model_config = ConfigDict(frozen=True, extra="allow")
    use: str = Field(description="what makes the signal; all other keys are its parameters")

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters for the class."""
        return dict(self.model_extra or {})


def default_detectors() -> dict[str, Detector]:
    """ADWIN and Page-Hinkley, set to notice sooner than River's defaults at no more false alarms."""
    return {
        "adwin": Detector.model_validate({"use": "drift.ADWIN", "delta": 0.02}),
        "page_hinkley": Detector.model_validate(
            {"use": "drift.PageHinkley", "threshold": 25.0, "delta": 0.02, "alpha": 1.0}
        ),
    }


class AtLeast(Section):
    """So many different signals together: `when = { at_least = 2 }`."""

    at_least: int = Field(ge=1, description="different signals that must come together")


class TriggerSettings(Section):
    """When signals become the decision to retrain."""

    when: Literal["any", "all"] | AtLeast = Field("any", description="which signals together are a trigger")
    debounce_events: int = Field(500, ge=0, description="one signal a detector of the error in so many")
    within_events: int | None = Field(None, ge=0, description="signals that far apart count together; the debounce")
    cooldown_events: int | None = Field(None, ge=0, description="no trigger so soon after another; the debounce")
    cooldown: Seconds = Field(0.0, description="the same in event time")
    silence_events: int = Field(0, ge=0, description="a signal counts once; again only after so long a silence")
    per_day_max: int = Field(0, ge=0, description="triggers in a day of event time (UTC); 0 = no bound")
    dry_run: bool = Field(False, description="say what would be retrained, and do not")

    @property
    def together_events(self) -> int:
        """How far apart signals may come and count together."""
        return self.debounce_events if self.within_events is None else self.within_events

    @property
    def pause_events(self) -> int:
        """How long no further trigger follows one."""
        return self.debounce_events if self.cooldown_events is None else self.cooldown_events


class Recruit(Section):
    """A model that enters the arena on a trigger.

    `detector-window` and `last`: fresh, retrained on those events. `now`: fresh, begins at the next event. `warm`: a
    copy of the champion that learns the last N once more. `former`: the former champions that are kept, as they were.
    """

    on: Literal["detector-window", "last", "now", "warm", "former"] = Field("last", description="what it is made of")
    events: int = Field(1000, ge=1, description="N for `last` and `warm`; the least for `detector-window`")
    model: ModelSpec | None = Field(None, description="another model than the champion's")

    @model_validator(mode="after")
    def _copies_are_what_they_are(self) -> "Recruit":
        if self.model is not None and self.on in ("warm", "former"):
            raise ValueError(f'on = "{self.on}" is a copy of a champion; leave `model` out')
        return self


class Augment(Section):
    """What a retrained recruit learns besides the events themselves; drawn with the job's seed."""

    minority: float = Field(1.0, ge=1, le=100, description="how often an event of a rarer class is learned, on average")
    jitter: float = Field(0.0, ge=0, le=1, description="noise on the repeats' numbers, in standard deviations")


WHERE = frozenset({"executor", "processes_max", "fallback"})
"""Of the keys of `[retrain]`, those that say where a job is carried out, and not what comes of it."""


class RetrainSettings(Section):
    """What is recruited on a trigger, and within which bounds."""

    recruits: tuple[Recruit, ...] = Field(
        (
            Recruit(on="now"),
            Recruit(on="detector-window", events=30),
            Recruit(on="last", events=1000),
            Recruit(on="former"),
        ),
        description="the models that a trigger brings",
    )
    library_max: int = Field(3, ge=0, description="former champions that are kept")
    augment: Augment = Field(Augment(), description="what retrained recruits learn besides")
    history_max: int = Field(20_000, ge=1, description="accepted events a recruit may be trained on")
    gap_max: int = Field(20_000, ge=1, description="accepted events a retraining job may take")
    jobs_max: int = Field(2, ge=1, description="jobs under way at once; further triggers are reported only")
    admit_after_events: int = Field(200, ge=0, description="backtest and simulation: when a job counts as done")
    job_timeout: Seconds = Field(600.0, description="a retraining job that takes longer is ended, its waiting included")
    executor: str = Field(
        "processes",
        pattern=r"^(processes|topic|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$",
        description="who carries jobs out: `processes` of this machine; those who take them from a `topic`, as "
        "`anabranch train` does; or a concurrent.futures.Executor, which `module:function` makes: docs/RETRAINING.md",
    )
    processes_max: int | None = Field(
        None, ge=1, description="retraining processes at once, of all partitions that a process has; None = one a core"
    )
    fallback: bool = Field(
        True, description="a job that nobody else has carried out is tried once more by a process of this machine"
    )


class StandingSettings(Section):
    """A shadow that is always there."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,49}$", description="of the place")
    steps: tuple[dict[str, Any], ...] = Field(description="as in `model.steps`")
    restart_every: int = Field(0, ge=0, description="it restarts after so many events; 0 = never")
    reset_on_alarm: bool = Field(False, description="it restarts when ADWIN sees its own error rise")


Portfolio = Literal["cheap", "cheap+forest", "cheap-2", "cheap-2+forest", "cheap-1", "cheap-1+forest"]


class ShadowsSettings(Section):
    """The standing shadows: those that race beside the champion all the time."""

    portfolio: Portfolio | None = Field(
        None, description='several models that ship; with a number: as they, and what `serve = "auto"` does, once were'
    )
    standing: tuple[StandingSettings, ...] = Field((), description="models of your own, beside the portfolio's")
    budget: Annotated[float, Field(gt=0)] | Literal["auto", "unlimited"] = Field(
        "auto",
        description="time of all shadows, in times of the champion's; auto = as much as lets the learner keep up",
    )
    rest: bool = Field(False, description="one that has long been worse than another takes part in one of eight events")

    rhythm: int = Field(1, ge=1, le=10_000, description="events that shadows play at a time; 1 = each at once")
    processes: int = Field(0, ge=0, description="in which they play; 0 = in the learner's own; needs a `rhythm`")

    @model_validator(mode="after")
    def _each_name_once(self) -> "ShadowsSettings":
        names = [each.name for each in self.standing]
        if len(set(names)) < len(names):
            raise ValueError("two standing shadows have the same name")
        if "first" in names:
            raise ValueError("no standing shadow may be named `first`: that is the configured model's place")
        if self.processes and self.rhythm == 1:
            raise ValueError("processes play so many events at a time: set a rhythm, such as rhythm = 200")
        return self


class SegmentsSettings(Section):
    """A small champion of its own for each tenant, customer or station, beside the global one: docs/SEGMENTS.md.

    `by = "tenant"` names a feature whose values are the segments; `by = "@key"` takes the Kafka key of the event.
    """

    by: str | None = Field(
        None, min_length=1, description="the feature whose values are segments, or `@key`; None: there are none"
    )
    memory_max: int = Field(
        10_000, ge=1, description="models kept ready in memory; those not used for longest wait packed, then on disk"
    )
    packed_max: int = Field(
        1000,
        ge=1,
        description="packed models that wait in memory, and are written with each checkpoint; more go to disk",
    )
    min_events: int = Field(
        50, ge=1, description="labelled events that a segment's model has learned before it may compete"
    )
    refresh_events: int = Field(
        100, ge=1, description="a model that answers for its segment is announced again after so many of its labels"
    )
    model: ModelSpec | None = Field(None, description="another model than the champion's")

    @model_validator(mode="after")
    def _by_what(self) -> "SegmentsSettings":
        fields = type(self).model_fields.items()
        if self.by is None and any(getattr(self, name) != field.default for name, field in fields):
            raise ValueError('write `by`, a feature whose values are segments, or `by = "@key"` for the Kafka key')
        return self


class ArenaSettings(Section):
    """How shadows are compared with the champion, and when one wins."""

    loss: Literal["zero-one", "brier", "log", "absolute", "squared", "ndcg"] | None = Field(
        None,
        description="what members are compared by; usually zero-one for labels, absolute for numbers, ndcg for ranks",
    )
    evidence: Literal["shown", "off-policy"] = Field(
        "shown",
        description="of rankers: what a win is decided by, what was taken of the lists as they were shown, or what "
        "members' own lists would earn, where events bring a `propensity`",
    )
    min_gain: float = Field(0.0, ge=0, lt=1, description="a smaller gain in mean loss is not worth a swap")
    false_swap_every: float = Field(10_000.0, gt=1, description="events to a false swap between equals, on average")
    shadows_max: int = Field(8, ge=2, description="recruits and displaced champions; standing shadows come on top")
    contest_events: int = Field(5_000, ge=1, description="a recruit that has not won by then leaves")
    probation_events: int = Field(2_000, ge=0, description="how long the displaced champion can come back")


class RolloutSettings(Section):
    """How a new champion gets from its win to all users: `rollout = "canary"`, or this table."""

    kind: Literal["immediate", "canary", "blue-green", "ab", "manual"] = Field(
        "immediate",
        description="all keys at once; a share of them in steps; none, and then all at once; a share that stays; or "
        "none until `anabranch models approve`",
    )
    steps: tuple[Annotated[float, Field(ge=0, lt=100)], ...] | None = Field(
        None, min_length=1, description="percent of the keys before all of them; canary: [5, 25], ab: [50], others: [0]"
    )
    step_labels: int = Field(500, ge=1, description="labels that have to come at each step, at least")
    tolerance: float = Field(
        0.01, ge=0, lt=1, description="how much more mean loss than the displaced one's is no reason to stop"
    )
    slow: Seconds = Field(0.1, description="a follower's answer that takes longer is slow")
    false_withdrawal: float = Field(
        0.001,
        ge=0,
        lt=1,
        description="probability that one is withdrawn by what followers tell, though it fails and is slow no more "
        "often than the displaced one; 0: they are not heard",
    )

    @property
    def shares(self) -> tuple[float, ...]:
        """Percent of the keys, step by step."""
        return self.steps or {"canary": (5.0, 25.0), "ab": (50.0,)}.get(self.kind, (0.0,))

    @property
    def is_decided_by_people(self) -> bool:
        """Whether no evidence takes it further."""
        return self.kind in ("ab", "manual")

    @model_validator(mode="after")
    def _steps_grow(self) -> "RolloutSettings":
        if self.steps is not None and self.kind in ("immediate", "blue-green", "manual"):
            raise ValueError(f'`rollout.steps` is for canary and ab: kind = "{self.kind}" has none')
        if list(self.shares) != sorted(set(self.shares)):
            raise ValueError("`rollout.steps` has to grow, as in [5, 25]: all keys come after the last of them")
        return self


def _of_kind(value: object) -> object:
    return {"kind": value} if isinstance(value, str) else value


Rollout = Annotated[RolloutSettings, BeforeValidator(_of_kind)]


class Bound(NamedTuple):
    """A bound on a metric: `min_accuracy = 0.7` is that `accuracy` is at least 0.7."""

    key: str
    metric: str
    is_least: bool
    value: float

    def allows(self, measured: float) -> bool:
        """Whether it is satisfied. No comparison with NaN is true, so what cannot be measured satisfies nothing."""
        return measured >= self.value if self.is_least else measured <= self.value


class FairnessSettings(Section):
    """Groups of people or things: how each is served, and how far they lie apart.

    `sensitive = ["age", "country"]` and `bands = { age = [30, 45, 60] }`: see docs/FAIRNESS.md.
    """

    sensitive: tuple[str, ...] = Field(
        (), description="features whose values are groups; models may be kept from seeing them by `features.drop`"
    )
    bands: dict[str, tuple[Annotated[float, Field(allow_inf_nan=False)], ...]] = Field(
        {}, description="by feature, where a number is cut into groups; each cut belongs to the band above it"
    )
    groups_max: int = Field(20, ge=2, le=100, description="groups by each feature; those that come later are `other`")
    window: int = Field(
        10_000, ge=100, description="labels after which counting begins again; the last full count is kept beside it"
    )

    @model_validator(mode="after")
    def _bands_grow(self) -> "FairnessSettings":
        if len(set(self.sensitive)) < len(self.sensitive):
            raise ValueError("`fairness.sensitive` names a feature twice")
        for feature, edges in self.bands.items():
            if not edges or list(edges) != sorted(set(edges)):
                raise ValueError(f"`fairness.bands.{feature}` has to grow, as in [30, 45, 60]")
        return self


class ConstraintsSettings(Section):
    """What a winner must satisfy before it goes live: `min_accuracy = 0.7`, `max_mae = 12.0` …"""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, Annotated[float, Field(allow_inf_nan=False)]]
    window: int = Field(1000, ge=1, description="events over which they are measured, at most")
    finite: bool = Field(True, description="no NaN in its state, and finite answers to the canary rows")
    max_artifact_bytes: int | None = Field(None, ge=1, description="of its bytes")
    max_predict_us: float | None = Field(None, gt=0, description="of its measured time for a prediction, microseconds")
    group: str | tuple[str, ...] | None = Field(
        None,
        description="a feature or several whose values are groups of people or things; `fairness.bands` cut them",
    )
    group_metric: Literal["accuracy", "demographic-parity", "equal-opportunity", "equalized-odds"] = Field(
        "accuracy", description="what groups are compared by: docs/FAIRNESS.md; `positive-rate` is demographic-parity"
    )
    max_group_gap_widening: float = Field(
        0.05, ge=0, le=1, description="how much wider than the champion's its gap between groups may be"
    )

    @field_validator("group_metric", mode="before")
    @classmethod
    def _of_its_name(cls, value: object) -> object:
        """What it was called before there were several is read, too."""
        return "demographic-parity" if value == "positive-rate" else value

    @property
    def groups(self) -> tuple[str, ...]:
        """The features whose values are groups."""
        return (self.group,) if isinstance(self.group, str) else self.group or ()

    @property
    def bounds(self) -> tuple[Bound, ...]:
        """The absolute bounds on metrics, `min_…` and `max_…`, in the order of their keys."""
        several = sorted((self.model_extra or {}).items())
        return tuple(Bound(key, key[len("min_") :], key.startswith("min_"), value) for key, value in several)

    @model_validator(mode="after")
    def _named_min_or_max(self) -> "ConstraintsSettings":
        for name in self.model_extra or {}:
            if not re.fullmatch(r"(min|max)_[a-z0-9_]+", name):
                raise ValueError(f"`{name}`: write min_ or max_ and the name of a metric, as in min_accuracy")
        return self
