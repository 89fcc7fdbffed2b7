"""Runs a learning loop, and another one from the last checkpoint whenever what it stands on was away."""

import gc
import signal
import threading
from collections.abc import Callable

import structlog

from anabranch import kafka as clients
from anabranch.errors import AnabranchError, KafkaUnavailable, SessionExpired, StoreUnavailable
from consumers.loop import LearningLoop
from consumers.timing import Voice

log = structlog.get_logger()

AGAIN_S, AGAIN_MAX_S = 1.0, 15.0
"""Between two attempts to join again: at first, and at most, since each reads a checkpoint. A stop is heard between."""

REACH_S = 1.0
"""So long a broker may take to answer."""

_NO_LAST_CHECKPOINT = (
    "stopped without a last checkpoint: what came after the one before is learned again at the next start"
)

Make = Callable[[threading.Event, LearningLoop | None], LearningLoop]
"""Makes a loop from the event that stops it, and the loop before it, if there was one."""


def supervise(make: Make, *, until_end: bool) -> LearningLoop:
    """Run a loop, and another from the last checkpoint whenever broker or store were away, or the group let it go.

    SIGTERM and Ctrl-C end it after a checkpoint. A broker or a store that has never been there is an error; one that
    goes away is waited for as long as it takes.

    Returns:
        The loop that came to the end.
    """
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # process 1 of a container would not hear it otherwise
    loop = make(stopping, None)  # up to here there is nothing to checkpoint: a signal ends the process at once
    begin(stopping)
    return run_on(make, loop, stopping=stopping, until_end=until_end)


def begin(stopping: threading.Event) -> None:
    """The process is about to learn: from here on SIGTERM and Ctrl-C set `stopping`, and no more."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    gc.freeze()  # what is there now stays: the collector need not look at it again
    gc.set_threshold(50_000, 20, 50)


def run_on(make: Make, loop: LearningLoop, *, stopping: threading.Event, until_end: bool) -> LearningLoop:
    """Run this loop, and those after it: what `supervise` does once signals are heard."""
    waiting = _Waiting(stopping)
    while True:
        try:
            loop.run(until_end=until_end)
            return loop
        except SessionExpired as error:
            following = waiting.for_next(make, loop, reason=error)
        except (KafkaUnavailable, StoreUnavailable) as error:
            if stopping.is_set() and _can_leave(loop, error):
                return loop
            if not loop.has_run:
                raise  # it has never run
            following = waiting.for_next(make, loop, reason=error)
        if following is None:
            return loop
        loop = following


def _can_leave(loop: LearningLoop, reason: AnabranchError) -> bool:
    """Whether a process that is to end may end well all the same: what it had belongs to others, or it had nothing.

    Where partitions are shared the group may deal them anew at any moment, and then it takes no commit of before.
    """
    if isinstance(reason, SessionExpired) and not loop.is_global:
        loop.owners.clear()  # what they hold is older than what their next owners learn
    if not loop.owners:
        log.warning(_NO_LAST_CHECKPOINT, reason=str(reason))
    return not loop.owners


class _Waiting:
    """The time between two loops.

    Args:
        stopping: set when the process is to end.
    """

    def __init__(self, stopping: threading.Event) -> None:
        self.stopping = stopping
        self.voice = Voice()
        self.pause_s = AGAIN_S

    def for_next(self, make: Make, before: LearningLoop, *, reason: AnabranchError) -> LearningLoop | None:
        """The next loop, as soon as a broker answers; None if this process is to end before that, and may.

        Raises:
            KafkaUnavailable, StoreUnavailable: somebody wanted this process to end meanwhile.
        """
        ended_by = reason
        is_news = before.was_well or isinstance(reason, SessionExpired)
        self.pause_s = AGAIN_S if is_news else min(2 * self.pause_s, AGAIN_MAX_S)
        while not self.stopping.wait(self.pause_s):
            try:
                # First a short question: a loop reads its checkpoint, which is in vain while no broker answers.
                clients.reach(before.settings.kafka, timeout_s=REACH_S)
                loop = make(self.stopping, before)
            except (KafkaUnavailable, StoreUnavailable) as error:
                reason = error
                self._say(reason)
                continue
            if is_news:
                log.warning("joining again", reason=str(reason))
            else:
                self._say(reason)
            return loop
        if _can_leave(before, ended_by):
            return None
        kind = StoreUnavailable if isinstance(reason, StoreUnavailable) else KafkaUnavailable
        raise kind(f"{reason}\n{_NO_LAST_CHECKPOINT}")

    def _say(self, reason: AnabranchError) -> None:
        is_store = isinstance(reason, StoreUnavailable)
        self.voice.waits(str(reason), what="the store of the checkpoints" if is_store else "a broker")
