"""What the scorer measures, for Prometheus."""

import os
from functools import cache
from typing import Any

import prometheus_client as prometheus
from prometheus_client import multiprocess
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry

from serving.models import Models
from serving.partitions import KeysWatch
from serving.stream import AnsweredEvents

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable by which several processes count together: prometheus_client's own."""

_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)


class Metrics:
    """Counters of one application."""

    def __init__(self, models: Models) -> None:
        self.registry = CollectorRegistry()
        self.requests = prometheus.Counter(
            "anabranch_requests_total", "requests answered", ["route", "status"], registry=self.registry
        )
        self.seconds = prometheus.Histogram(
            "anabranch_request_seconds",
            "from a request's first line to its answer",
            ["route"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.predictions = prometheus.Counter(
            "anabranch_predictions_total", "events answered", ["model"], registry=self.registry
        )
        self.events = prometheus.Counter(
            "anabranch_events_total",
            "records of the events topic, by what became of them (score.predictions): answered, skipped",
            ["model", "outcome"],
            registry=self.registry,
        )
        self.lag = prometheus.Gauge(
            "anabranch_events_lag",
            "records of the events topic that are still to be answered (score.predictions)",
            ["model"],
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        for each in models.beside:
            if isinstance(each, AnsweredEvents):
                each.counted = self._count_events
        # `labels` looks a series up under a lock, by strings that it makes each time: that is asked once.
        self.request_counted = cache(self.requests.labels)
        self.request_timed = cache(self.seconds.labels)
        self.predictions_counted = cache(self.predictions.labels)
        self._models = _ModelsCollector(models)
        if SHARED_FOLDER not in os.environ:
            self.registry.register(self._models)

    def _count_events(self, model: str, answered: int, skipped: int, lag: int) -> None:
        self.events.labels(model, "answered").inc(answered)
        self.events.labels(model, "skipped").inc(skipped)
        self.lag.labels(model).set(lag)

    def text(self, accept: str) -> tuple[bytes, str]:
        """All of them and their content type, of all workers together: OpenMetrics if the header `Accept` asks so."""
        encoder, content_type = choose_encoder(accept)
        if SHARED_FOLDER not in os.environ:
            return encoder(self.registry), content_type
        shared = CollectorRegistry()
        multiprocess.MultiProcessCollector(shared)  # type: ignore[no-untyped-call]  # it has no annotations
        shared.register(self._models)
        return encoder(shared), content_type


class _ModelsCollector(Collector):
    """What is read off the followers when somebody asks."""

    def __init__(self, models: Models) -> None:
        self.models = models

    def collect(self) -> Any:
        version = GaugeMetricFamily("anabranch_model_version", "version in use; 0: none yet", labels=["model"])
        age = GaugeMetricFamily(
            "anabranch_model_age_seconds", "since the model in use was what the learner had", labels=["model"]
        )
        learned = GaugeMetricFamily(
            "anabranch_model_events", "labelled events that the model in use has learned", labels=["model"]
        )
        behind = GaugeMetricFamily(
            "anabranch_model_behind_events", "labelled events that the learner is ahead (learn_along)", labels=["model"]
        )
        refused = CounterMetricFamily(
            "anabranch_refused_updates_total", "updates that were not taken, by the check", labels=["model", "check"]
        )
        canary = GaugeMetricFamily(
            "anabranch_canary_share_percent", "of the keys that a new champion answers for; 0: none", labels=["model"]
        )
        elsewhere = GaugeMetricFamily(
            "anabranch_keys_elsewhere",
            "1: events lie on other partitions than score.partitioner says (scope = partition)",
            labels=["model"],
        )
        for watch in self.models.beside:
            if isinstance(watch, KeysWatch):
                elsewhere.add_metric([watch.model], float(bool(watch.found)))
        ready = GaugeMetricFamily("anabranch_ready", "1: the model answers", labels=["model"])
        for name, each in self.models.parts.items():
            champion = each.follower.in_use
            ready.add_metric([name], float(not each.why_not_ready()))
            version.add_metric([name], champion.update.version if champion else 0)
            tried = each.follower.canary
            canary.add_metric([name], 0.0 if tried is None else tried.update.share or 0.0)
            if each.follower.behind is not None:
                behind.add_metric([name], each.follower.behind)
            for check, count in each.follower.refusals.items():
                refused.add_metric([name, check], count)
            if champion is not None:
                age.add_metric([name], champion.age_s)
                learned.add_metric([name], champion.event_number)
        return [version, age, learned, behind, refused, canary, elsewhere, ready]
