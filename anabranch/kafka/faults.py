"""librdkafka's faults in words: why brokers cannot be reached and whether waiting helps; its log lines as sentences."""

import logging
import re
import time
from collections.abc import Callable
from typing import NamedTuple

from confluent_kafka import KafkaError

_HOSTS = "check the hosts in `bootstrap.servers` under [kafka]"
_TLS = "does the broker speak TLS on this port? check `security.protocol` and the port"


class _Known(NamedTuple):
    """A kind of fault: the words by which it is known, how long to hope that it mends, and what to do."""

    words: re.Pattern[str]
    hope_s: float
    remedy: str


SUSPECT_S = 5.0
"""A broker that is about to start may hang up as one does that wants another protocol."""


def _known(words: str, remedy: str, *, stays: bool = False, hope_s: float = float("inf")) -> _Known:
    return _Known(re.compile(words, re.IGNORECASE), 0.0 if stays else hope_s, remedy)


KNOWN = (
    _known(
        "unsupported sasl mechanism|mechanism.*not (enabled|supported)|not enabled in the server",
        "check `sasl.mechanism` under [kafka]",
        stays=True,
    ),
    _known(
        "authentication (failed|error)|authentication failure|invalid (username|credentials)|invalid_token|SaslAuth",
        "check `sasl.username`, `sasl.password` and `sasl.mechanism` under [kafka]",
        stays=True,
    ),
    _known(
        "certificate verify failed|unable to get (local )?issuer|self.signed",
        "`ssl.ca.location` is to name the file of the authority that signed the broker's certificate, "
        "and the address in `bootstrap.servers` must be one that the certificate is made out to",
        stays=True,
    ),
    _known(
        "certificate required|bad certificate|unknown ca|certificate unknown|certificate expired",
        "the broker refuses this client's certificate: check `ssl.certificate.location` and `ssl.key.location`",
        stays=True,
    ),
    _known("wrong version number|http request|packet length too long|record layer failure", _TLS, stays=True),
    _known("PLAINTEXT broker listener|SSL connection closed|SSL handshake", _TLS, hope_s=SUSPECT_S),
    _known(
        "SSL listener|security.protocol configuration",
        "does the broker want TLS or SASL on this port? check `security.protocol` and the port",
        hope_s=SUSPECT_S,
    ),
    _known("fail.* to resolve|name or service not known|name resolution|nodename nor servname", _HOSTS, stays=True),
    _known(
        "invalid response size|receive.message.max.bytes|protocol parse|bad message",
        "what answers there is no Kafka broker, or wants TLS: check the port, and `security.protocol`",
        stays=True,
    ),
    _known(
        "disconnected|closed by peer|reset by peer",
        "something listens there and hangs up: check the port, and `security.protocol` (does it want TLS or SASL?)",
        hope_s=SUSPECT_S,
    ),
)
"""Those that tell most stand first."""

NOBODY_THERE = "check `bootstrap.servers` under [kafka], and that a broker runs there"
_BROKER = re.compile(r"(?:\w+://)?(.+?)/(?:bootstrap|\d+): ")


class Faults:
    """What librdkafka has said about the brokers of one client.

    Args:
        addresses: how many were configured.
    """

    def __init__(self, addresses: int) -> None:
        self.addresses = addresses
        self.said: dict[str, str] = {}
        """By broker, what tells most of it."""

    def hear(self, error: KafkaError) -> None:
        """What a client calls as its `error_cb`."""
        # That one follows upon faults of single brokers, and does not tell why.
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            self.note(error.str())

    def log(self, level: int, _: str, facility: str, client: str, text: str) -> None:
        """What a client calls as its `logger`: of connections that were closed, only the log tells."""
        # confluent_kafka calls it as it would a Logger: a format, and then the three parts that are to fill it.
        del level, client
        if facility == "FAIL":
            self.note(unthreaded(text))

    def note(self, text: str) -> None:
        """A line about a broker."""
        words = plain(text)
        broker = _BROKER.search(text)
        where = broker[1] if broker else ""
        if where not in self.said or _rank(words) < _rank(self.said[where]):
            self.said[where] = words

    @property
    def hope_s(self) -> float:
        """How long to go on asking: 0 if every broker has a fault that does not mend by itself."""
        found = [_of(words) for words in self.said.values()]
        # An address that has said nothing yet may be the one that answers.
        if len(found) < self.addresses:
            return float("inf")
        return max(float("inf") if each is None else each.hope_s for each in found)

    def in_words(self, otherwise: str) -> str:
        """What tells most, and what to do about it."""
        words = min(self.said.values(), key=_rank, default=otherwise)
        known = _of(words)
        return f"{words}; {known.remedy if known else NOBODY_THERE}"


def _of(words: str) -> _Known | None:
    return next((each for each in KNOWN if each.words.search(words)), None)


def _rank(words: str) -> int:
    known = _of(words)
    return len(KNOWN) if known is None else KNOWN.index(known)


# ── What librdkafka has to say, as sentences in Python's `logging`: a broker that is away is told once, then seldom ───

log = logging.getLogger("anabranch.kafka")

AGAIN_S = 30.0
"""How long the same kind of trouble is not told again: a client tries to connect several times a second."""

LATELY_S = 60.0
"""For so long the last word about a connection is taken for the reason of what goes wrong."""

_THREAD = re.compile(r"^\[thrd:[^\]]*\]: ")
_TIMES = re.compile(r" \((?:after|attempt) .*\)$")


class KafkaLog:
    """To be given to a client as its `logger`; one for all clients of a process, or each would tell the same.

    A client calls it from within its own poll or flush, in whatever thread that is.

    Args:
        monotonic_s: a clock.
    """

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self.monotonic_s = monotonic_s
        self.told_s: dict[str, float] = {}
        """When each facility was told last; librdkafka has some twenty of them."""
        self.failure = ""
        """The last word about a connection, and when it was heard."""
        self.failed_s = -LATELY_S

    def log(self, level: int, _: str, facility: str, client: str, text: str) -> None:
        """What confluent_kafka calls, as it would call a `logging.Logger`."""
        if facility == "FAIL":
            self.failure, self.failed_s = plain(text), self.monotonic_s()
        if facility == "FATAL":
            log.debug("%s: %s", client, text)  # the client raises it as well, and whoever uses it tells
        elif level < logging.ERROR:
            log.log(level, "%s %s: %s", client, facility, text)  # somebody has asked for it, by log_level or debug
        elif self._is_news(facility):
            what = "no connection to Kafka" if facility == "FAIL" else f"Kafka, {facility.lower()}"
            log.warning("%s: %s; tried again, and told every %.0f s at most", what, plain(text), AGAIN_S)

    def lately(self) -> str:
        """What was the matter with a connection just now; "" if nothing was."""
        return self.failure if self.monotonic_s() - self.failed_s < LATELY_S else ""

    def _is_news(self, facility: str) -> bool:
        now_s = self.monotonic_s()
        if now_s - self.told_s.get(facility, -AGAIN_S) < AGAIN_S:
            return False
        self.told_s[facility] = now_s
        return True


def plain(text: str) -> str:
    """A line of librdkafka's, less what only its authors need.

    >>> plain("[thrd:localhost:9092/bootstrap]: localhost:9092/bootstrap: Connect to ipv4#127.0.0.1:9092 failed: "
    ...       "Connection refused (after 0ms in state CONNECT, 5 identical error(s) suppressed)")
    'localhost:9092: Connect to 127.0.0.1:9092 failed: Connection refused'
    """
    return re.sub(r"ipv[46]#", "", _TIMES.sub("", unthreaded(text))).replace("/bootstrap:", ":")


def unthreaded(text: str) -> str:
    """A line of librdkafka's without the thread's name."""
    return _THREAD.sub("", text)


KAFKA_LOG = KafkaLog()


def with_words(said: str) -> str:
    """What went wrong, and what librdkafka has said of it lately."""
    words = KAFKA_LOG.lately()
    return f"{said} ({words})" if words else said
