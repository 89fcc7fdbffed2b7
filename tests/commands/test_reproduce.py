"""`anabranch reproduce`, where there is nothing to reproduce: that is never taken for a model that is not equal."""

import json
from pathlib import Path
from typing import Any

import pytest

from support.command_line import anabranch, config_in
from support.publisher import Publisher


@pytest.fixture
def config(tmp_path: Path, embedded: Any) -> Path:
    model = '[model]\nsteps = [{ use = "naive_bayes.GaussianNB" }]\n'
    kafka = f'[kafka]\n"bootstrap.servers" = "{embedded.bootstrap}"\n'
    return config_in(tmp_path, f'name = "m"\ntask = "binary"\n{model}{kafka}')


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["models:/other/1"], "the configuration is of m, not of other"),
        (["models:/m/1", "--partition", "0"], "leave --partition out"),
        (["no model"], "names no published model"),
    ],
)
def test_what_is_asked_wrongly_is_refused_with_2(words: list[str], said: str, config: Path) -> None:
    """With what to write."""
    done = anabranch("reproduce", *words, "--config", config)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_version_whose_order_is_not_told_cannot_be_reproduced(config: Path, embedded: Any) -> None:
    """Announced by another River, too: both are said with what to do, before anything is learned."""
    Publisher(embedded.bootstrap).announce(1, river="0.1.0")
    done = anabranch("reproduce", "models:/m/1", "--config", config, "--json")
    told = json.loads(done.stdout)
    assert (done.returncode, told["outcome"], told["sha256"]) == (2, "cannot", "")
    assert [each["code"] for each in told["findings"]] == ["reproduce.river", "reproduce.order"]
    assert all(each["fix"] for each in told["findings"])
