"""What is wrong with a setting that librdkafka refuses, in a sentence; by librdkafka's own names for its settings."""

import re
from collections.abc import Mapping
from typing import Any

from anabranch.errors import did_you_mean

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
