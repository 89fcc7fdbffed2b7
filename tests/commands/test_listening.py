"""A port that is taken: said before anything begins, and in words."""

import socket
from pathlib import Path

import pytest

from anabranch.errors import ConfigError
from commands.listening import refuse_unusable
from support.command_line import anabranch, config_in

CONFIG = 'name = "m"\ntask = "binary"\n[model]\nsteps = [{ use = "naive_bayes.GaussianNB" }]\n'


@pytest.mark.parametrize("verb", ["score", "dashboard"])
def test_a_taken_port_is_refused_before_the_first_line(tmp_path: Path, verb: str) -> None:
    """As `learn --metrics-port` does: nothing says that it is served, and 2 is not the code of unusable rows."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = anabranch(verb, config_in(tmp_path, CONFIG), "--port", port)
    assert (done.returncode, done.stdout) == (2, "")
    said = f"anabranch: {verb}: cannot listen on 127.0.0.1:{port}: Address already in use; give another --port"
    assert done.stderr.startswith(said), done.stderr


def test_a_host_of_no_machine_is_refused() -> None:
    """192.0.2.0/24 is for documents."""
    with pytest.raises(ConfigError, match=r"^score: cannot listen on 192\.0\.2\.1:80: Cannot assign"):
        refuse_unusable("192.0.2.1", 80, of="score")


def test_a_free_port_stays_free() -> None:
    """Whoever listens comes later."""
    refuse_unusable("127.0.0.1", 0, of="score")
