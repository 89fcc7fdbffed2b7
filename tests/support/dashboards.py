"""A dashboard in this process, over a real socket, on whatever Kafka it is given."""

import gzip
import http.client
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import uvicorn
from confluent_kafka import Producer
from websockets.sync.client import ClientConnection, connect

from anabranch.messages import Message, encode
from benchmarks.told_models import Told
from commands import dashboard as command
from config.output import Dashboard
from config.settings import Settings
from support.waiting import until

TABLE: dict[str, Any] = {"task": "binary", "model": {"steps": [{"use": "naive_bayes.GaussianNB"}]}}


def settings(*, bootstrap: str, name: str = "fraud", prefix: str = "", scope: str = "global") -> Settings:
    """Of a model that nobody trains."""
    table = {**TABLE, "name": name, "scope": scope, "topics": {"prefix": prefix}}
    return Settings(**table, kafka={"bootstrap.servers": bootstrap})


def publish(here: Settings, several: Iterator[Told] | list[Told]) -> None:
    """Put messages on the topics, at the times when they were told."""
    # Compressed, since the embedded broker keeps 5 MB a partition.
    servers = {"bootstrap.servers": str(here.kafka["bootstrap.servers"])}
    producer = Producer({**servers, "linger.ms": 50, "compression.type": "lz4"})
    for told in several:
        topic, value = here.topics.name(told.key), encode(told.message)
        producer.produce(topic, value, here.name, partition=0, timestamp=int(1000 * told.at_s))
        producer.poll(0)
    assert not producer.flush(30)


def say(here: Settings, key: str, message: Message) -> None:
    """One message, now."""
    publish(here, [Told(time.time(), key, message)])


class Reply(NamedTuple):
    """What came back: status, headers by their lower-case names, and the JSON, or the text."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Running(NamedTuple):
    """A running dashboard."""

    port: int
    app: Any

    def ask(self, path: str, body: Any = None, *, method: str = "", **headers: str) -> Reply:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        data = None if body is None else json.dumps(body).encode()
        try:
            connection.request(method or ("GET" if body is None else "POST"), path, body=data, headers=sent)
            response = connection.getresponse()
            data = response.read()
        finally:
            connection.close()
        found = {name.lower(): value for name, value in response.headers.items()}
        if found.get("content-encoding") == "gzip":
            data = gzip.decompress(data)
        is_json = found.get("content-type", "").startswith("application/json")
        return Reply(response.status, found, json.loads(data) if is_json else data.decode())

    @contextmanager
    def watch(self, **headers: str) -> Iterator[ClientConnection]:
        """A page that is open."""
        with connect(f"ws://127.0.0.1:{self.port}/live", additional_headers=headers, proxy=None) as page:
            yield page

    def has_read(self) -> bool:
        """Whether all that was on the topics is in the picture."""
        feed = self.ask("/healthz").body["feed"]
        return bool(feed["is_live"] and feed["share"] == 1.0 and feed["heard"])

    @property
    def hub(self) -> Any:
        """Where all pages are known."""
        return self.app.state.screens.hub


def next_of(page: ClientConnection, key: str, *, within_s: float = 15.0) -> dict[str, Any]:
    """The next message that says something of this kind."""
    ends_s = time.monotonic() + within_s
    while (left_s := ends_s - time.monotonic()) > 0:
        with suppress(TimeoutError):
            told: dict[str, Any] = json.loads(page.recv(timeout=left_s))
            if key in told:
                return told
    raise AssertionError(f"no {key} came within {within_s:g} s")


@contextmanager
def dashboard(*several: Settings, wait: bool = True, **section: Any) -> Iterator[Running]:
    """Serve these models until the block ends; it has read its topics by then, if it is to be waited for."""
    app = command.made(list(several), Dashboard(**section))
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", timeout_graceful_shutdown=1)
    config.ws = "websockets-sansio"
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="dashboard", daemon=True)
    thread.start()
    try:
        until(lambda: server.started or not thread.is_alive())
        running = Running(server.servers[0].sockets[0].getsockname()[1], app)
        if wait:
            until(running.has_read)
        yield running
    finally:
        server.should_exit = True
        thread.join(15)
        assert not thread.is_alive()
