"""Delivery: each sink in a thread of its own, so that one that hangs holds up neither the others nor the judging."""

import random
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence

import structlog

from config import alerts as settings
from operations.alerts.notice import Notice
from operations.alerts.sinks import Outcome, Sink

log = structlog.get_logger()

PAUSE_MAX_S = 60.0
QUEUED_MAX = 1000
LEAVE_S = 5.0
"""So long what is queued may take, when the process ends."""


def pauses_s(retry_s: float, *, attempts: int, rng: random.Random) -> Iterator[float]:
    """How long to wait before each attempt after the first: twice as long each time, and up to half of it less.

    Where many lose the same receiver at the same time, they do not all come back at the same time.

    >>> [round(each, 2) for each in pauses_s(1.0, attempts=4, rng=random.Random(1))]
    [0.57, 1.85, 3.53]
    """
    for attempt in range(attempts - 1):
        pause_s = min(PAUSE_MAX_S, retry_s * 2.0**attempt)
        yield pause_s * (0.5 + 0.5 * rng.random())


class Delivery:
    """Tells a sink what is put in, in order, each several times if need be; a bounded number of attempts.

    Args:
        seed: of the pauses between attempts.

    Attributes:
        outcomes: told, retried, given up, dropped: by alert, and by attempt where it is tried again.
    """

    def __init__(self, name: str, configured: settings.Sink, sink: Sink, *, seed: int) -> None:
        self.name = name
        self.configured = configured
        self.sink = sink
        self.rng = random.Random(f"{seed}/{name}")
        self.outcomes: Counter[str] = Counter(dict.fromkeys(("told", "retried", "given-up", "dropped"), 0))
        self._queue: deque[tuple[Notice, ...]] = deque()
        self._news = threading.Condition()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"sink-{name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after one more attempt to tell what is queued."""
        self._stopping.set()
        with self._news:
            self._news.notify()
        self._thread.join(LEAVE_S)

    def put(self, notices: Sequence[Notice]) -> None:
        """Have these told. Where too many wait, the oldest are dropped: the newest say how it is now."""
        wanted = tuple(each for each in notices if each.severity in self.configured.severities)
        if not wanted:
            return
        with self._news:
            self._queue.append(wanted)
            if len(self._queue) > QUEUED_MAX:
                self.outcomes["dropped"] += len(self._queue.popleft())
            self._news.notify()

    def _run(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._queue or self._stopping.is_set())
                if not self._queue:
                    return
                notices = self._queue.popleft()
            for each in self._parts(notices):
                self.deliver(each)

    def _parts(self, notices: tuple[Notice, ...]) -> list[tuple[Notice, ...]]:
        """Alertmanager takes several at once; a webhook one, so that none is told twice since another has failed."""
        return [notices] if self.configured.use == "alertmanager" else [(each,) for each in notices]

    def deliver(self, notices: tuple[Notice, ...]) -> Outcome:
        """Tell these, in as many attempts as it takes and as are allowed."""
        outcome = self.sink.tell(notices)
        for pause_s in pauses_s(self.configured.retry, attempts=self.configured.attempts, rng=self.rng):
            if not outcome.is_worth_another or self._stopping.wait(pause_s):
                break
            self.outcomes["retried"] += 1
            outcome = self.sink.tell(notices)
        self.outcomes["told" if outcome.is_well else "given-up"] += len(notices)
        if not outcome.is_well:
            rules = ", ".join(sorted({each.key.rule for each in notices}))
            log.error("alert not delivered", sink=self.name, rules=rules, reason=outcome.said)
        return outcome
