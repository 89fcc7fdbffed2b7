"""The configuration: one TOML file, validated; environment variables `ANABRANCH__SECTION__KEY` override it."""

import re
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import ConfigDict, Field, PrivateAttr, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from config.alerts import AlertsSettings
from config.sections import Seconds, Section

Task = Literal["binary", "multiclass", "regression", "reco"]


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


class Topics(Section):
    """Names of the topics; `prefix` goes before each."""

    prefix: str = Field("", description="goes before the name of each topic")
    events: str = Field("events", description="what is learned")
    labels: str = Field("labels", description="labels that come after their events (`labels.late`)")
    examples: str = Field("model-examples", description="what was learned: events as they were asked, and labels")
    updates: str = Field("model-updates", description="every announced champion")
    artifacts: str = Field("model-artifacts", description="the bytes of the announced models, in chunks")
    signals: str = Field("drift-signals", description="what the detectors have noticed")
    reports: str = Field("model-reports", description="scores and counts, every `publish.report_events`")
    lifecycle: str = Field("model-lifecycle", description="each step in the life of a model")
    alerts: str = Field("model-alerts", description="what a person should look at")
    control: str = Field("model-control", description="requests of `anabranch retrain`")
    answers: str = Field("model-answers", description="what became of each request")
    learned: str = Field("model-learned", description="the order in which records were learned")
    acks: str = Field("model-acks", description="which follower serves which version")
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
        None, description="whether what was learned is told on `topics.examples`; None = where labels are late"
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
    job_timeout: Seconds = Field(600.0, description="a retraining process that takes longer is ended")


class StandingSettings(Section):
    """A shadow that is always there."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,49}$", description="of the place")
    steps: tuple[dict[str, Any], ...] = Field(description="as in `model.steps`")
    restart_every: int = Field(0, ge=0, description="it restarts after so many events; 0 = never")
    reset_on_alarm: bool = Field(False, description="it restarts when ADWIN sees its own error rise")


Portfolio = Literal["cheap", "cheap+forest", "cheap-1", "cheap-1+forest"]


class ShadowsSettings(Section):
    """The standing shadows: those that race beside the champion all the time."""

    portfolio: Portfolio | None = Field(
        None, description="several models that ship; with -1: as they were when there were no later editions"
    )
    standing: tuple[StandingSettings, ...] = Field((), description="models of your own, beside the portfolio's")
    budget: float | None = Field(None, gt=0, description="time of all shadows, in times of the champion's; None = any")

    @model_validator(mode="after")
    def _each_name_once(self) -> "ShadowsSettings":
        names = [each.name for each in self.standing]
        if len(set(names)) < len(names):
            raise ValueError("two standing shadows have the same name")
        if "first" in names:
            raise ValueError("no standing shadow may be named `first`: that is the configured model's place")
        return self


class ArenaSettings(Section):
    """How shadows are compared with the champion, and when one wins."""

    loss: Literal["zero-one", "brier", "log", "absolute", "squared"] | None = Field(
        None, description="what members are compared by; without it zero-one for labels, absolute for numbers"
    )
    min_gain: float = Field(0.0, ge=0, lt=1, description="a smaller gain in mean loss is not worth a swap")
    false_swap_every: float = Field(10_000.0, gt=1, description="events to a false swap between equals, on average")
    shadows_max: int = Field(8, ge=2, description="recruits and displaced champions; standing shadows come on top")
    contest_events: int = Field(5_000, ge=1, description="a recruit that has not won by then leaves")
    probation_events: int = Field(2_000, ge=0, description="how long the displaced champion can come back")


class Bound(NamedTuple):
    """A bound on a metric: `min_accuracy = 0.7` is that `accuracy` is at least 0.7."""

    key: str
    metric: str
    is_least: bool
    value: float

    def allows(self, measured: float) -> bool:
        """Whether it is satisfied. No comparison with NaN is true, so what cannot be measured satisfies nothing."""
        return measured >= self.value if self.is_least else measured <= self.value


class ConstraintsSettings(Section):
    """What a winner must satisfy before it goes live: `min_accuracy = 0.7`, `max_mae = 12.0` …"""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, Annotated[float, Field(allow_inf_nan=False)]]
    window: int = Field(1000, ge=1, description="events over which they are measured, at most")
    finite: bool = Field(True, description="no NaN in its state, and finite answers to the canary rows")
    max_artifact_bytes: int | None = Field(None, ge=1, description="of its bytes")
    max_predict_us: float | None = Field(None, gt=0, description="of its measured time for a prediction, microseconds")
    group: str | None = Field(None, description="a feature whose values are groups of people or things")
    group_metric: Literal["accuracy", "positive-rate"] = Field("accuracy", description="what groups are compared by")
    max_group_gap_widening: float = Field(
        0.05, ge=0, le=1, description="how much wider than the champion's its gap between groups may be"
    )

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


class Publish(Section):
    """When the champion is announced besides at swaps, and with which signature."""

    key: str | None = Field(
        None,
        description="file of the private key that signs updates (`anabranch keys new`); without it they are unsigned",
    )
    warm_up_events: int = Field(200, ge=1, description="accepted events before the first champion is announced")
    refresh_level: float = Field(
        100.0,
        ge=0,
        description="evidence that followers lose by their copy at which it is announced again; 0 = not asked",
    )
    refresh_gap: int | None = Field(
        None, ge=0, description="accepted events between two such announcements; None = 0, and 50 above 100 kB"
    )
    refresh_events: int = Field(10_000, ge=0, description="announce at the latest after so many; 0 = never")
    refresh_interval: float = Field(0.0, ge=0, description="and after so many seconds of event time; 0 = never")
    bytes_per_s: int = Field(
        1_000_000,
        ge=0,
        description="of models, on average, a second of event time: a refresh waits until it fits; 0 = no bound",
    )
    blocks: int = Field(
        0, ge=0, description="learn and announce so many events at a time; between, members are as they were announced"
    )
    report_events: int = Field(2_000, ge=1, description="accepted events between two reports")
    report_interval: Seconds = Field(10.0, description="and so often by the clock, without them too; 0 = never")
    versions_kept: int = Field(100, ge=2, description="whose bytes stay on the artifacts' topic")
    predictions: bool = Field(
        False,
        description="tell on `model-predictions` what the champion answered to each event when it was asked",
    )
    canary_rows: int = Field(
        8, ge=1, le=100, description="of events whose predictions go with a model, for followers to check it by"
    )


class Checkpoint(Section):
    """Where and when the state is kept."""

    store: str = Field("checkpoints", description="a folder, file:///folder, or s3://bucket/prefix with [s3]")
    every_events: int = Field(50_000, ge=1, description="records between two checkpoints, at most")
    every: Seconds = Field(10.0, description="time between two checkpoints, at most, while records come")
    keep: int = Field(5, ge=2, description="blobs kept")


class Score(Section):
    """How `anabranch score` answers. Of several models in a process the first file's host, limits and tokens count."""

    host: str = Field("127.0.0.1", description="where it listens")
    port: int = Field(8080, ge=0, le=65535, description="the port; 0 = any that is free")
    tokens: tuple[SecretStr, ...] = Field(
        (), description="bearer tokens, one of which a request has to bring; () = everybody may ask"
    )
    concurrency_max: int = Field(64, ge=1, description="requests at once; those beyond are answered 429 at once")
    body_max_bytes: int = Field(1_000_000, ge=1, description="a longer request is answered 413")
    rows_max: int = Field(1_000, ge=1, description="events in one request, at most")
    timeout: Seconds = Field(10.0, description="in which a request has to be here, as a whole")
    trusted_keys: tuple[str, ...] | None = Field(
        None,
        description="public keys (`anabranch keys show`), one of which has signed every model; for `learn --from` too",
    )
    acks: bool = Field(True, description="tell on `model-acks` which version it serves: see `anabranch followers`")
    predictions: bool = Field(False, description="answer each event of the events topic, too, on `model-predictions`")
    predictions_start: Literal["latest", "earliest"] = Field(
        "latest", description="where that begins, for a group that has answered nothing yet"
    )
    max_age: Seconds | None = Field(
        None, description="an older model answers nothing; let `publish.refresh_interval` be shorter"
    )
    min_version: int = Field(0, ge=0, description="a version before it answers nothing")
    learn_along: bool = Field(
        False, description="learn along with the learner, and answer by the model that it has now"
    )


class MetricsSettings(Section):
    """Where `anabranch learn` answers Prometheus; the scorer does on its own port. See docs/METRICS.md."""

    host: str = Field("127.0.0.1", description="where it listens")
    port: int | None = Field(None, ge=0, le=65535, description="the port; 0 = any that is free; None = not at all")


class Dashboard(Section):
    """What `anabranch dashboard` shows, where, and to whom. Of several models in a process the first file's counts."""

    host: str = Field("127.0.0.1", description="where it listens")
    port: int = Field(8090, ge=0, le=65535, description="the port; 0 = any that is free")
    tokens: tuple[SecretStr, ...] = Field((), description="one of which a reader has to enter; () = everybody may look")
    action_tokens: tuple[SecretStr, ...] = Field(
        (), description="one of which a person has to enter for each action; () = nobody can do anything from the page"
    )
    origins: tuple[str, ...] = Field(
        (), description="addresses under which browsers know it besides its own, as `https://models.example.org`"
    )
    history: Seconds = Field(86_400.0, description="how far back it begins to read the topics")
    records_max: int = Field(1_000_000, ge=1, description="that it reads of a partition's backlog, the newest")
    clients_max: int = Field(200, ge=1, description="pages that are open at once")
    queue_max: int = Field(64, ge=1, description="messages that wait for a page; one that is slower begins anew")


_OURS = {
    "enable.auto.commit": "commits go with checkpoints",
    "enable.auto.offset.store": "commits go with checkpoints",
    "auto.offset.reset": "write `start` at the top of the file instead",
    "isolation.level": "only committed records are read",
    "group.protocol": "ownership relies on static members of the classic protocol",
    "partition.assignment.strategy": "write `assignment` at the top of the file instead",
    "enable.partition.eof": "it tells the learner where the log ends",
    "group.id": "it is made from `name`",
    "enable.idempotence": "the producer is always idempotent",
}


def _sharing(spec: ModelSpec, shared: dict[str, Any]) -> ModelSpec:
    own = {name: value for name, value in shared.items() if name == "trusted" or name not in spec.model_fields_set}
    return spec.model_copy(update=own)


class Settings(BaseSettings):
    """The whole configuration of one model."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="ANABRANCH__",
        env_nested_delimiter="__",
        protected_namespaces=(),
    )

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$", description="of the model")
    task: Task = Field(description="what is predicted: one of two classes, of several, a number, or a rating")
    positive: str | None = Field(None, description="the positive class of string labels (binary)")
    seed: int = Field(1, description="of everything random: models that take a seed and were given none, detectors")
    scope: Literal["global", "partition"] = Field(
        "global", description="one model of all partitions, or one of each, spread over processes"
    )
    assignment: Literal["range", "cooperative-sticky"] = Field(
        "range", description='how processes share the partitions, with scope = "partition"'
    )
    start: Literal["earliest", "latest"] = Field("earliest", description="where the very first start begins")
    model: ModelSpec = Field(description="the model")
    kafka: dict[str, str | int | float | bool] = Field({}, description="passed to librdkafka as it stands")
    topics: Topics = Topics()
    guard: GuardSettings = GuardSettings()
    pending_max: int = Field(1_000_000, ge=1, description="events that wait for their label, at most")
    labels: LabelsSettings = LabelsSettings()
    serve: Literal["auto", "champion", "blend"] = Field(
        "auto",
        description="what answers: the champion; a blend of it and the standing shadows, weighted by how they answered "
        "lately; or the blend where labels come more than 50 events late and there are standing shadows",
    )
    scores: ScoresSettings = ScoresSettings()
    detectors: dict[str, Detector] = Field(
        default_factory=default_detectors, description="signals by name; if the file has no such table, these two"
    )
    trigger: TriggerSettings = TriggerSettings()
    retrain: RetrainSettings = RetrainSettings()
    shadows: ShadowsSettings = ShadowsSettings()
    arena: ArenaSettings = ArenaSettings()
    constraints: ConstraintsSettings = ConstraintsSettings()
    publish: Publish = Publish()
    checkpoint: Checkpoint = Checkpoint()
    score: Score = Score()
    metrics: MetricsSettings = MetricsSettings()
    alerts: AlertsSettings = AlertsSettings()
    dashboard: Dashboard = Dashboard()

    @field_validator("kafka")
    @classmethod
    def _not_ours(cls, value: dict[str, object]) -> dict[str, object]:
        for key in value:
            if key in _OURS:
                raise ValueError(f"`{key}` is not yours to set: {_OURS[key]}")
        return value

    @property
    def numeric(self) -> bool:
        """Whether labels are numbers: what a recommender predicts is one, too."""
        return self.task in ("regression", "reco")

    @property
    def measured_as(self) -> str:
        """The task whose metrics fit: a recommender is measured as a regressor is."""
        return "regression" if self.numeric else self.task

    @model_validator(mode="after")
    def _only_classes_are_rare(self) -> "Settings":
        if self.numeric and self.retrain.augment.minority > 1:
            raise ValueError(f'`retrain.augment.minority` is for classes, and there are none with task = "{self.task}"')
        return self

    @model_validator(mode="after")
    def _blends_have_members(self) -> "Settings":
        if self.serve != "blend":
            return self
        if self.numeric:
            raise ValueError(f'`serve = "blend"` is for classes, and there are none with task = "{self.task}"')
        if not (self.shadows.portfolio or self.shadows.standing):
            raise ValueError('`serve = "blend"` needs standing shadows: `shadows.portfolio` or `shadows.standing`')
        if self.publish.blocks:
            raise ValueError(
                '`serve = "blend"` and `publish.blocks` do not go together: the weights move with each label'
            )
        return self

    @model_validator(mode="after")
    def _sharing_is_for_partitions(self) -> "Settings":
        if self.scope == "global" and self.assignment != "range":
            raise ValueError('`assignment` is for scope = "partition": a global model has one owner')
        if self.scope == "global" and "group.instance.id" in self.kafka:
            raise ValueError(
                "kafka: `group.instance.id` is not yours to set: it is made from `name`, so that a newcomer takes over"
            )
        return self

    @model_validator(mode="after")
    def _positive_rate_is_for_binary(self) -> "Settings":
        if self.constraints.group_metric == "positive-rate" and self.task != "binary":
            raise ValueError(f'`constraints.group_metric = "positive-rate"` is for task = "binary", not "{self.task}"')
        return self

    @model_validator(mode="after")
    def _labels_can_be_put_together(self) -> "Settings":
        several = self.labels.several
        if (several in ("sum", "mean") and not self.numeric) or (several == "max" and self.task == "multiclass"):
            raise ValueError(
                f'`labels.several = "{several}"` is for numbers, and labels of task = "{self.task}" are none'
            )
        return self

    @model_validator(mode="after")
    def _models_share(self) -> "Settings":
        """All members lie in one checkpoint and see the same events: what is trusted, who is user, what is the item."""
        others = [each.model for each in self.retrain.recruits if each.model is not None]
        trusted = tuple(dict.fromkeys(name for spec in (self.model, *others) for name in spec.trusted))
        shared = {"user": self.model.user, "item": self.model.item, "trusted": trusted}
        recruits = tuple(
            each if each.model is None else each.model_copy(update={"model": _sharing(each.model, shared)})
            for each in self.retrain.recruits
        )
        object.__setattr__(self, "model", self.model.model_copy(update={"trusted": trusted}))
        object.__setattr__(self, "retrain", self.retrain.model_copy(update={"recruits": recruits}))
        return self

    @model_validator(mode="after")
    def _positive_is_for_binary(self) -> "Settings":
        if self.positive is not None and self.task != "binary":
            raise ValueError(f'`positive` is for task = "binary", not "{self.task}"')
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment goes before the file (which comes in as arguments)."""
        return env_settings, init_settings
