"""`anabranch models envelope`: what may change by itself, and a person's word that it may."""

import hashlib
from pathlib import Path
from typing import Any

from anabranch.kafka.tail import Tail
from anabranch.messages import Decision, decode
from config import envelope
from config.loading import load
from support.command_line import anabranch, config_in
from support.publisher import Publisher


def config_of(embedded: Any, folder: Path) -> Path:
    kafka = f'[kafka]\n"bootstrap.servers" = "{embedded.bootstrap}"\n"fetch.wait.max.ms" = 50\n'
    steps = 'model.steps = [{ use = "dummy.PriorClassifier" }]'
    return config_in(folder, f'name = "m"\ntask = "binary"\n{steps}\n{kafka}')


def test_its_text_has_the_digest_that_versions_name(embedded: Any, tmp_path: Path) -> None:
    """As `sha256sum` computes it, with nothing around the text; and whoever approves says why."""
    config = config_of(embedded, tmp_path)
    done = anabranch("models", "envelope", config)
    digest = f"sha256:{hashlib.sha256(done.stdout.encode()).hexdigest()}"
    assert done.stderr.strip() == digest == envelope.digest(load(config))
    refused = anabranch("models", "envelope", config, "--approve")
    assert (refused.returncode, "--approve needs a --reason" in refused.stderr) == (2, True)


def test_an_approval_names_the_digest(embedded: Any, tmp_path: Path) -> None:
    """So that a learner that has come to yet another one refuses it."""
    config, publisher = config_of(embedded, tmp_path), Publisher(embedded.bootstrap)
    publisher.announce(1)
    publisher.sink.send("model-control", key="m", value=b"{}")
    publisher.sink.flush()
    done = anabranch("models", "envelope", config, "--approve", "--reason", "assessed", "--by", "ann")
    assert done.returncode == 0, done.stderr
    assert f"requested to approve {envelope.digest(load(config))} of m" in done.stdout
    with Tail(publisher.kafka, ["model-control"]) as tail:
        *_, last = [bytes(each.value() or b"") for each in tail.until_caught_up()]
    asked = decode(Decision, last)
    assert (asked.step, asked.envelope, asked.why, asked.by) == (
        "envelope",
        envelope.digest(load(config)),
        "assessed",
        "ann",
    )
