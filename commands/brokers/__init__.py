"""librdkafka's built-in broker: it speaks Kafka's protocol inside this process, for demos, notebooks, quick tests."""

from types import TracebackType
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from anabranch.errors import KafkaUnavailable


class EmbeddedKafka:
    """A broker in this process's memory; a context manager. Nothing survives `stop`.

    Works (measured with librdkafka 2.16): producing (9,000 records a second one by one, 300,000 in batches),
    keys, headers and timestamps; consuming with `assign` and with groups; several members that share a group;
    synchronous commits with metadata, which `committed` gives back; watermarks; `auto.offset.reset=error` and
    "offset out of range"; `enable.partition.eof`. It leaves no files.

    Limits, which is why no guarantee is tested on it alone:
        - Every topic has 4 partitions and appears by itself when a producer or `create_topic` asks for it; the
          number cannot be chosen. CreateTopics, DeleteTopics and DescribeConfigs time out. A consumer that
          subscribes to an absent topic gets UNKNOWN_TOPIC_OR_PART.
        - A partition keeps its last 5 MB of batches as sent: 5,000 records of 1 kB, far more when compressed, 76,000
          of one byte when each is a batch of its own. Then its start moves on. There is no compaction.
        - Joining a group takes 3 s. Joining one that was left just before, in order or not, waits for
          `session.timeout.ms` as well (at 6000: up to 5 s, with `group.instance.id` 11 s; at librdkafka's 45000
          half a minute and more). Below 3000 a join never ends.
        - No fencing: two members with one `group.instance.id` share the partitions as if it were not set,
          and a commit for partitions of another member is accepted. Ownership is not protected.
        - Metadata of any length is accepted with a commit (Kafka refuses 4,096 bytes and more).
        - Transactions can be made but mean nothing: aborted records are read under `read_committed`.
        - `offsets_for_times` answers "end" whatever the time.

    Example:
        with EmbeddedKafka() as kafka:
            Producer({"bootstrap.servers": kafka.bootstrap})
    """

    kind = "librdkafka's embedded broker"

    def __init__(self) -> None:
        self._broker: AdminClient | None = None
        self._bootstrap = ""

    @property
    def bootstrap(self) -> str:
        """The address for `bootstrap.servers`; other processes on this machine can use it too."""
        self._running()
        return self._bootstrap

    def start(self) -> None:
        """Starts the broker (3 ms); does nothing when it runs.

        Raises:
            KafkaUnavailable: librdkafka cannot open a port on the loopback interface.
        """
        if self._broker is not None:
            return
        # A client with this property holds a whole broker: it lives as long as the client does.
        broker = AdminClient({"test.mock.num.brokers": 1, "log_level": 0})
        try:
            found = broker.list_topics(timeout=10).brokers.values()
        except KafkaException as error:
            raise KafkaUnavailable(f"the embedded broker did not start: {error}") from error
        self._broker, self._bootstrap = broker, ",".join(f"{b.host}:{b.port}" for b in found)

    def create_topic(self, topic: str) -> int:
        """Makes the topic appear, if it is not there yet; returns how many partitions it has (4)."""
        return len(self._running().list_topics(topic, timeout=10).topics[topic].partitions)

    def stop(self) -> None:
        """Ends the broker and forgets its records; does nothing when it is not running."""
        self._broker = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _running(self) -> AdminClient:
        if self._broker is None:
            raise KafkaUnavailable("the embedded broker is not running; use it as a context manager or call start()")
        return self._broker
