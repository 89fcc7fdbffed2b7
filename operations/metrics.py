"""Metrics for Prometheus, read off a picture when somebody asks: the same names from whoever has one.

A learner's picture is made of what it tells itself; that of whoever reads the topics knows of followers, too.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Literal, NamedTuple

import prometheus_client as prometheus
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.samples import Exemplar

from anabranch.errors import ConfigError
from anabranch.messages import Message
from operations.counts import Growth, Spread
from operations.families import EVENT_NUMBER, FAMILIES, LEARNED, Family
from operations.picture import KINDS, ModelPicture, Picture, Record

PREFIX = "anabranch_"
EVERY = ("model", "scope")
"""Labels of all families."""

Key = tuple[str, str]
"""A model and its scope."""


class Live(NamedTuple):
    """How far a learner is at this moment."""

    events: int
    """Accepted events that it has learned."""
    records: int
    """Records that it has taken in, refused ones and duplicates as well."""


class PictureCollector(Collector):
    """What a picture says, when it is asked.

    Args:
        picture: gives it.
        lock: held while it is read.
        live: asked at each scrape how far learners are: it goes before what their reports say.
        time_s: now, epoch seconds.
    """

    def __init__(
        self,
        picture: Callable[[], Picture],
        *,
        lock: AbstractContextManager[object] | None = None,
        live: Callable[[], Mapping[Key, Live]] = dict,
        time_s: Callable[[], float] = time.time,
    ) -> None:
        self.picture = picture
        self.lock = lock or threading.Lock()
        self.live = live
        self.time_s = time_s
        self._grown: dict[Key, tuple[Growth, Growth]] = {}

    def collect(self) -> Iterable[Metric]:
        """All families, also those that have no value yet."""
        with self.lock:
            picture = self.picture()
            models, now_s = sorted(picture.models.items()), self.time_s()
            read = {each.name: _read(each, models, now_s) for each in FAMILIES}
            spreads = _spreads(models)
            unreadable = _metric("unreadable_records", "counter", "records that were passed over, by topic", ("topic",))
            for topic, count in sorted(picture.unreadable.items()):
                unreadable.add_metric([topic], count)
        records = self._progress(read)
        found = [_filled(each, read[each.name]) for each in FAMILIES]
        return [*found, *spreads, unreadable, records]

    def _progress(self, read: dict[str, "Samples"]) -> Metric:
        """Events of this moment where a learner is in this process; and its records."""
        records = _metric(
            "read_records",
            "counter",
            "records taken in since this process began, refused ones and duplicates too",
            EVERY,
        )
        for key, live in sorted(self.live().items()):
            events, taken = self._grown.setdefault(key, (Growth(), Growth()))
            events.see(live.events)
            taken.see(live.records)
            read[LEARNED.name][key] = events.total
            read[EVENT_NUMBER.name][key] = live.events
            records.add_metric(key, taken.total)
        return records

    def describe(self) -> Iterable[Metric]:
        """None: the names need not be known before there is a picture."""
        return []


Samples = dict[tuple[str, ...], float]
"""Numbers by the values of the labels."""


def _read(family: Family, models: list[tuple[Key, ModelPicture]], now_s: float) -> Samples:
    return {(*key, *values): number for key, model in models for values, number in family.read(model, now_s)}


def _filled(family: Family, samples: Samples) -> Metric:
    metric = _metric(family.name, family.kind, family.said, (*EVERY, *family.labels))
    for values, number in samples.items():
        metric.add_metric(values, number)
    return metric


def _metric(
    name: str, kind: Literal["counter", "gauge"], said: str, labels: tuple[str, ...]
) -> CounterMetricFamily | GaugeMetricFamily:
    family = CounterMetricFamily if kind == "counter" else GaugeMetricFamily
    return family(PREFIX + name, said, labels=labels)


def _spreads(models: list[tuple[Key, ModelPicture]]) -> list[Metric]:
    swaps = HistogramMetricFamily(f"{PREFIX}swap_seconds", "from the trigger to the swap that it brought", labels=EVERY)
    taken = HistogramMetricFamily(
        f"{PREFIX}follower_convergence_seconds", "from an announcement to its use, by all followers", labels=EVERY
    )
    for key, model in models:
        for family, spread in ((swaps, model.counts.swap_s), (taken, model.counts.taken_s)):
            family.add_metric(key, list(_buckets(spread)), spread.sum_s)
    return [swaps, taken]


def _buckets(spread: Spread) -> Iterator[tuple[str, float] | tuple[str, float, Exemplar]]:
    """With the version that fell into it last as an exemplar."""
    names = [*map(str, spread.bounds_s), "+Inf"]
    for name, count, last in zip(names, spread.cumulative, spread.last, strict=True):
        yield (name, count) if last is None else (name, count, Exemplar({"version": last[1]}, last[0]))


def metrics_text(
    picture: Picture, *, accept: str = "", lock: AbstractContextManager[object] | None = None
) -> tuple[bytes, str]:
    """The metrics of a picture and their content type: OpenMetrics where the header `Accept` asks for it."""
    registry = CollectorRegistry()
    registry.register(PictureCollector(lambda: picture, lock=lock))
    return encoded(registry, accept=accept)


def encoded(registry: CollectorRegistry, *, accept: str = "") -> tuple[bytes, str]:
    """The metrics of a registry and their content type, as `Accept` asks for them."""
    encoder, content_type = choose_encoder(accept)
    return encoder(registry), content_type


# ── A learner's own ─────────────────────────────────────────────────────────────────────────────────────────────────

_HEARD = frozenset(kind for kinds in KINDS.values() for kind in kinds)


class Listener:
    """Hears what a learner tells, and keeps a picture of it.

    Args:
        picture: an empty one.
        topic: the full name of a topic by its key in `[topics]`.
    """

    def __init__(
        self,
        picture: Picture,
        *,
        topic: Callable[[str], str],
        time_s: Callable[[], float] = time.time,
    ) -> None:
        self.picture = picture
        self.lock = threading.Lock()
        self.topic = topic
        self.time_s = time_s
        self._number = 0

    def hear(self, message: Message) -> None:
        """One message; predictions, examples and the learned order are in no metric."""
        if type(message) not in _HEARD:
            return
        with self.lock:  # models of one process tell from threads of their own
            self._number += 1
            self.picture.hear(Record(self.time_s(), self.topic(message.goes_to), 0, self._number, message))


@contextmanager
def exported(*collectors: Collector, host: str, port: int) -> Iterator[int]:
    """Answer `GET /metrics` beside other work of this process, until the block ends; with CPU, memory and open files.

    Args:
        port: 0: any that is free.

    Yields:
        The port.

    Raises:
        ConfigError: it cannot listen there.
    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    for each in collectors:
        registry.register(each)
    try:
        server, thread = prometheus.start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise ConfigError(f"metrics: cannot listen on {host}:{port}: {error.strerror or error}") from error
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
