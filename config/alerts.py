"""`[alerts]`: when somebody is told that a model needs a look, whom it is told, and when it is kept quiet."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from cronsim import CronSim, CronSimError
from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator

from config.sections import Seconds, Section

Severity = Literal["info", "warning", "critical"]
RuleKind = Literal[
    "score",
    "worsening",
    "drift",
    "signals",
    "no-labels",
    "unread",
    "rollbacks",
    "dead-letters",
    "model-age",
    "learner-silent",
    "followers-silent",
    "followers-behind",
    "probation",
    "rollout",
    "coverage",
    "group-gap",
    "fairness-gap",
    "feature-shift",
    "label-balance",
    "unusable",
    "learner-alert",
]

_DAILY = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


class AlertRule(Section):
    """When an alert fires. A rule that ships is changed key by key: `[alerts.rules.unread]` with `above = 500`.

    A name of your own is a rule of your own, and says which kind it is (`use`). What each kind measures, and in which
    unit: docs/ALERTS.md.
    """

    # By the name of the field as well: so they come from a process of ours to another one.
    model_config = ConfigDict(populate_by_name=True)
    use: RuleKind = Field(description="what is measured")
    enabled: bool = Field(True, description="`false`: it is not judged")
    above: float | None = Field(None, description="it fires where the value is greater", allow_inf_nan=False)
    below: float | None = Field(None, description="it fires where the value is smaller", allow_inf_nan=False)
    lasting: Seconds = Field(0.0, alias="for", description="for so long before it is told")
    window: Seconds = Field(900.0, description="how far back is looked, where something is counted or compared")
    metric: str | None = Field(
        None,
        description="of `score`: None = those of `[constraints]`; of `worsening`: None = the champion's loss; of "
        "`fairness-gap` the criterion: None = equalized-odds, accuracy and error",
    )
    after_events: int = Field(1000, ge=0, description="a model that has learned fewer is not judged by its scores")
    severity: Severity = Field("warning", description="how bad it is")
    to_do: str = Field("", max_length=1000, description="what to do, in your words; without it, what ships is said")


def default_rules() -> dict[str, dict[str, Any]]:
    """The rules that ship switched on."""
    return {
        "score": {"use": "score", "for": 300.0},
        "worse-than-an-hour-ago": {"use": "worsening", "above": 0.1, "window": 3600.0, "for": 600.0},
        "worse-than-a-day-ago": {"use": "worsening", "above": 0.1, "window": 86_400.0, "for": 1800.0},
        "drift": {"use": "drift", "above": 0, "window": 900.0, "severity": "info"},
        "label-shift": {"use": "signals", "above": 0, "window": 900.0},
        "no-labels": {"use": "no-labels", "above": 600.0},
        "unread": {"use": "unread", "above": 10_000, "for": 300.0},
        "rollback": {"use": "rollbacks", "above": 0, "window": 3600.0},
        "rollbacks-repeated": {"use": "rollbacks", "above": 2, "window": 86_400.0, "severity": "critical"},
        "dead-letters": {"use": "dead-letters", "above": 0.05, "window": 600.0, "for": 60.0},
        "model-old": {"use": "model-age", "above": 86_400.0},
        "learner-silent": {"use": "learner-silent", "above": 120.0, "severity": "critical"},
        "followers-silent": {"use": "followers-silent", "above": 0, "for": 60.0},
        "followers-behind": {"use": "followers-behind", "above": 0, "window": 300.0},
        "probation-stuck": {"use": "probation", "above": 21_600.0},
        "rollout-stuck": {"use": "rollout", "above": 86_400.0},
        "coverage": {"use": "coverage", "below": 0.5, "for": 3600.0},
        "group-gap": {"use": "group-gap", "above": 0.2, "for": 1800.0},
        "fairness-gap": {"use": "fairness-gap", "above": 0.1, "for": 1800.0},
        "feature-shift": {"use": "feature-shift", "above": 0.25, "for": 1800.0, "severity": "info"},
        "label-balance": {"use": "label-balance", "above": 0.4, "for": 600.0},
        "unusable": {"use": "unusable", "above": 0.01, "for": 300.0},
        "learner-alert": {"use": "learner-alert", "above": 0, "window": 900.0},
    }


class Silence(Section):
    """When alerts are judged, but not told: once (`from`, `until`), each day, or as cron has it. Times are UTC."""

    model_config = ConfigDict(populate_by_name=True)
    why: str = Field(min_length=1, max_length=500, description="for whoever wonders")
    since: datetime | None = Field(None, alias="from", description="a moment with its zone: 2026-12-24T18:00:00Z")
    until: datetime | None = Field(None, description="likewise")
    daily: str | None = Field(None, description='each day, as in "22:00-06:00"')
    cron: str | None = Field(None, description='begins as cron has it, as in "0 2 * * sun"')
    lasts: Seconds = Field(3600.0, description="with `cron`: for so long")
    rules: tuple[str, ...] = Field((), description="names of rules; () = all")
    models: tuple[str, ...] = Field((), description="names of models; () = all")

    @field_validator("since", "until")
    @classmethod
    def _has_a_zone(cls, value: datetime | None) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError(f"{value} has no zone: write for example {value.isoformat()}Z")
        return value

    @model_validator(mode="after")
    def _is_one_kind(self) -> "Silence":
        given = [self.daily is not None, self.cron is not None, self.since is not None or self.until is not None]
        if given.count(True) != 1:
            raise ValueError("a silence is either `from` and `until`, or `daily`, or `cron` and `lasts`")
        if (self.since is None) != (self.until is None):
            raise ValueError("write both `from` and `until`: a silence without an end would be forgotten")
        if self.since is not None and self.until is not None and self.until <= self.since:
            raise ValueError("`until` is before `from`")
        if self.daily is not None and not _DAILY.fullmatch(self.daily):
            raise ValueError(f'{self.daily!r} is no time of day: write for example "22:00-06:00"')
        if self.cron is not None:
            _checked(self.cron)
        return self

    @property
    def of_the_day(self) -> tuple[int, int]:
        """Where it begins and ends each day, in minutes since midnight."""
        found = _DAILY.fullmatch(self.daily or "")
        assert found is not None, "its form was checked"
        first, second, third, fourth = map(int, found.groups())
        return 60 * first + second, 60 * third + fourth


def _checked(cron: str) -> None:
    try:
        CronSim(cron, datetime(2026, 1, 1))  # noqa: DTZ001  # any moment will do
    except CronSimError as error:
        raise ValueError(f"{cron!r} is no schedule as cron has it: {error}") from error


class Sink(Section):
    """Whom it is told: the log, a webhook, or Alertmanager."""

    use: Literal["log", "webhook", "alertmanager"] = Field(description="what it is")
    url: str = Field("", description="of a webhook, in full; of Alertmanager, without /api/v2/alerts")
    secret: SecretStr | None = Field(
        None, description="a webhook's bodies are signed with it: HMAC-SHA256; write `${env:NAME}`"
    )
    token: SecretStr | None = Field(None, description="a bearer token that goes along")
    timeout: Seconds = Field(10.0, gt=0, description="in which an answer has to be here")
    attempts: int = Field(6, ge=1, le=20, description="to tell one alert, before it is given up and logged")
    retry: Seconds = Field(
        1.0, gt=0, description="before the second attempt; then twice as long each time, at most 60 s"
    )
    severities: tuple[Severity, ...] = Field(("info", "warning", "critical"), description="what it is told of")

    @model_validator(mode="after")
    def _has_an_address(self) -> "Sink":
        if self.use == "log":
            if self.url or self.secret or self.token:
                raise ValueError('a sink with use = "log" takes neither `url` nor `secret` nor `token`')
        elif not re.match(r"https?://[^/\s]", self.url):
            raise ValueError(f'a sink with use = "{self.use}" needs `url`, as in "https://example.org/hook"')
        if self.secret is not None and self.use != "webhook":
            raise ValueError("`secret` signs the bodies of a webhook; Alertmanager wants a `token`")
        return self


class AlertsSettings(Section):
    """What `anabranch alerts run` judges and tells.

    Of several models in a process the first file's sinks, silences and times count; rules are each model's own.
    """

    every: Seconds = Field(15.0, gt=0, description="how often is judged")
    resolve_after: Seconds = Field(60.0, description="so long all has to be well before that is told")
    repeat: Seconds = Field(4 * 3600.0, gt=0, description="how often what still fires is told again")
    dashboard: str = Field("", description="where the dashboard is, for links; as in http://127.0.0.1:8090")
    history: Seconds = Field(26 * 3600.0, description="how far back the topics are read at the start")
    active_max: int = Field(1000, ge=1, description="alerts that are pending or fire, at most")
    sinks: dict[str, Sink] = Field(
        default_factory=lambda: {"log": Sink(use="log")}, description="whom it is told, by name"
    )
    silences: tuple[Silence, ...] = Field((), description="when nobody is told")
    rules: dict[str, AlertRule] = Field(
        default_factory=lambda: {name: AlertRule.model_validate(each) for name, each in default_rules().items()},
        description="when an alert fires, by name",
        json_schema_extra={"default": "those of docs/ALERTS.md"},
    )

    @field_validator("rules", mode="before")
    @classmethod
    def _over_what_ships(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        given = {name: each if isinstance(each, Mapping) else {} for name, each in value.items()}
        shipped = {name: _over(each, given.get(name, {})) for name, each in default_rules().items()}
        return {**shipped, **{name: each for name, each in value.items() if name not in shipped}}

    @model_validator(mode="after")
    def _bounds_are_there(self) -> "AlertsSettings":
        for name, rule in self.rules.items():
            if (rule.above is None) == (rule.below is None) and not (rule.use == "score" and rule.metric is None):
                raise ValueError(f"rules.{name}: write either `above` or `below`")
        return self


def _over(shipped: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A rule that ships, as it was changed; where the bound is on the other side, that of before is gone."""
    gone = {"above", "below"} if given.keys() & {"above", "below"} else set()
    gone |= {"for"} if "lasting" in given else set()
    return {**{key: each for key, each in shipped.items() if key not in gone}, **given}
