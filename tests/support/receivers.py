"""A server of HTTP that answers as a test wants, and remembers what it was sent."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

HANGS = 0
"""Instead of a status: it takes the request and answers nothing for a while."""
HANGS_UP = -1
"""It closes the connection without an answer."""


class Request(NamedTuple):
    """What came."""

    path: str
    headers: dict[str, str]
    body: bytes
    at_s: float


class Receiver:
    """Answers POSTs with these statuses in turn, then with 200."""

    def __init__(self, *statuses: int) -> None:
        self.requests: list[Request] = []
        self.left = list(statuses)
        self.port = 0
        self.let_go = threading.Event()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """One request."""
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        self.requests.append(Request(handler.path, headers, body, time.monotonic()))
        status = self.left.pop(0) if self.left else 200
        if status == HANGS:
            self.let_go.wait(30)
        if status > 0:
            handler.send_response(status)
            handler.send_header("Content-Length", "0")
            handler.end_headers()


@contextmanager
def receiver(*statuses: int) -> Iterator[Receiver]:
    """One on a port of its own, until the block ends."""
    here = Receiver(*statuses)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            here.answer(self)

        def log_message(self, *words: object) -> None:
            """Nothing is logged."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        here.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield here
        finally:
            here.let_go.set()
            server.shutdown()
            thread.join()
