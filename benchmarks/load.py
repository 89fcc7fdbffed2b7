"""Asks a server on this machine, open loop (at a rate) or closed (as much as it takes), in a process of its own.

    python -m benchmarks.load --port 8080 --body FILE [--rate 500] [--seconds 8] [--connections 16]

At a rate, each request has its moment, and its latency counts from there, also if it had to wait for a connection: a
server that stalls cannot hide it by slowing down who asks (coordinated omission). It is one loop around `select`, whose
timeout is exact to microseconds; the timers of event loops are to milliseconds.
"""

import argparse
import json
import re
import select
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
VERSION = re.compile(rb'"version":(\d+)')
GRACE_S = 5.0
"""So long the last answers may take."""


class Load:
    """Requests on connections that are kept."""

    def __init__(self, port: int, request: bytes, *, connections: int) -> None:
        self.port = port
        self.request = request
        self.free = deque(self._connected() for _ in range(connections))
        self.asked: dict[socket.socket, tuple[float, bytes]] = {}
        """Since when it waits for the answer to which bytes of it are there."""
        self.latencies_s: list[float] = []
        self.sent = self.failures = 0
        self.versions: set[bytes] = set()

    def _connected(self) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.port), timeout=GRACE_S)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def at_rate(self, rate: float, *, seconds: float) -> None:
        """Open loop."""
        began_s, number, requests = time.perf_counter(), 0, int(rate * seconds)
        until_s = began_s + seconds + GRACE_S
        while (number < requests or self.asked) and time.perf_counter() < until_s:
            while number < requests and self.free and (due_s := began_s + number / rate) <= time.perf_counter():
                self._ask(since_s=due_s)
                number += 1
            waits_s = began_s + number / rate - time.perf_counter() if self.free else GRACE_S
            self._hear(max(0.0, waits_s) if number < requests else GRACE_S)
        self.failures += requests - number + len(self.asked)

    def as_much_as_it_takes(self, *, seconds: float) -> None:
        """Closed loop: on each connection, the next request when the one before is answered."""
        until_s = time.perf_counter() + seconds
        while time.perf_counter() < until_s:
            while self.free:
                self._ask(since_s=time.perf_counter())
            self._hear(GRACE_S)

    def _ask(self, *, since_s: float) -> None:
        connection = self.free.popleft()
        self.asked[connection] = (since_s, b"")
        self.sent += 1
        connection.sendall(self.request)

    def _hear(self, timeout_s: float) -> None:
        for connection in select.select(list(self.asked), [], [], timeout_s)[0]:
            since_s, before = self.asked[connection]
            try:
                data = connection.recv(65_536)
            except OSError:
                data = b""
            if not data:
                self.failures += 1
                del self.asked[connection]
                self.free.append(self._connected())
            elif _is_whole(answer := before + data):
                self.latencies_s.append(time.perf_counter() - since_s)
                del self.asked[connection]
                self.free.append(connection)
                self._see(answer)
            else:
                self.asked[connection] = (since_s, answer)

    def _see(self, answer: bytes) -> None:
        self.failures += not answer.startswith(b"HTTP/1.1 200 ")
        if found := VERSION.search(answer):
            self.versions.add(found[1])

    def close(self) -> None:
        """Close the connections."""
        for connection in (*self.free, *self.asked):
            connection.close()

    def summary(self, *, seconds: float) -> dict[str, Any]:
        """The figures of the run."""
        found = sorted(self.latencies_s)
        p50, p99 = (found[int(len(found) * share)] * 1e3 for share in (0.5, 0.99))
        answered = {"asked": self.sent, "failures": self.failures, "versions": len(self.versions)}
        return {**answered, "p50_ms": p50, "p99_ms": p99, "max_ms": found[-1] * 1e3, "per_s": len(found) / seconds}


def _is_whole(answer: bytes) -> bool:
    head, gap, body = answer.partition(b"\r\n\r\n")
    length = LENGTH.search(head + b"\r\n")
    return bool(gap) and length is not None and len(body) >= int(length[1])


def request_of(body: bytes) -> bytes:
    """The bytes of one request."""
    lines = ("POST /api/predict HTTP/1.1", "Host: localhost", "Content-Type: application/json")
    return "\r\n".join((*lines, f"Content-Length: {len(body)}", "", "")).encode() + body


def measured(port: int, body: Path, *, rate: float | None, seconds: float, connections: int) -> dict[str, Any]:
    """The figures of a run in another process."""
    words = ["--port", port, "--body", body, "--seconds", seconds, "--connections", connections]
    words += ["--rate", rate] if rate else []
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load", *map(str, words)], check=True, stdout=subprocess.PIPE
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main(words: Sequence[str] | None = None) -> None:
    """Ask, and print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--body", type=Path, required=True, help="the file with the body of the requests")
    parser.add_argument("--rate", type=float, help="requests a second; without it: as much as it takes")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--connections", type=int, default=16)
    options = parser.parse_args(words)
    load = Load(options.port, request_of(options.body.read_bytes()), connections=options.connections)
    load.at_rate(200, seconds=0.5)  # what is slow at the first time only
    load.latencies_s = []
    if options.rate:
        load.at_rate(options.rate, seconds=options.seconds)
    else:
        load.as_much_as_it_takes(seconds=options.seconds)
    load.close()
    print(json.dumps(load.summary(seconds=options.seconds)))


if __name__ == "__main__":
    main()
