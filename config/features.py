"""Sections about features that the lane computes itself: of the events before, and of the last known labels."""

from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from anabranch import memory, rolling
from config.sections import Seconds, Section

_OF = ("sum", "mean", "distinct", "ewma")


class FeatureRule(Section):
    """A feature that is computed of the events of the same entity before: `{name, what, of, by, over}`."""

    name: str = Field(min_length=1, max_length=200, description="of the new feature")
    what: Literal["count", "sum", "mean", "distinct", "since_last", "ewma", "positive_rate"] = Field(
        description="how many events; sum, mean or different values of a feature; seconds since the event before; a "
        "decaying mean; the share of positive ones among the labels that have become known"
    )
    of: str | None = Field(None, description="the feature that is summed up, for sum, mean, distinct and ewma")
    by: str = Field(
        min_length=1, description="the feature that holds the entity, or `@key`: the Kafka key of the record"
    )
    over: Seconds | None = Field(
        None, description="window of event time, as in 7d; of an ewma its half-life; not for since_last"
    )

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> "FeatureRule":
        if (self.of is not None) != (self.what in _OF):
            raise ValueError(
                f'what = "{self.what}" needs `of`, the feature whose values count'
                if self.of is None
                else f'what = "{self.what}" counts no values: leave out `of`'
            )
        if (self.over is None) != (self.what == "since_last"):
            raise ValueError(
                f'what = "{self.what}" needs `over`, a window of event time as in 7d'
                if self.over is None
                else 'what = "since_last" looks back to the event before, however long ago: leave out `over`'
            )
        if self.over is not None and self.over <= 0:
            raise ValueError("`over` must be longer than 0 s, as in 7d")
        if self.name.startswith("@"):
            raise ValueError("`name` must not begin with @: such names are Anabranch's own")
        return self

    @property
    def rule(self) -> rolling.Rule:
        """As it is computed by."""
        return rolling.Rule(self.name, self.what, self.by, of=self.of or "", over_s=self.over or 0.0)


class FeaturesSettings(Section):
    """Features that the lane computes of earlier events when an event is asked; and what models never see."""

    keys_max: int = Field(
        100_000, ge=1, description="entities that are remembered by each `by`; the least recently seen go first"
    )
    published_max_bytes: int = Field(
        1_000_000,
        ge=0,
        description="of what features and memory are computed of, so much goes out with a model at most, for followers "
        "that compute them; if it is more, they are only told the names",
    )
    drop: tuple[str, ...] = Field((), description="features that no model sees: those that only serve as keys")
    rules: tuple[FeatureRule, ...] = Field((), description="the features, a table each: `[[features.rules]]`")

    @model_validator(mode="after")
    def _each_name_once(self) -> "FeaturesSettings":
        names = [rule.name for rule in self.rules]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"two rules make a feature {twice!r}: give each a name of its own")
        for rule in self.rules:
            if {rule.by, rule.of} & set(names):
                raise ValueError(f"rule {rule.name!r} builds on another rule: `by` and `of` are features of events")
        if hidden := set(names) & set(self.drop):
            raise ValueError(f"`drop` names {min(hidden)!r}, which a rule makes: leave out one of both")
        return self


class MemorySettings(Section):
    """The last known labels as features of the next event, for the members that are made for it."""

    labels: int = Field(0, ge=0, le=100, description="how many; 0: none are remembered")
    key: str | None = Field(
        None, description="the feature that holds the entity whose labels they are, or `@key`; None: of all events"
    )
    keys_max: int = Field(100_000, ge=1, description="entities that are remembered; the least recently seen go first")

    @model_validator(mode="after")
    def _labels_are_remembered(self) -> "MemorySettings":
        if self.key is not None and not self.labels:
            raise ValueError("`memory.key` is set, and no labels are remembered: write `labels = 3`")
        return self


class Computed(NamedTuple):
    """What both sections come to: which names are taken, and what models do not see."""

    features: FeaturesSettings
    memory: MemorySettings

    @property
    def any(self) -> bool:
        """Whether features are computed, or some hidden from models."""
        return bool(self.features.rules or self.features.drop or self.memory.labels)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the features that are computed: no event may bring them."""
        return (*(rule.name for rule in self.features.rules), *memory.names(self.memory.labels))

    @property
    def by_key(self) -> bool:
        """Whether the Kafka key of a record counts."""
        return rolling.KEY in (self.memory.key, *(rule.by for rule in self.features.rules))

    @property
    def hidden(self) -> tuple[str, ...]:
        """What no model sees."""
        return (*self.features.drop, *((rolling.KEY,) if self.by_key else ()))
