"""The configuration: one TOML file, validated; environment variables `ANABRANCH__SECTION__KEY` override it."""

import math
from collections.abc import Iterable
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from anabranch.groups import Grouping
from anabranch.privacy import Edge
from anabranch.rolling import KEY
from config.alerts import AlertsSettings
from config.features import Computed, FeaturesSettings, MemorySettings
from config.learning import (
    ArenaSettings,
    ConstraintsSettings,
    Detector,
    FairnessSettings,
    ModelSpec,
    RetrainSettings,
    Rollout,
    RolloutSettings,
    ScoresSettings,
    SegmentsSettings,
    ShadowsSettings,
    TriggerSettings,
    default_detectors,
)
from config.output import Checkpoint, Dashboard, MetricsSettings, Publish, Score
from config.privacy import PrivacySettings
from config.records import ControlSettings, FreezeSettings, GuardSettings, LabelsSettings, Topics

Task = Literal["binary", "multiclass", "regression", "reco", "rank"]

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
    task: Task = Field(description="what is predicted: one of two classes, of several, a number, a rating, or a rank")
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
    control: ControlSettings = ControlSettings()
    guard: GuardSettings = GuardSettings()
    privacy: PrivacySettings = PrivacySettings()
    pending_max: int = Field(1_000_000, ge=1, description="events that wait for their label, at most")
    labels: LabelsSettings = LabelsSettings()
    freeze: FreezeSettings = FreezeSettings()
    features: FeaturesSettings = FeaturesSettings()
    memory: MemorySettings = MemorySettings()
    serve: Literal["auto", "champion", "blend"] = Field(
        "auto",
        description="what answers: the champion; a blend of it and the standing shadows, weighted by how they answered "
        "lately; auto: of classes the blend with a portfolio, or where there are standing shadows and labels come more "
        "than 50 events late; of numbers the blend where champions of a portfolio take turns",
    )
    scores: ScoresSettings = ScoresSettings()
    detectors: dict[str, Detector] = Field(
        default_factory=default_detectors, description="signals by name; if the file has no such table, these two"
    )
    trigger: TriggerSettings = TriggerSettings()
    retrain: RetrainSettings = RetrainSettings()
    shadows: ShadowsSettings = ShadowsSettings()
    arena: ArenaSettings = ArenaSettings()
    segments: SegmentsSettings = SegmentsSettings()
    constraints: ConstraintsSettings = ConstraintsSettings()
    fairness: FairnessSettings = FairnessSettings()
    rollout: Rollout = RolloutSettings()
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
        """Whether labels are numbers: what a recommender predicts is one, too, and so is what a take weighs."""
        return self.task in ("regression", "reco", "rank")

    @property
    def measured_as(self) -> str:
        """The task whose metrics fit: a recommender is measured as a regressor is."""
        return "regression" if self.numeric and self.task != "rank" else self.task

    def groupings(self, features: Iterable[str]) -> tuple[Grouping, ...]:
        """The groups by each of these features, in the bands that are configured."""
        return tuple(Grouping(each, edges=self.fairness.bands.get(each, ())) for each in features)

    @property
    def learns_pseudonyms(self) -> bool:
        """Whether the model knows pseudonyms, which no event on its topic holds."""
        return bool(self.privacy.users or (self.privacy.key and self.computed.by_key))

    @property
    def computed(self) -> Computed:
        """The features that the lane computes itself, and what models do not see."""
        return Computed(self.features, self.memory)

    @property
    def edge(self) -> Edge:
        """What becomes of an event as it enters."""
        privacy, groups = self.privacy, (*self.constraints.groups, *self.fairness.sensitive)
        return Edge(hidden=privacy.hidden, users=privacy.users, key=privacy.key, groups=groups)

    @model_validator(mode="after")
    def _what_is_hidden_is_not_needed(self) -> "Settings":
        hidden, users = set(self.privacy.hidden), set(self.privacy.users)
        rules = [(f"features.rules, {rule.name!r}", (rule.by, rule.of)) for rule in self.features.rules]
        known = {"model.user": self.model.user, "model.item": self.model.item} if self.task in ("reco", "rank") else {}
        by = ("segments.by", (self.segments.by,))
        needing = [*rules, ("memory.key", (self.memory.key,)), by, *((key, (name,)) for key, name in known.items())]
        for where, names in needing:
            if needed := hidden & set(names):
                raise ValueError(
                    f"`privacy.hidden` names {min(needed)!r}, which `{where}` needs: leave it out of one, or let it "
                    "become a pseudonym (`privacy.users`)"
                )
        if known.get("model.item") in users:
            raise ValueError("`privacy.users` names `model.item`: what is recommended has to be known by its name")
        if self.score.learn_along and self.learns_pseudonyms:
            raise ValueError(
                "`score.learn_along` reads events as producers wrote them, and the model knows pseudonyms: leave out "
                "one of it and `privacy.users` (or of `privacy.pseudonyms` and features by `@key`)"
            )
        return self

    @model_validator(mode="after")
    def _what_is_computed_is_told(self) -> "Settings":
        """Retraining and followers cannot compute it again of a part of the log: they read what was learned."""
        if not self.computed.any:
            return self
        names = {self.model.user, self.model.item}
        if self.task in ("reco", "rank") and (self.memory.labels or names & set(self.features.drop)):
            raise ValueError(
                f'task = "{self.task}" sees its user and its item, and no earlier labels: see [memory], [features]'
            )
        rates = [rule.name for rule in self.features.rules if rule.what == "positive_rate"]
        if rates and self.task != "binary":
            raise ValueError(
                f'`features.rules`: {rates[0]!r} is a positive_rate, for task = "binary", not "{self.task}"'
            )
        if self.labels.examples is False:
            raise ValueError(
                "`labels.examples = false` does not go with [features] and [memory]: retraining reads what was learned "
                "with the features of then; leave it out"
            )
        object.__setattr__(self, "labels", self.labels.model_copy(update={"examples": True}))
        return self

    @model_validator(mode="after")
    def _only_classes_are_rare(self) -> "Settings":
        if self.numeric and self.retrain.augment.minority > 1:
            raise ValueError(f'`retrain.augment.minority` is for classes, and there are none with task = "{self.task}"')
        return self

    @model_validator(mode="after")
    def _rounds_have_answers_in_time(self) -> "Settings":
        """What shadows answer is known a round later, and is not timed: whatever needs either at once cannot be."""
        if self.shadows.rhythm == 1:
            return self
        unfit = {
            f'task = "{self.task}"': self.task != "binary",
            "`labels.late`, `labels.horizon`": self.labels.late or self.labels.horizon is not None,
            "`publish.blocks`": self.publish.blocks,
            'serve = "blend"': self.serve == "blend",
            "[rollout]": self.rollout.kind != "immediate",
            "a number as `shadows.budget`": isinstance(self.shadows.budget, float),
            "`shadows.rest`": self.shadows.rest,
            "`constraints.max_predict_us`": self.constraints.max_predict_us is not None,
        }
        if found := [what for what, is_so in unfit.items() if is_so]:
            raise ValueError(
                f"`shadows.rhythm` does not go with {found[0]}: it is for two classes and labels that come with their "
                "events, and shadows' answers are known a round later and not timed; leave one of them out"
            )
        return self

    @model_validator(mode="after")
    def _blends_have_members(self) -> "Settings":
        if self.serve != "blend":
            return self
        if self.task == "rank":
            raise ValueError('`serve = "blend"` is for classes and numbers, and task = "rank" has neither')
        if not (self.shadows.portfolio or self.shadows.standing):
            raise ValueError('`serve = "blend"` needs standing shadows: `shadows.portfolio` or `shadows.standing`')
        if self.publish.blocks:
            raise ValueError(
                '`serve = "blend"` and `publish.blocks` do not go together: the weights move with each label'
            )
        return self

    @model_validator(mode="after")
    def _segments_go_with_the_rest(self) -> "Settings":
        """What would be half supported is refused; each with what to do."""
        by = self.segments.by
        if by is None:
            return self
        if self.task in ("rank", "reco"):
            raise ValueError(
                f'`segments.by` is for classes and numbers, and task = "{self.task}" knows its users itself'
            )
        blends = self.serve == "blend" or (
            self.serve == "auto" and bool(self.shadows.portfolio or self.shadows.standing)
        )
        pseudonyms = by in self.privacy.users or (by == KEY and self.privacy.key)
        champion = 'a segment\'s model is compared with the champion, and not with a blend: set `serve = "champion"`'
        faults = (
            (blends, f"`serve`: {champion}"),
            (self.publish.blocks, "`publish.blocks`: segments learn each event at once: leave one of both out"),
            (self.rollout.kind != "immediate", "`rollout`: shares of keys are of champions: leave one of both out"),
            (self.memory.labels, "`memory.labels`: a segment's model sees no earlier labels: leave one of both out"),
            (pseudonyms, "pseudonyms: followers are asked with the value itself: choose a feature that is none"),
        )
        if fault := next((fault for holds, fault in faults if holds), ""):
            raise ValueError(f"`segments.by` does not go with {fault}")
        return self

    @model_validator(mode="after")
    def _rollouts_have_somebody_to_go_back_to(self) -> "Settings":
        if self.rollout.kind == "immediate":
            return self
        if not self.arena.probation_events:
            raise ValueError(
                f'`rollout = "{self.rollout.kind}"` needs the displaced champion: set `arena.probation_events` above 0'
            )
        if self.serve == "blend":
            raise ValueError(f'`rollout = "{self.rollout.kind}"` is of champions: set `serve = "champion"`')
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
    def _rates_are_for_binary(self) -> "Settings":
        metric = self.constraints.group_metric
        if metric != "accuracy" and self.task != "binary":
            raise ValueError(f'`constraints.group_metric = "{metric}"` is for task = "binary", not "{self.task}"')
        return self

    @model_validator(mode="after")
    def _groups_are_of_what_is_scored(self) -> "Settings":
        if self.fairness.sensitive and self.task == "rank":
            raise ValueError(
                '`fairness.sensitive` compares how labels are predicted, and task = "rank" puts items in order'
            )
        named = {*self.fairness.sensitive, *self.constraints.groups}
        if unused := [feature for feature in self.fairness.bands if feature not in named]:
            raise ValueError(
                f"`fairness.bands.{unused[0]}` cuts a feature that is no group: name it in `fairness.sensitive`, "
                "or in `constraints.group`"
            )
        return self

    @model_validator(mode="after")
    def _lists_are_of_rankers(self) -> "Settings":
        if self.arena.evidence == "off-policy" and self.task != "rank":
            raise ValueError(
                f'`arena.evidence = "off-policy"` compares lists of items, and task = "{self.task}" makes none'
            )
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
        of_segments = self.segments.model
        others = [each.model for each in self.retrain.recruits if each.model is not None]
        others += [] if of_segments is None else [of_segments]
        trusted = tuple(dict.fromkeys(name for spec in (self.model, *others) for name in spec.trusted))
        shared = {"user": self.model.user, "item": self.model.item, "trusted": trusted}
        recruits = tuple(
            each if each.model is None else each.model_copy(update={"model": _sharing(each.model, shared)})
            for each in self.retrain.recruits
        )
        object.__setattr__(self, "model", self.model.model_copy(update={"trusted": trusted}))
        object.__setattr__(self, "retrain", self.retrain.model_copy(update={"recruits": recruits}))
        if of_segments is not None:
            shares = {"model": _sharing(of_segments, shared)}
            object.__setattr__(self, "segments", self.segments.model_copy(update=shares))
        return self

    @model_validator(mode="after")
    def _positive_is_for_binary(self) -> "Settings":
        if self.positive is not None and self.task != "binary":
            raise ValueError(f'`positive` is for task = "binary", not "{self.task}"')
        return self

    @model_validator(mode="after")
    def _default_is_a_label(self) -> "Settings":
        default = self.labels.default
        if default is not None and not self._reads(default):
            like = {"binary": "true or false" if self.positive is None else "a string, as `positive` is"}
            like |= {"multiclass": "a string, an integer or a boolean"}
            raise ValueError(
                f'`labels.default` is {default!r}; a label of task = "{self.task}" is {like.get(self.task, "a number")}'
            )
        return self

    def _reads(self, label: bool | float | str) -> bool:
        """Whether a record with such a label would be taken."""
        if self.numeric:
            return isinstance(label, int | float) and type(label) is not bool and math.isfinite(label)
        if self.task == "multiclass":
            return type(label) is not float or label.is_integer()
        return type(label) is str if self.positive is not None else type(label) is not str and label in (0, 1)

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
