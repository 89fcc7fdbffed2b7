"""Whom alerts are told: the log, a webhook, Alertmanager. Each tells once, and says what came of it."""

import hmac
import http.client
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

import orjson
import structlog

from config import alerts as settings
from operations.alerts.notice import Notice

log = structlog.get_logger()

SIGNATURE = "X-Anabranch-Signature"
"""The header with the moment and the HMAC-SHA256 of "moment.body", as `t=1764150000,v1=<hexadecimal>`."""

HOLD_S = 300.0
"""So long Alertmanager takes an alert for one that fires, after it was told the last time."""

WORTH_ANOTHER = frozenset({408, 425, 429})
"""Answers that may be others soon, beside those from 500 on."""


class Outcome(NamedTuple):
    """What came of telling."""

    is_well: bool
    said: str
    is_worth_another: bool = False
    """It may go well next time."""


class Sink(Protocol):
    """Whoever can be told."""

    def tell(self, notices: Sequence[Notice]) -> Outcome:
        """Tell all of them, once."""
        ...


def sink_of(sink: settings.Sink, *, time_s: Callable[[], float] = time.time) -> Sink:
    """The sink of a configuration."""
    if sink.use == "webhook":
        return Webhook(sink, time_s=time_s)
    return Alertmanager(sink, time_s=time_s) if sink.use == "alertmanager" else Log()


class Log:
    """A line in the log for each."""

    def tell(self, notices: Sequence[Notice]) -> Outcome:
        """One line for each, with its fields."""
        for each in notices:
            say = log.info if each.state == "resolved" or each.severity == "info" else log.warning
            say(
                "alert",
                state=each.state,
                severity=each.severity,
                rule=each.key.rule,
                summary=each.summary,
                value=round(each.value, 6),
                threshold=each.threshold,
                since=moment(each.since_s),
                to_do=each.to_do if each.state != "resolved" else "",
                link=each.link,
            )
        return Outcome(is_well=True, said="logged")


class Webhook:
    """POSTs each as JSON, signed where there is a secret.

    The moment is signed too, so that who checks it can refuse a body that was recorded long ago.
    """

    def __init__(self, sink: settings.Sink, *, time_s: Callable[[], float] = time.time) -> None:
        self.sink = sink
        self.time_s = time_s

    def tell(self, notices: Sequence[Notice]) -> Outcome:
        """One request for each, until one goes wrong."""
        outcome = Outcome(is_well=True, said="nothing to tell")
        for each in notices:
            body = orjson.dumps(each.as_json())
            outcome = posted(self.sink, self.sink.url, body, self._headers(body))
            if not outcome.is_well:
                return outcome
        return outcome

    def _headers(self, body: bytes) -> dict[str, str]:
        secret = self.sink.secret
        if secret is None:
            return {}
        return {SIGNATURE: signature(body, secret=secret.get_secret_value(), at_s=int(self.time_s()))}


def signature(body: bytes, *, secret: str, at_s: int) -> str:
    """The header's value: who has the secret makes it again, and compares.

    >>> signature(b"{}", secret="s", at_s=1764150000)[:22]
    't=1764150000,v1=ff0bfb'
    """
    digest = hmac.new(secret.encode(), f"{at_s}.".encode() + body, sha256).hexdigest()
    return f"t={at_s},v1={digest}"


class Alertmanager:
    """POSTs to Alertmanager's API v2. What fires has to be told again within five minutes, or it takes it for over."""

    def __init__(self, sink: settings.Sink, *, time_s: Callable[[], float] = time.time) -> None:
        self.sink = sink
        self.time_s = time_s
        self.url = f"{sink.url.rstrip('/')}/api/v2/alerts"

    def tell(self, notices: Sequence[Notice]) -> Outcome:
        """All in one request."""
        body = orjson.dumps([postable(each, ends_s=self.time_s() + HOLD_S) for each in notices])
        return posted(self.sink, self.url, body, {})


def postable(notice: Notice, *, ends_s: float) -> dict[str, Any]:
    """An alert as the API wants it. Labels say which it is, and must not change while it fires.

    Args:
        ends_s: until when it is taken to fire, unless it has ended.
    """
    key = notice.key
    labels = {"alertname": key.rule, "model": key.model, "scope": key.scope, "severity": notice.severity}
    told: dict[str, Any] = {
        "labels": {**labels, "service": "anabranch"},
        "annotations": {
            "summary": notice.summary,
            "action": notice.to_do,
            "value": f"{notice.value:.6g}",
            "threshold": f"{notice.threshold:.6g}",
        },
        "startsAt": moment(notice.since_s),
        "endsAt": moment(ends_s if notice.ended_s is None else notice.ended_s),
    }
    return {**told, "generatorURL": notice.link} if notice.link else told


def moment(at_s: float) -> str:
    """RFC 3339, UTC.

    >>> moment(1764150000.5)
    '2025-11-26T09:40:00.500Z'
    """
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def posted(sink: settings.Sink, url: str, body: bytes, headers: dict[str, str]) -> Outcome:
    """One POST of JSON; redirections are not followed, and what is answered beside the status is not read."""
    where = urlsplit(url)
    kind = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
    token = {} if sink.token is None else {"Authorization": f"Bearer {sink.token.get_secret_value()}"}
    told = {"Content-Type": "application/json", "User-Agent": "anabranch", "Connection": "close", **token, **headers}
    path = f"{where.path or '/'}{'?' + where.query if where.query else ''}"
    try:
        connection = kind(where.hostname or "", where.port, timeout=sink.timeout)
        try:
            connection.request("POST", path, body=body, headers=told)
            status = connection.getresponse().status
        finally:
            connection.close()
    except TimeoutError:
        return Outcome(is_well=False, said=f"no answer within {sink.timeout:g} s", is_worth_another=True)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Outcome(is_well=False, said=str(error) or type(error).__name__, is_worth_another=True)
    is_well = 200 <= status < 300
    again = status >= 500 or status in WORTH_ANOTHER
    return Outcome(is_well, f"answered {status}", is_worth_another=not is_well and again)
