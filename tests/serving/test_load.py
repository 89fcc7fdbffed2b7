"""The load of `benchmarks/load.py`, against the scorer and against a server that stalls."""

import socket
import threading
import time

from anabranch.testing import MemoryFollower
from benchmarks.load import Load, request_of
from support.scorers import FEATURES, linear, scorer

BODY = b'{"features": {"amount": 6.0}}'


def test_all_requests_are_answered_at_the_rate() -> None:
    """And the versions that answered are counted."""
    follower = MemoryFollower("fraud")
    follower.publish(linear(), features=FEATURES)
    with scorer(follower) as running:
        load = Load(running.port, request_of(BODY), connections=2)
        load.at_rate(100, seconds=0.5)
        found = load.summary(seconds=0.5)
        load.close()
    assert (found["asked"], found["failures"], found["versions"]) == (50, 0, 1)
    assert len(load.latencies_s) == 50


def test_who_had_to_wait_for_a_connection_has_waited() -> None:
    """A server that sleeps over its first answer made all those late that were due meanwhile."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=stall_once, args=(listening,))
        thread.start()
        load = Load(listening.getsockname()[1], request_of(BODY), connections=1)
        load.at_rate(20, seconds=0.5)
        load.close()
        thread.join()
    assert sum(each > 0.1 for each in load.latencies_s) > 5


def stall_once(listening: socket.socket) -> None:
    """Answers requests on one connection, the first after half a second."""
    connection, _ = listening.accept()
    with connection:
        time.sleep(0.5)
        while connection.recv(1000):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
