"""The processes that tests start: none outlives its test, and each can be interrupted."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar
from unittest.mock import patch


def can_be_interrupted() -> None:
    """Give ignored signals their handlers back, once for all children of this process.

    A shell that is not interactive ignores SIGINT in its background jobs (`make test &`), and what is ignored stays so
    in every child: none of them could be interrupted by a test. What has a handler begins with the default in a child.
    """
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


class Child(subprocess.Popen[Any]):
    """A process that a test has started."""

    started: ClassVar[list["Child"]] = []

    def __init__(self, *args: Any, **how: Any) -> None:
        super().__init__(*args, **how)
        if isinstance(self.args, list) and self.args[0] == sys.executable:  # brokers serve the whole session
            self.started.append(self)


@contextmanager
def that_end() -> Iterator[None]:
    """Whatever happens: none is left running, or left for the operating system to collect."""
    with patch.object(subprocess, "Popen", Child):
        yield
    while Child.started:
        child = Child.started.pop()
        if child.poll() is None:
            child.kill()
            child.wait()
        for pipe in (child.stdin, child.stdout, child.stderr):  # a test that failed may have left them open
            if pipe is not None:
                pipe.close()
