"""librdkafka's faults in words: settings that it refuses, why brokers cannot be reached, what it says in its log."""

import logging
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from confluent_kafka import KafkaError

from anabranch.errors import did_you_mean

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


# ── Settings that librdkafka refuses, by its own names for them ─────────────────────────────────────────────────────

_NAMES = """
acks allow.auto.create.topics api.version.fallback.ms api.version.request api.version.request.timeout.ms
auto.commit.interval.ms auto.offset.reset batch.num.messages batch.size bootstrap.servers broker.address.family
broker.address.ttl broker.version.fallback check.crcs client.dns.lookup client.id client.rack compression.codec
compression.level compression.type connections.max.idle.ms coordinator.query.interval.ms debug delivery.timeout.ms
enable.auto.commit enable.auto.offset.store enable.gapless.guarantee enable.idempotence enable.metrics.push
enable.partition.eof enable.random.seed enable.sasl.oauthbearer.unsecure.jwt enable.sparse.connections
enable.ssl.certificate.verification fetch.error.backoff.ms fetch.max.bytes fetch.message.max.bytes fetch.min.bytes
fetch.queue.backoff.ms fetch.wait.max.ms group.id group.instance.id group.protocol group.protocol.type
group.remote.assignor heartbeat.interval.ms https.ca.location https.ca.pem isolation.level linger.ms
log.connection.close log.thread.name log_level max.in.flight max.in.flight.requests.per.connection
max.partition.fetch.bytes max.poll.interval.ms message.copy.max.bytes message.max.bytes message.send.max.retries
message.timeout.ms metadata.broker.list metadata.max.age.ms metadata.recovery.rebootstrap.trigger.ms
metadata.recovery.strategy partition.assignment.strategy partitioner queue.buffering.backpressure.threshold
queue.buffering.max.kbytes queue.buffering.max.messages queue.buffering.max.ms queued.max.messages.kbytes
queued.min.messages receive.message.max.bytes reconnect.backoff.jitter.ms reconnect.backoff.max.ms
reconnect.backoff.ms request.required.acks request.timeout.ms retries retry.backoff.max.ms retry.backoff.ms
sasl.kerberos.keytab sasl.kerberos.kinit.cmd sasl.kerberos.min.time.before.relogin sasl.kerberos.principal
sasl.kerberos.service.name sasl.mechanism sasl.mechanisms sasl.oauthbearer.client.id
sasl.oauthbearer.client.secret sasl.oauthbearer.config sasl.oauthbearer.extensions sasl.oauthbearer.method
sasl.oauthbearer.scope sasl.oauthbearer.token.endpoint.url sasl.password sasl.username security.protocol
session.timeout.ms socket.blocking.max.ms socket.connection.setup.timeout.ms socket.keepalive.enable
socket.max.fails socket.nagle.disable socket.receive.buffer.bytes socket.send.buffer.bytes socket.timeout.ms
ssl.ca.certificate.stores ssl.ca.location ssl.ca.pem ssl.certificate.location ssl.certificate.pem
ssl.cipher.suites ssl.crl.location ssl.curves.list ssl.endpoint.identification.algorithm ssl.engine.id
ssl.engine.location ssl.key.location ssl.key.password ssl.key.pem ssl.keystore.location ssl.keystore.password
ssl.providers ssl.sigalgs.list statistics.interval.ms sticky.partitioning.linger.ms topic.blacklist
topic.metadata.propagation.max.ms topic.metadata.refresh.fast.interval.ms topic.metadata.refresh.interval.ms
topic.metadata.refresh.sparse transaction.timeout.ms transactional.id
"""

NAMES = frozenset(_NAMES.split())
"""Those that a person may write, to name the nearest; librdkafka alone decides."""

_VALUES = {
    "security.protocol": "plaintext, ssl, sasl_plaintext or sasl_ssl",
    "compression.type": "none, gzip, snappy, lz4 or zstd",
    "compression.codec": "none, gzip, snappy, lz4 or zstd",
    "broker.address.family": "any, v4 or v6",
    "ssl.endpoint.identification.algorithm": "none or https",
}
_UNKNOWN = re.compile(r'No such configuration property: "(.*)"', re.DOTALL)
_NAMED = re.compile(r'"([^"]+)"(?: value)? is outside|(?:property|value for) "([^"]+)"')
_RANGE = re.compile(r"outside allowed range (\S+?)\.\.(\S+)")
_ADDRESS = re.compile(
    r"(?:(?:plaintext|ssl|sasl_plaintext|sasl_ssl)://)?(?:\[[0-9a-f:.%]+\]|[^\s:/\[\]]+)(?::\d{1,5})?", re.I
)
_SECRET = re.compile(r"password|secret|key|pem|jaas|oauthbearer\.config")


def fault_in(kafka: Mapping[str, Any]) -> str:
    """What librdkafka would take, or pass over, and is wrong all the same; "" if nothing is."""
    for key, value in kafka.items():
        if isinstance(value, list | tuple | dict | set | bytes):
            joined = ",".join(map(str, value)) if isinstance(value, list | tuple) else ""
            hint = f': write "{joined}"' if joined and not _SECRET.search(str(key)) else ""
            return f"`{key}` is a {type(value).__name__}, not a string, a number, true or false{hint}"
        if isinstance(value, int | float) and not -(2**31) <= value < 2**31:
            return f"`{key}` = {value}: librdkafka has no setting with so large a number"
    return _fault_in_addresses(kafka)


def _fault_in_addresses(kafka: Mapping[str, Any]) -> str:
    for key in ("bootstrap.servers", "metadata.broker.list"):
        addresses = str(kafka.get(key, "localhost") or "")
        for address in addresses.split(","):
            if not address.strip():
                where = "is empty" if not addresses.strip(" ,") else f"= {addresses!r} names an empty address"
                return f'`{key}` {where}; write the brokers as "host:9092,other:9092"'
            if not _ADDRESS.fullmatch(address.strip()):
                return f'`{key}`: {address.strip()!r} is no address; write the brokers as "host:9092,other:9092"'
    return ""


def refused(said: str, kafka: Mapping[str, Any]) -> str:
    """librdkafka's refusal, with what to write instead where that is known."""
    said = (
        " ".join(said.split()).removeprefix("Failed to create consumer: ").removeprefix("Failed to create producer: ")
    )
    unknown = _UNKNOWN.search(said)
    if unknown:
        hint = did_you_mean(unknown[1], NAMES, instead="its CONFIGURATION.md lists them all")
        return f"`{unknown[1]}` is no setting of librdkafka ({said}); {hint}"
    named = _NAMED.search(said)
    key = (named[1] or named[2]) if named else ""
    if key not in kafka:
        return f"librdkafka refuses these settings: {said}"
    # What is refused goes to logs and terminals, where no password may stand.
    value = "" if _SECRET.search(key) else f" = {kafka[key]!r}"
    bounds = _RANGE.search(said)
    wanted = f"it must be from {bounds[1]} to {bounds[2]}" if bounds else _wanted(key)
    return f"`{key}`{value} is refused by librdkafka ({said}){'; ' + wanted if wanted else ''}"


def _wanted(key: str) -> str:
    if key in _VALUES:
        return f"it must be {_VALUES[key]}"
    return "it must be a whole number" if key.endswith((".ms", ".bytes", ".kbytes")) else ""
