"""The scorer in this process, over a real socket."""

import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import uvicorn
from river import linear_model, preprocessing

from anabranch.testing import MemoryFollower
from config.settings import Score
from serving.application import application
from serving.models import Models, Served


class Reply(NamedTuple):
    """What came back: status, headers and the JSON."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Scorer(NamedTuple):
    """A running scorer: its port, and the followers that tests publish models with."""

    port: int
    followers: list[MemoryFollower]

    def ask(self, path: str, body: Any = None, *, method: str = "", **headers: str) -> Reply:
        """One request on a connection of its own; a body that is bytes is sent as it is."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method or ("GET" if data is None else "POST"), path, body=data, headers=sent)
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        is_json = response.headers.get("content-type", "").startswith("application/json")
        return Reply(response.status, dict(response.headers.items()), json.loads(text) if is_json else text.decode())

    def answers(self) -> bool:
        """Whether it is there."""
        try:
            return self.ask("/healthz").status == 200
        except OSError:
            return False


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
    return port


@contextmanager
def scorer(*followers: MemoryFollower, **score: Any) -> Iterator[Scorer]:
    """Serve the followers' models until the block ends."""
    models = Models([Served(each) for each in followers])
    app = application(models, Score(**score))
    config = uvicorn.Config(app, port=0, log_level="critical", access_log=False, ws="none", timeout_graceful_shutdown=9)
    server = uvicorn.Server(config)
    started = threading.Event()
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        started.wait(0.01)
        assert thread.is_alive()
    try:
        yield Scorer(server.servers[0].sockets[0].getsockname()[1], list(followers))
    finally:
        server.should_exit = True
        thread.join(15)
        assert not thread.is_alive()


def linear() -> Any:
    """A model of payments: amounts above three are fraud."""
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    for number in range(300):
        model.learn_one({"amount": float(number % 7), "risk": float(number % 3)}, number % 7 > 3)
    return model


FEATURES = ("amount", "risk")
EVENT = {"features": {"amount": 6.0, "risk": 1.0}}
