"""The watcher: reads the topics, judges what they say every so often, and has told what is to be told."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import structlog
from confluent_kafka import Message
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from anabranch.errors import KafkaRefused, KafkaUnavailable
from anabranch.kafka import TIMEOUT_S, reach
from anabranch.messages import DeadLetter
from config.settings import Settings
from operations.alerts.backlog import Backlog
from operations.alerts.book import Book
from operations.alerts.delivery import Delivery
from operations.alerts.finding import Moment
from operations.alerts.notice import Notice
from operations.alerts.rules import judged
from operations.picture import Picture, Record, model_of
from operations.reading import Reading, topics_of
from operations.source import Source, Thinning, readable

log = structlog.get_logger()

POLL_S = 0.5
QUIET_S = 10.0
"""Where nothing was heard for so long, brokers are asked whether they are there."""
REACH_S = 1.0
AGAIN_S = 2.0
REFRESH_S = 60.0
"""How often Alertmanager is told what fires."""
RECORDS_MAX = 1_000_000
"""Of a partition, the newest."""
REPLAY_S = 3600.0
"""So much of the past is judged again at the start, to know since when something fires."""


class Watcher:
    """Judges several models.

    Args:
        deliveries: the sinks.
        time_s: now, epoch seconds.
    """

    def __init__(
        self, several: Sequence[Settings], deliveries: Sequence[Delivery], *, time_s: Callable[[], float] = time.time
    ) -> None:
        self.several = several
        self.source = Source(several)
        self.by_model = self.source.by_model
        self.deliveries = deliveries
        self.time_s = time_s
        self.settings = several[0].alerts
        self.book = Book(self.settings)
        self.picture = Picture.of(several)
        self.lock = threading.Lock()
        self._thinning = Thinning(0.0)
        self.caught_up = threading.Event()
        self.listening_s = 0.0
        """Since when brokers have answered."""
        self._heard_s = self._judged_s = self._refreshed_s = 0.0
        self._said = ""

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────

    def run(self, stopping: threading.Event) -> None:
        """Watch until it is set; where brokers go away, they are waited for.

        Raises:
            KafkaUnavailable: they have never been there, or a topic is not.
            ConfigError: the configurations do not go together.
        """
        while not stopping.is_set():
            try:
                self._watch(stopping)
            except KafkaUnavailable as error:
                if isinstance(error, KafkaRefused) or not self.caught_up.is_set():
                    raise
                self._away(str(error))
                stopping.wait(AGAIN_S)

    def _watch(self, stopping: threading.Event) -> None:
        with self.opened() as reading:
            self.catch_up(reading)
            while not stopping.is_set():
                self._hear(reading)
                now_s = self.time_s()
                if now_s - self._judged_s >= self.settings.every and self._can_hear(now_s):
                    self._judged_s = now_s
                    self.tell(self.judge(now_s))
                    self._refresh(now_s)

    def opened(self, *, timeout_s: float = TIMEOUT_S) -> Reading:
        """The topics: announcements from the first one on, since what serves now may have been announced long ago.

        Raises:
            KafkaUnavailable: no broker answers, or a topic is not there.
        """
        reach(self.source.kafka, timeout_s=timeout_s)
        since_s = self.time_s() - self.settings.history
        reading = Reading(self.source.kafka, since_s=since_s, records_max=RECORDS_MAX, least=0)
        try:
            present = reading.present(timeout_s=timeout_s)
            if missing := sorted(self.source.keys.keys() - present.keys()):
                to_do = "create them with `anabranch topics create CONFIG`"
                raise KafkaUnavailable(f"topics that are not there: {', '.join(missing)}; {to_do}")
            reading.add(topics_of(present, self.source.keys), whole=self.source.whole)
        except KafkaUnavailable:
            reading.close()
            raise
        return reading

    def catch_up(self, reading: Reading) -> None:
        """Read what is there, and judge the last hour of it, so that it is known since when something fires.

        Raises:
            KafkaUnavailable: nothing comes any more, or a topic is gone.
        """
        backlog, picture = Backlog(), Picture.of(self.several)
        self._thinning = Thinning(self.time_s(), windows=False)
        for message in reading.until_caught_up():
            if (record := self._record(message, picture)) is not None:
                backlog.add(record)
        self.begin(backlog.in_order(), picture)

    def begin(self, records: Iterable[Record], picture: Picture) -> None:
        """Go on from what was on the topics.

        Args:
            records: the oldest first.
            picture: into which they are heard.
        """
        for now_s in self._replayed(records, picture):
            self.book.judge(judged(picture, self.by_model, Moment(now_s)), now_s, telling=False)
        picture.count_from_now()
        with self.lock:  # only now: whoever exports metrics sees nothing of the past as news
            self.picture = picture
        self.listening_s = self._heard_s = self.time_s()
        self.caught_up.set()

    def _replayed(self, records: Iterable[Record], picture: Picture) -> Iterator[float]:
        """Hears them; gives the moments at which they are to be judged. After the first time the book knows better."""
        end_s = self.time_s()
        due_s = end_s if self.caught_up.is_set() else end_s - REPLAY_S
        for record in records:
            while due_s < min(record.at_s, end_s):
                yield due_s
                due_s += self.settings.every
            picture.hear(record)
        while due_s < end_s:
            yield due_s
            due_s += self.settings.every

    def _record(self, message: Message, picture: Picture) -> Record | None:
        """What it says, if that is about one of these models."""
        record = readable(self.source, picture, message, self._thinning)
        if record is None or model_of(record.message) not in self.by_model:
            return None
        if isinstance(record.message, DeadLetter):  # nobody judges by the refused value, and it may be large
            return record._replace(message=record.message.model_copy(update={"value_base64": ""}))
        return record

    def _hear(self, reading: Reading) -> None:
        messages = reading.poll(POLL_S)
        with self.lock:
            for message in messages:
                if (record := self._record(message, self.picture)) is not None:
                    self.picture.hear(record)
        if messages:
            self._heard_s = self.time_s()

    def _can_hear(self, now_s: float) -> bool:
        """Whether brokers answer: where they do not, learners are not silent, but we are deaf."""
        if now_s - self._heard_s >= QUIET_S:
            try:
                reach(self.several[0].kafka, timeout_s=REACH_S)
            except KafkaUnavailable as error:
                self._away(str(error))
                return False
        if self._said:
            log.info("brokers answer again")
            # What was told while they were away is still to come, and so is whoever has waited for them.
            self.listening_s, self._said = now_s, ""
        return True

    def _away(self, reason: str) -> None:
        if not self._said:
            log.warning("nothing is judged: brokers do not answer", reason=reason)
        self._said = reason

    # ── judging and telling ─────────────────────────────────────────────────────────────────────────────────────

    def judge(self, now_s: float) -> list[Notice]:
        """What is to be told now."""
        with self.lock:
            found = judged(self.picture, self.by_model, Moment(now_s, self.listening_s))
            passed_over = self.book.passed_over
            notices = self.book.judge(found, now_s)
        if self.book.passed_over > passed_over == 0:
            log.error("alerts are passed over", active_max=self.settings.active_max, to_do="mend some, or raise it")
        return notices

    def tell(self, notices: Sequence[Notice]) -> None:
        """Hand them to all sinks."""
        for each in self.deliveries if notices else ():
            each.put(notices)

    def _refresh(self, now_s: float) -> None:
        """Alertmanager takes for over what is not told again."""
        if now_s - self._refreshed_s < REFRESH_S:
            return
        self._refreshed_s = now_s
        firing = self.book.firing()
        for each in self.deliveries if firing else ():
            if each.configured.use == "alertmanager":
                each.put(firing)


class WatcherCollector(Collector):
    """What of the alerts Prometheus is told."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher

    def collect(self) -> Iterable[Metric]:
        """Alerts by rule and state, and what came of telling them."""
        active = GaugeMetricFamily(
            "anabranch_alerts_active",
            "alerts, pending or firing",
            labels=["model", "scope", "rule", "severity", "state"],
        )
        told = CounterMetricFamily(
            "anabranch_notifications", "alerts, by what came of telling them to a sink", labels=["sink", "outcome"]
        )
        with self.watcher.lock:
            for key, entry in self.watcher.book.entries.items():
                state = "firing" if entry.fires else "pending"
                active.add_metric([key.model, key.scope, key.rule, entry.judged.rule.severity, state], 1)
        for each in self.watcher.deliveries:
            for outcome, count in each.outcomes.items():
                told.add_metric([each.name, outcome], count)
        return [active, told]

    def describe(self) -> Iterable[Metric]:
        """None: the names need not be known before."""
        return []
