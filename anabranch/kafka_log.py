"""What librdkafka has to say, as sentences in Python's `logging`: a broker that is away is told once, then seldom."""

import logging
import re
import time
from collections.abc import Callable

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
