"""Brokers that cannot be used: every command says why in one sentence, soon, and with its exit code."""

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import NewTopic

from anabranch import follow
from anabranch.errors import AnabranchError, ConfigError, KafkaRefused, KafkaUnavailable
from anabranch.kafka import admin, examine, producer, publisher, reach
from anabranch.kafka.faults import NAMES, SUSPECT_S
from commands.brokers.local import LocalKafka
from commands.main import app, exit_code
from config.loading import build
from consumers.kafka.sink import KafkaSink
from consumers.kafka.topics import create, require, shortcomings, transactions
from support.brokers import asking_for_passwords
from support.command_line import as_before, config_in, in_a_process

MODEL = 'name = "m"\ntask = "binary"\n[model]\nsteps = [{ use = "naive_bayes.GaussianNB" }]\n[kafka]\n'
NOBODY = '"bootstrap.servers" = "127.0.0.1:1"\n'
SOON_S = 3.5

VERBS = {
    "check": ("check", "CONFIG", "--broker"),
    "learn": ("learn", "CONFIG"),
    "rebuild": ("rebuild", "CONFIG"),
    "watch": ("watch", "CONFIG"),
    "retrain": ("retrain", "CONFIG", "--reason", "test"),
    "retire": ("retire", "CONFIG", "--reason", "test"),
    "topics": ("topics", "create", "CONFIG"),
    "follow": ("follow", "m", "--config", "CONFIG", "--timeout", "1"),
    "produce": ("produce", "--config", "CONFIG", "--data", "DATA"),
}

WRONG = [
    ({"bootstrap.server": "a:1"}, r"`bootstrap.server` is no setting .*did you mean `bootstrap.servers`\?"),
    ({"sasl.usrname": "a"}, r"did you mean `sasl.username`\?"),
    ({"security.protocol": "SSLL"}, r"`security.protocol` = 'SSLL' is refused .* sasl_plaintext or sasl_ssl"),
    ({"session.timeout.ms": "soon"}, "`session.timeout.ms` = 'soon' is refused .* a whole number"),
    ({"session.timeout.ms": 0}, r"`session.timeout.ms` = 0 is refused .* from 1 to 3600000"),
    ({"session.timeout.ms": 2**40}, r"`session.timeout.ms` = 1099511627776: .* so large"),
    ({"bootstrap.servers": ["a:1", "b:1"]}, '`bootstrap.servers` is a list, .* write "a:1,b:1"'),
    ({"bootstrap.servers": ""}, "`bootstrap.servers` is empty; write"),
    ({"bootstrap.servers": " , "}, "`bootstrap.servers` is empty; write"),
    ({"bootstrap.servers": "a:1,,b:2"}, "names an empty address"),
    ({"bootstrap.servers": "http://a:1"}, "'http://a:1' is no address"),
    ({"bootstrap.servers": "a:b"}, "'a:b' is no address"),
    ({"security.protocol": "ssl", "ssl.ca.location": "/no/such.pem"}, "ssl.ca.location"),
    ({"security.protocol": "sasl_ssl", "sasl.mechanism": "PLAIN"}, "sasl.username and sasl.password must be set"),
    ({"sasl.mechanism": "PLAN", "security.protocol": "sasl_ssl"}, "Unsupported SASL mechanism: PLAN"),
    ({"error_cb": "none"}, "error_cb"),
]  # fmt: skip


@pytest.mark.parametrize(("kafka", "said"), WRONG, ids=lambda each: str(each)[:40])
def test_a_setting_that_is_wrong_is_named_before_anybody_is_asked(kafka: dict[str, Any], said: str) -> None:
    """In one sentence, for those who follow a model from Python as well; what may be written instead is said."""
    for make in (examine, lambda kafka: follow("m", kafka=kafka)):
        with pytest.raises(ConfigError, match=f"(?s)^kafka: .*{said}") as error:
            make(kafka)
        assert "\n" not in str(error.value)


def test_secrets_are_in_no_message() -> None:
    """Also when they are what is wrong."""
    for wrong in ({"sasl.password": ["hush"]}, {"ssl.key.pem": "hush", "security.protocol": "ssl"}):
        with pytest.raises(ConfigError) as error:
            examine(wrong)
        assert "hush" not in str(error.value)


def test_every_name_that_is_proposed_is_one_of_librdkafkas() -> None:
    """A list of our own may grow old."""
    for name in NAMES:
        try:
            examine({name: "\x01"})
        except ConfigError as error:
            assert "is no setting" not in str(error)  # noqa: PT017


@pytest.fixture
def carried_out(tmp_path: Path) -> Iterator[Callable[..., AnabranchError]]:
    """Runs a verb in this process; what it ends with."""
    (data := tmp_path / "a.csv").write_text("a,target\n1,1\n")

    def run(verb: str, more: str) -> AnabranchError:
        config = config_in(tmp_path, MODEL + more)
        words = [str({"CONFIG": config, "DATA": data}.get(word, word)) for word in VERBS[verb]]
        with pytest.raises(AnabranchError) as error:
            app(words, standalone_mode=False)
        assert "\n" not in str(error.value)
        return error.value

    with as_before():
        yield run


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    "wrong", ['"bootstrap.server" = "a:1"\n', '"security.protocol" = "SSLL"\n', '"bootstrap.servers" = ""\n']
)
def test_every_command_says_so(carried_out: Callable[..., AnabranchError], verb: str, wrong: str) -> None:
    """Whichever client it would have made; exit code 2."""
    error = carried_out(verb, wrong)
    assert "kafka: `" in str(error)
    assert exit_code(error) == 2


def test_what_a_command_says_is_a_sentence_and_no_traceback(tmp_path: Path) -> None:
    """The whole of its standard error."""
    done = in_a_process("learn", config_in(tmp_path, MODEL + '"bootstrap.server" = "a:1"\n'))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("anabranch: kafka: `bootstrap.server` is no setting")


# ── brokers that answer in no way, or in another ────────────────────────────────────────────────────────────────────


@contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that does so with each connection; its address."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    answer(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def web(connection: socket.socket) -> None:
    connection.recv(1000)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Callable[[socket.socket], None]:
    """Speaks TLS with a certificate that nobody has signed."""
    folder = tmp_path_factory.mktemp("tls")
    words = f"openssl req -x509 -newkey rsa:2048 -nodes -keyout {folder}/key -out {folder}/cert -days 2 -subj /CN=x"
    subprocess.run(words.split(), check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert", folder / "key")

    def answer(connection: socket.socket) -> None:
        try:
            with context.wrap_socket(connection, server_side=True) as wrapped:
                wrapped.recv(1000)
        except OSError:
            pass

    return answer


def said_of(kafka: dict[str, Any], *, timeout_s: float = 2.0) -> str:
    """What is said of such brokers, in time."""
    begun_s = time.monotonic()
    with pytest.raises(KafkaUnavailable) as error:
        reach(kafka, timeout_s=timeout_s)
    assert time.monotonic() - begun_s < timeout_s + 1.5
    assert "\n" not in str(error.value)
    return ("at once: " if isinstance(error.value, KafkaRefused) else "") + str(error.value)


def test_a_host_that_nobody_knows_is_said_at_once() -> None:
    """With its name, long before the time is over."""
    begun_s = time.monotonic()
    with pytest.raises(KafkaRefused, match=r"Failed to resolve 'no\.\.where:9092'.*check the hosts in `bootstrap"):
        reach({"bootstrap.servers": "no..where:9092"})
    assert time.monotonic() - begun_s < SOON_S


def test_one_host_that_nobody_knows_among_others_is_no_reason_to_give_up() -> None:
    """The others may come."""
    said = said_of({"bootstrap.servers": "no..where:9092,127.0.0.1:1"})
    assert not said.startswith("at once")


def test_a_port_at_which_nobody_listens() -> None:
    """It may be that the broker comes yet: the whole time is waited for."""
    said = said_of({"bootstrap.servers": "127.0.0.1:1"})
    assert said.startswith("no answer from 127.0.0.1:1: ")
    assert "Connection refused; check `bootstrap.servers` under [kafka], and that a broker runs there" in said


def test_a_listener_that_hangs_up() -> None:
    """What librdkafka supposes is passed on."""
    with listening(lambda connection: None) as address:
        said = said_of({"bootstrap.servers": address})
    assert "Disconnected" in said
    assert "check" in said


def test_a_web_server_is_no_broker() -> None:
    """Nor will it become one."""
    with listening(web) as address:
        said = said_of({"bootstrap.servers": address})
    assert said.startswith("at once: ")
    assert "what answers there is no Kafka broker" in said


def test_a_certificate_that_nobody_signed(tls: Callable[[socket.socket], None]) -> None:
    """At once, with the setting that names who may sign."""
    with listening(tls) as address:
        said = said_of({"bootstrap.servers": address, "security.protocol": "ssl"})
    assert said.startswith("at once: ")
    assert "certificate verify failed" in said
    assert "`ssl.ca.location`" in said


def test_a_listener_that_wants_tls(tls: Callable[[socket.socket], None]) -> None:
    """librdkafka tells of it in its log only."""
    with listening(tls) as address:
        said = said_of({"bootstrap.servers": address})
    assert "Disconnected" in said
    assert "`security.protocol`" in said


def test_a_listener_that_does_not_speak_tls() -> None:
    """The setting is named."""
    with listening(web) as address:
        said = said_of({"bootstrap.servers": address, "security.protocol": "ssl"})
    assert "check `security.protocol`" in said


def test_who_hangs_up_again_and_again_is_given_up_sooner_than_who_is_away() -> None:
    """A broker that is about to start may do so for a moment."""
    begun_s = time.monotonic()
    with listening(lambda connection: None) as address, pytest.raises(KafkaUnavailable, match=r"hangs up|security"):
        reach({"bootstrap.servers": address})
    assert SUSPECT_S - 1.5 < time.monotonic() - begun_s < SUSPECT_S + 3


def test_what_was_wrong_with_a_connection_is_in_later_messages_too() -> None:
    """A flush that nobody acknowledged says why."""
    stopping = threading.Event()
    stopping.set()
    sink = KafkaSink(producer({"bootstrap.servers": "127.0.0.1:1"}), stopping=stopping)
    sink.send("events", key="", value=b"{}")
    with pytest.raises(KafkaUnavailable, match=r"1 are still waiting .*Connection refused"):
        sink.flush()


@pytest.mark.kafka
@pytest.mark.slow
def test_a_real_broker_that_wants_a_password() -> None:
    """A wrong one, a mechanism that it has not, none at all; and the right one of a user without any rights."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    sasl = {"security.protocol": "sasl_plaintext", "sasl.mechanism": "PLAIN", "sasl.username": "ann"}
    with LocalKafka(properties=asking_for_passwords(port, {"ann": "right"})):
        there = {"bootstrap.servers": f"127.0.0.1:{port}"}
        with pytest.raises(KafkaRefused, match=r"^not authorised for events, model-updates: give this user the rights"):
            require({**there, **sasl, "sasl.password": "right"}, ["events", "model-updates"])
        said = said_of({**there, **sasl, "sasl.password": "wrong"})
        assert said.startswith("at once: ")
        assert "check `sasl.username`, `sasl.password`" in said
        other = said_of({**there, **sasl, "sasl.mechanism": "SCRAM-SHA-256", "sasl.password": "right"})
        assert other.startswith("at once: ")
        assert "`sasl.mechanism`" in other
        assert "`security.protocol`" in said_of(there)


# ── topics ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("verb", "needed"),
    {"learn": 12, "rebuild": 12, "check": 12, "watch": 7, "follow": 2, "produce": 1, "retrain": 1, "retire": 1}.items(),
)
def test_all_missing_topics_are_named_at_start(
    kafka: Any, topic_prefix: str, carried_out: Callable[..., AnabranchError], verb: str, needed: int
) -> None:
    """Soon, in one sentence, with the command that makes them; exit code 1."""
    begun_s = time.monotonic()
    error = carried_out(verb, f'"bootstrap.servers" = "{kafka.bootstrap}"\n[topics]\nprefix = "{topic_prefix}"\n')
    assert time.monotonic() - begun_s < 10
    assert exit_code(error) == 1
    assert str(error).count(topic_prefix) == needed
    assert "create them with `anabranch topics create CONFIG`" in str(error)


@pytest.mark.kafka
def test_topics_in_which_something_would_be_lost_are_told(kafka: Any, topic_prefix: str) -> None:
    """Compacted events, updates that go after a while, an open transaction; nothing of those that are right."""
    settings = build(
        {
            "name": "m",
            "task": "binary",
            "model": {"factory": "a:b"},
            "topics": {"prefix": topic_prefix},
            "kafka": {"bootstrap.servers": kafka.bootstrap},
        }
    )
    events = settings.topics.name("events")
    client = admin(settings.kafka)
    wrong = [
        NewTopic(events, 2, 1, config={"cleanup.policy": "compact"}),
        NewTopic(f"{topic_prefix}model-updates", 1, 1),
    ]
    for made in client.create_topics(wrong).values():
        made.result()
    create(settings)
    told = shortcomings(settings)
    assert [each.split()[0] for each in told] == [events, f"{topic_prefix}model-updates"]
    assert transactions(settings) == []
    producer_of_one = publisher({**settings.kafka, "transactional.id": topic_prefix})
    producer_of_one.init_transactions()
    producer_of_one.begin_transaction()
    producer_of_one.produce(events, b"{}", key=b"k", partition=1)
    producer_of_one.flush()
    assert [each for each in transactions(settings) if "still open holds back the records from offset 0 on" in each]
    producer_of_one.commit_transaction()
    assert [each for each in transactions(settings) if "partition 1 ends in the mark of a transaction" in each]


@pytest.mark.kafka
def test_topics_that_keep_less_than_late_labels_need_are_told(kafka: Any, topic_prefix: str) -> None:
    """Made by the command they are right; of others what is short is told: the days, and the examples there are."""
    said = {
        "name": "m",
        "task": "binary",
        "model": {"factory": "a:b"},
        "topics": {"prefix": topic_prefix},
        "kafka": {"bootstrap.servers": kafka.bootstrap},
        "labels": {"late": True, "horizon": "45d"},
    }
    settings = build(said)
    create(settings)
    assert shortcomings(settings) == []
    short = build(said | {"topics": {"prefix": f"{topic_prefix}short-"}})
    events, examples = short.topics.name("events"), short.topics.name("examples")
    client = admin(short.kafka)
    for made in client.create_topics([NewTopic(events, 1, 1, config={"retention.ms": "86400000"})]).values():
        made.result()
    create(short)
    producer = publisher(short.kafka)
    for _ in range(10):
        producer.produce(examples, b"{}", partition=0)
    producer.flush()
    for deleted in client.delete_records([TopicPartition(examples, 0, 4)]).values():
        deleted.result()
    told = shortcomings(short)
    assert [each.split(" and ")[0] for each in told] == [
        f"{events} has retention.ms=86400000 (1 d),",
        f"{examples} partition 0 holds 6 examples, those before them are gone,",
    ]


def test_topics_that_appear_when_asked_for_are_there(embedded: Any) -> None:
    """The embedded broker makes up every topic."""
    require({"bootstrap.servers": embedded.bootstrap}, ["a", "b"])
