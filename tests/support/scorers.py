"""The scorer in this process, over a real socket."""

import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from river import linear_model, preprocessing

from anabranch.privacy import OPEN, Edge
from anabranch.testing import MemoryFollower
from config.output import Score
from serving.application import application
from serving.models import Models, Served
from serving.server import in_a_thread


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
def scorer(*followers: MemoryFollower, edge: Edge = OPEN, **score: Any) -> Iterator[Scorer]:
    """Serve the followers' models until the block ends."""
    app = application(Models([Served(each, edge=edge) for each in followers]), Score(**score))
    with in_a_thread(app) as port:
        yield Scorer(port, list(followers))


def linear() -> Any:
    """A model of payments: amounts above three are fraud."""
    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    for number in range(300):
        model.learn_one({"amount": float(number % 7), "risk": float(number % 3)}, number % 7 > 3)
    return model


FEATURES = ("amount", "risk")
EVENT = {"features": {"amount": 6.0, "risk": 1.0}}
