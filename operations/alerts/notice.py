"""What somebody is told: an alert that fires, or that all is well again."""

from hashlib import sha256
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

from anabranch.scope import Scope
from config.alerts import Severity
from operations.alerts.rules import KINDS, Judged, Key

State = Literal["firing", "resolved", "test"]


class Notice(NamedTuple):
    """One message to a person.

    Args:
        id: of the alert: all that is told of this rule and this model bears the same, after a restart as well.
        since_s: when it began, epoch seconds.
        ended_s: when it ended; None: it goes on.
        summary: what was found, in a sentence.
        link: to the model on the dashboard; empty: it is not known where that is.
    """

    id: str
    state: State
    key: Key
    severity: Severity
    value: float
    threshold: float
    unit: str
    since_s: float
    ended_s: float | None
    summary: str
    to_do: str
    link: str

    def as_json(self) -> dict[str, Any]:
        """As a webhook gets it."""
        return {**self._asdict(), "key": self.key._asdict()}


def notice(judged: Judged, *, state: State, since_s: float, ended_s: float | None, dashboard: str) -> Notice:
    """Of what a rule has found."""
    key, rule, finding = judged
    assert finding is not None, "what cannot be said is not told"
    kind = KINDS[rule.use]
    where = Scope(key.scope).within(key.model, "/")
    over = " is over" if state == "resolved" else ""
    return Notice(
        id=told_as(key),
        state=state,
        key=key,
        severity=rule.severity,
        value=finding.value,
        threshold=finding.threshold,
        unit=kind.unit,
        since_s=since_s,
        ended_s=ended_s,
        summary=f"{where}: {key.rule}{over}: {finding.said}",
        to_do=rule.to_do or kind.to_do,
        link=link(dashboard, key),
    )


def told_as(key: Key) -> str:
    """By what receivers know that it is the same alert again.

    >>> told_as(Key("drift", "m", "global"))
    '480384689a4a'
    """
    return sha256("\n".join(key).encode()).hexdigest()[:12]


def link(dashboard: str, key: Key) -> str:
    """To the model on the dashboard.

    >>> link("http://127.0.0.1:8090/", Key("drift", "fraud", "p3"))
    'http://127.0.0.1:8090/#/model/fraud/p3'
    """
    return f"{dashboard.rstrip('/')}/#/model/{quote(key.model)}/{quote(key.scope)}" if dashboard else ""
