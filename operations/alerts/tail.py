"""The topics of several models as records, from some time on: what alerts are judged by."""

from collections import deque
from collections.abc import Sequence

from confluent_kafka import OFFSET_BEGINNING, KafkaException, Message, TopicPartition

from anabranch.errors import KafkaUnavailable
from anabranch.kafka import TIMEOUT_S, consumer, partitions, reader
from anabranch.kafka.tail import Tail
from anabranch.messages import DeadLetter, ModelAck, ModelReport, UnreadableMessage
from config.settings import Settings
from operations.picture import COARSE_S, FINE_S, LETTERS_MAX, Picture, Record, model_of, read
from operations.reading import keys_of, one_kafka


class TopicsTail(Tail):
    """The records of all topics that a picture is made of; a context manager.

    Announcements are read from the first one on: what serves now may have been announced long ago.

    Args:
        since_s: epoch seconds from which on everything else is read.

    Raises:
        ConfigError: the configurations are of another Kafka each.
        KafkaUnavailable: no broker answers, or a topic is not there.
    """

    def __init__(self, several: Sequence[Settings], *, since_s: float, timeout_s: float = TIMEOUT_S) -> None:
        kafka = one_kafka(several)
        self.models = {each.name for each in several}
        self.keys = keys_of(several)
        self.topics = ", ".join(sorted(self.keys))
        every = [(topic, each) for topic in sorted(self.keys) for each in partitions(kafka, topic, timeout_s=timeout_s)]
        self.unread = set(every)
        self.consumer = consumer({**reader(kafka), "auto.offset.reset": "earliest", "enable.partition.eof": True})
        try:
            self.consumer.assign(self._begins(every, since_s, timeout_s))
        except (KafkaException, KafkaUnavailable) as error:
            self.consumer.close()
            raise KafkaUnavailable(f"{self.topics}: {error}") from error

    def _begins(self, every: list[tuple[str, int]], since_s: float, timeout_s: float) -> list[TopicPartition]:
        whole = [place for place in every if self.keys[place[0]] == "updates"]
        recent = [TopicPartition(*place, int(1000 * max(0.0, since_s))) for place in every if place not in whole]
        found = self.consumer.offsets_for_times(recent, timeout=timeout_s)
        return [*(TopicPartition(*place, OFFSET_BEGINNING) for place in whole), *found]

    def record(self, message: Message, picture: Picture) -> Record | None:
        """What a Kafka record says; None: nothing of these models. What cannot be read is counted."""
        value, topic = message.value(), message.topic() or ""
        if value is None:
            return None
        try:
            said = read(self.keys[topic], bytes(value))
        except UnreadableMessage:
            picture.unreadable[topic] += 1
            return None
        if model_of(said) not in self.models:
            return None
        if isinstance(said, DeadLetter):
            said = said.model_copy(update={"value_base64": ""})  # nobody judges by it, and it may be large
        return Record(message.timestamp()[1] / 1000, topic, message.partition() or 0, message.offset() or 0, said)


class Backlog:
    """What was on the topics at the start, to be heard in the order of time: topics are read in none.

    Of what there may be very much the newest is kept: refused records, what each follower said last, and of reports
    that are older than a quarter of an hour one in `COARSE_S`.

    Args:
        now_s: epoch seconds.
    """

    def __init__(self, now_s: float) -> None:
        self.fine_s = now_s - FINE_S
        self.others: list[Record] = []
        self.letters: dict[str, deque[Record]] = {}
        self.acks: dict[tuple[str, str, str], Record] = {}
        self.reports: dict[tuple[str, int, int], Record] = {}

    def add(self, record: Record) -> None:
        """One that was read."""
        said = record.message
        if isinstance(said, DeadLetter):
            self.letters.setdefault(model_of(said), deque(maxlen=LETTERS_MAX)).append(record)
        elif isinstance(said, ModelAck):
            place = (said.model, said.scope, said.follower)
            known = self.acks.get(place)
            if known is None or known.at_s <= record.at_s:
                self.acks[place] = record
        elif isinstance(said, ModelReport) and record.at_s < self.fine_s:
            self.reports[said.model, said.partition, int(record.at_s // COARSE_S)] = record
        else:
            self.others.append(record)

    def in_order(self) -> list[Record]:
        """All of them, the oldest first."""
        letters = [each for several in self.letters.values() for each in several]
        every = [*self.others, *letters, *self.acks.values(), *self.reports.values()]
        return sorted(every, key=lambda each: each.at_s)
