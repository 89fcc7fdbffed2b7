"""`anabranch explain`: what is said before any broker is asked. (The rest: tests/whole/test_explain_on_kafka.py.)"""

from pathlib import Path

import pytest

from support.command_line import anabranch, config_in

CONFIG = 'name = "m"\ntask = "binary"\n[model]\nsteps = [{ use = "naive_bayes.GaussianNB" }]\n'


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ('{"features": {"amount": [1]}}', "features.amount: a list; a feature is a number"),
        ('{"amount": 1}', "amount: no such key"),
        ("[]", "there is no event in it"),
        ("{", "not JSON"),
    ],
)
def test_an_event_that_is_none_is_named(tmp_path: Path, event: str, said: str) -> None:
    """With its file, and the field."""
    path = tmp_path / "event.json"
    path.write_text(event)
    done = anabranch("explain", "models:/m/1", "--config", config_in(tmp_path, CONFIG), "--event", path)
    assert done.returncode == 1
    assert f"anabranch: {path}: " in done.stderr
    assert said in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "give the event either as a file"),
        (("--id", "a", "--event", "b"), "give the event either as a file"),
        (("--event", "nowhere.json"), "No such file"),
        (("--id", "a", "--png", "picture.gif"), "write a .png"),
    ],
)
def test_what_is_missing_is_said_first(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    """Before anything is read of Kafka."""
    done = anabranch("explain", "models:/m/1", "--config", config_in(tmp_path, CONFIG), *words)
    assert (done.returncode, said in " ".join(done.stderr.split())) == (2, True), done.stderr


def test_a_swap_of_another_model_names_the_configuration(tmp_path: Path) -> None:
    """It is of one model, and its topics may be others."""
    done = anabranch("explain-swap", "fraud", 2, "--config", config_in(tmp_path, CONFIG))
    assert (done.returncode, "is the configuration of m, not of fraud" in done.stderr) == (2, True)
