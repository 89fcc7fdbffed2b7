"""The command line: a verb in this process, which is quick, or in a process of its own, where that is the point."""

import gc
import io
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

import structlog

from commands.main import main
from support.checkout import ROOT

Done = subprocess.CompletedProcess[str]
ANABRANCH = [sys.executable, "-m", "commands.main"]
HANGS_S = 120.0


def anabranch(*words: object) -> Done:
    """What the verb prints and its exit code, carried out in this process, in the folder of the checkout."""
    line = ["anabranch", *map(str, words)]
    out, err = io.StringIO(), io.StringIO()
    with as_before(), chdir(ROOT), patch.object(sys, "argv", line), redirect_stdout(out), redirect_stderr(err):
        try:
            main()
            code: Any = 0
        except SystemExit as end:
            code = end.code or 0
    return Done(line, code, out.getvalue(), err.getvalue())


@contextmanager
def as_before() -> Iterator[None]:
    """Verbs are for a process of their own: its signals, its logs and its collector are put back."""
    signals = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    thresholds, logs, shared = gc.get_threshold(), structlog.get_config(), logging.getLogger("anabranch")
    handlers, propagate = shared.handlers, shared.propagate
    try:
        yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
        structlog.configure(**logs)
        shared.handlers, shared.propagate = handlers, propagate
        for number, handler in signals.items():
            signal.signal(number, handler)


def start(*words: object, **how: Any) -> subprocess.Popen[str]:
    """The verb in a process of its own, which runs beside the test."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment()}
    return subprocess.Popen([*ANABRANCH, *map(str, words)], **{**pipes, **how})


def ended(process: subprocess.Popen[str], *, within_s: float = HANGS_S) -> Done:
    """What a process has printed until its end; one that hangs is killed."""
    try:
        out, err = process.communicate(timeout=within_s)
    finally:
        process.kill()
    return Done(process.args, process.returncode, out, err)


def in_a_process(*words: object) -> Done:
    """What the verb prints and its exit code, in a process of its own."""
    return ended(start(*words, cwd=ROOT))


def config_in(folder: Path, text: str) -> Path:
    """A configuration of this text."""
    path = folder / "anabranch.toml"
    path.write_text(text)
    return path


def python(*words: object, **variables: str) -> str:
    """What Python prints with these arguments and environment variables; it must end well."""
    line = [sys.executable, *map(str, words)]
    done = subprocess.run(line, check=False, capture_output=True, text=True, env=environment(**variables))
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def environment(**variables: str) -> dict[str, str]:
    """That of a process that finds the rooms, and what tests share, wherever it runs."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests"))), **variables}
