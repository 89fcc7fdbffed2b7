"""How far a learner is before its first announcement, as its learned order tells."""

import threading

from anabranch.errors import KafkaUnavailable
from anabranch.follower import Follower
from anabranch.kafka.tail import Tail
from anabranch.messages import LearnedOrder, UnreadableMessage, decode

AGAIN_S = 1.0
WAIT_S = 0.2


class WarmUp:
    """Counts the labelled events that a model has learned, until somebody has a champion of it.

    Args:
        follower: of the model, on the learned order's topic.
        wanted: `publish.warm_up_events` of the learner.
    """

    def __init__(self, follower: Follower, *, wanted: int) -> None:
        self.follower = follower
        self.wanted = wanted
        self.told = False
        """Whether the learner has said anything yet, or is known to have said nothing."""
        self.learned = 0
        self._stopping = threading.Event()

    def __str__(self) -> str:
        return f"{self.learned} of {self.wanted} warm-up labels"

    def start(self) -> None:
        """Count in a thread, until the follower has a champion or `stop` is called."""
        threading.Thread(target=self._run, name=f"warm-up-{self.follower.model}", daemon=True).start()

    def stop(self) -> None:
        """End the thread, at some time."""
        self._stopping.set()

    def why_not_ready(self) -> dict[str, str]:
        """Nobody has to wait for the count itself."""
        return {}

    def _run(self) -> None:
        def waits() -> bool:
            return self.follower.in_use is None and not self._stopping.is_set()

        while waits():
            try:
                with Tail(self.follower.kafka, [self.follower.learned]) as tail:
                    while waits():
                        for message in tail.poll(WAIT_S):
                            self._hear(bytes(message.value() or b""))
                        self.told = self.told or tail.caught_up
            except KafkaUnavailable:  # the follower tells that
                self._stopping.wait(AGAIN_S)

    def _hear(self, value: bytes) -> None:
        try:
            order = decode(LearnedOrder, value)
        except UnreadableMessage:
            return
        if (order.model, order.scope) == (self.follower.model, self.follower.scope):
            self.learned, self.told = max(self.learned, order.event_number), True
