"""The rules: of a picture at a moment, what each finds of each model. Nothing here waits, asks or remembers."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from config.alerts import AlertRule, RuleKind
from config.settings import Settings
from operations.alerts import changes, intake, quality
from operations.alerts.finding import Asked, Finding, Moment
from operations.picture import ModelPicture, Picture


class Kind(NamedTuple):
    """One kind of rule.

    Args:
        find: what it finds of a model; None: it cannot be said, since too little was told.
        unit: of the value.
        to_do: what somebody does who is told.
    """

    find: Callable[[ModelPicture, Asked], Finding | None]
    unit: str
    to_do: str


KINDS: dict[RuleKind, Kind] = {
    "score": Kind(
        quality.score,
        "of the metric",
        "See since when on the dashboard, and whether labels, features or the world have changed. `anabranch retrain` "
        "asks for new recruits.",
    ),
    "worsening": Kind(
        quality.worsening,
        "difference",
        "Compare the curves of champion and shadows: where shadows are better, a swap is near; where none is, look at "
        "the data.",
    ),
    "drift": Kind(changes.drift, "triggers", "Nothing: recruits are being trained. Watch whether one of them wins."),
    "signals": Kind(
        changes.signals,
        "signals",
        "See whether whoever publishes events and labels has changed something; else the world has.",
    ),
    "no-labels": Kind(intake.no_labels, "s", "See whether whoever publishes labels still does, and to this topic."),
    "unread": Kind(
        intake.unread,
        "records",
        "The learner is slower than the stream: fewer shadows (shadows.budget), or a model for each partition.",
    ),
    "rollbacks": Kind(
        changes.rollbacks,
        "rollbacks",
        "The champion of before serves again. Where it repeats, raise arena.min_gain or arena.false_swap_every.",
    ),
    "dead-letters": Kind(
        intake.dead_letters, "share", "`anabranch watch CONFIG --topic dead-letters` says what is wrong with them."
    ),
    "model-age": Kind(
        changes.model_age,
        "s",
        "Followers serve an old copy. See what holds announcements back: publish.refresh_events, publish.bytes_per_s.",
    ),
    "learner-silent": Kind(
        intake.learner_silent,
        "s",
        "See whether `anabranch learn` runs, and its log. What is not learned is still on the topic.",
    ),
    "followers-silent": Kind(
        intake.followers_silent, "followers", "See whether they run; `anabranch followers CONFIG`."
    ),
    "followers-behind": Kind(
        intake.followers_behind, "followers", "Their logs say why; `anabranch followers CONFIG` shows what they refuse."
    ),
    "probation": Kind(
        changes.probation, "s", "Too few events come to end it: lower arena.probation_events, or wait for more."
    ),
    "rollout": Kind(
        changes.rollout,
        "s",
        "See what it waits for; `anabranch models approve` or `withdraw` decides it.",
    ),
    "coverage": Kind(
        intake.coverage, "share", "Scores rest on the few events that have a label. See whether labels are lost."
    ),
    "group-gap": Kind(
        quality.group_gap,
        "difference",
        "See the groups on the dashboard; constraints.max_group_gap_widening keeps swaps from widening it.",
    ),
    "fairness-gap": Kind(
        quality.fairness_gap,
        "difference",
        "See the gaps on the dashboard; docs/FAIRNESS.md has a gate for swaps, and models that make up for it.",
    ),
    "feature-shift": Kind(
        quality.feature_shift,
        "PSI",
        "See the feature's distributions on the dashboard, and whether its source changed.",
    ),
    "label-balance": Kind(
        quality.label_balance,
        "effect size",
        "See the shares on the dashboard (data), and whether whoever publishes labels has changed something; else the "
        "world has.",
    ),
    "unusable": Kind(
        quality.unusable, "share", "Each counts as wrong; the reasons are in the reports (`unusable`). See the model."
    ),
    "learner-alert": Kind(changes.learner_alert, "alerts", "It says what was found, and what to do."),
}


class Key(NamedTuple):
    """Which rule, of which model."""

    rule: str
    model: str
    scope: str


class Judged(NamedTuple):
    """What a rule found of a model."""

    key: Key
    rule: AlertRule
    finding: Finding | None


def judged(picture: Picture, by_model: Mapping[str, Settings], moment: Moment) -> list[Judged]:
    """What all rules find of all models that a configuration is known of."""
    found = []
    for (name, scope), model in sorted(picture.models.items()):
        settings = by_model.get(name)
        for rule_name, rule in settings.alerts.rules.items() if settings else ():
            if rule.enabled:
                assert settings is not None, "there are no rules without"
                asked = Asked(rule, settings, moment)
                found.append(Judged(Key(rule_name, name, scope), rule, KINDS[rule.use].find(model, asked)))
    return found
