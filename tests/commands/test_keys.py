"""Keys on the command line: made once, shown often, used by learners and followers, and refused with advice."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from anabranch.errors import ConfigError
from anabranch.kafka.updates import Updates
from anabranch.signatures import Signer, TrustedKeys
from commands.wiring import first_champion
from consumers import keys
from support.command_line import anabranch, config_in
from support.publisher import Publisher

CONFIG = """
name = "m"
task = "binary"
[model]
steps = [{{ use = "naive_bayes.GaussianNB" }}]
[kafka]
"bootstrap.servers" = "{bootstrap}"
[publish]
{publish}
[checkpoint]
store = "{folder}/checkpoints"
"""


def config(folder: Path, *, publish: str, bootstrap: str = "127.0.0.1:1") -> Path:
    return config_in(folder, CONFIG.format(folder=folder, publish=publish, bootstrap=bootstrap))


def test_a_new_key_is_its_owners_alone(tmp_path: Path) -> None:
    """The file has the public key as well, which is printed the same by both verbs."""
    path = tmp_path / "m.key"
    before = os.umask(0)
    try:
        made = anabranch("keys", "new", path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().startswith("-----BEGIN PRIVATE KEY-----")
    shown = anabranch("keys", "show", path)
    assert (made.returncode, shown.returncode, made.stdout) == (0, 0, shown.stdout)
    TrustedKeys([made.stdout])


def test_no_file_is_overwritten(tmp_path: Path) -> None:
    """A key that is gone can sign no more."""
    path = tmp_path / "m.key"
    anabranch("keys", "new", path)
    before = path.read_bytes()
    done = anabranch("keys", "new", path)
    assert (done.returncode, path.read_bytes()) == (2, before)
    assert "is there already and is not overwritten" in done.stderr
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    assert anabranch("keys", "new", tmp_path / "link").returncode == 2
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """It is named."""
    done = anabranch("keys", "new", tmp_path / "no" / "m.key")
    assert (done.returncode, "no/m.key cannot be written: No such file" in done.stderr) == (2, True)


def pem(private: Any, encryption: Any = None) -> bytes:
    data: bytes = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())
    return data


BAD = {
    "holds no private key": b"no key",
    "holds no private key in PEM": b"",
    "a key of another kind than Ed25519": pem(ec.generate_private_key(ec.SECP256R1())),
    "encrypted with a password": pem(Ed25519PrivateKey.generate(), BestAvailableEncryption(b"x")),
}


@pytest.mark.parametrize("said", BAD)
def test_a_file_without_such_a_key(tmp_path: Path, said: str) -> None:
    """What it holds, and what to do."""
    path = tmp_path / "m.key"
    path.write_bytes(BAD[said])
    path.chmod(0o600)
    done = anabranch("keys", "show", path)
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_may_read(tmp_path: Path, mode: int) -> None:
    """It says how to mend it."""
    path = tmp_path / "m.key"
    keys.make(path)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=rf"may be read by others .*{mode:04o}.*chmod 600"):
        keys.read(path)


def test_what_is_no_file(tmp_path: Path) -> None:
    """A pipe would be waited for without end."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(ConfigError, match=r"is no file|cannot be read"):
            keys.read(path)


def test_a_learner_whose_key_cannot_be_used_does_not_begin(tmp_path: Path, embedded: Any) -> None:
    """Nothing is consumed and nothing is written; the key of the configuration is named, also from the environment."""
    path = config(tmp_path, publish=f'key = "{tmp_path}/none.key"', bootstrap=embedded.bootstrap)
    done = anabranch("learn", path, "--until-end")
    assert done.returncode == 2
    assert "`publish.key`" in done.stderr
    assert "none.key` makes one" in done.stderr
    assert not (tmp_path / "checkpoints").exists()


def test_a_learner_signs_and_a_follower_sees_it(tmp_path: Path, embedded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """From `keys new` to `follow --trust`; another key is told what is wrong."""
    public = anabranch("keys", "new", tmp_path / "m.key").stdout.strip()
    other = anabranch("keys", "new", tmp_path / "other.key").stdout.strip()
    monkeypatch.setenv("ANABRANCH__PUBLISH__KEY", str(tmp_path / "m.key"))
    path = config(tmp_path, publish="warm_up_events = 20", bootstrap=embedded.bootstrap)
    events = tmp_path / "events.csv"
    events.write_text("a,target\n" + "".join(f"{n % 7},{n % 7 > 3}\n" for n in range(60)))
    assert anabranch("produce", "--config", path, "--data", events).returncode == 0
    learned = anabranch("learn", path, "--until-end")
    assert learned.returncode == 0, learned.stderr
    assert "not signed" not in learned.stderr
    kafka = {"bootstrap.servers": embedded.bootstrap}
    with Updates(kafka, topic="model-updates", model="m", keys=TrustedKeys([public])) as updates:
        assert list(updates.until_caught_up())
    words = ("follow", "m", "--bootstrap", embedded.bootstrap, "--once", "--timeout", 20)
    trusted = anabranch(*words, "--trust", other, "--trust", public)
    assert (trusted.returncode, "m version 1" in trusted.stdout) == (0, True)
    refused = anabranch(*words[:-1], 2, "--trust", other)
    assert refused.returncode == 1
    assert f"not among `trusted_keys`: key {public[:16]}" in refused.stderr


def test_a_learner_begins_from_what_a_trusted_key_has_signed(embedded: Any) -> None:
    """As followers do; a version of anybody else's is not there for it, and the error says why."""
    ours, others = (Signer(Ed25519PrivateKey.generate()) for _ in range(2))
    publisher = Publisher(embedded.bootstrap, signer=ours)
    publisher.announce(1)
    publisher.signer = others
    publisher.announce(2)
    score = publisher.settings.score.model_copy(update={"trusted_keys": (ours.public,)})
    careful = publisher.settings.model_copy(update={"score": score})
    assert first_champion(careful, published="models:/m@champion")()[1].note == "models:/m/1"
    with pytest.raises(ConfigError, match=r"models:/m/2: not on .* that one of score.trusted_keys has signed: 1"):
        first_champion(careful, published="models:/m/2")()
    assert first_champion(publisher.settings, published="models:/m/2")()[1].note == "models:/m/2"


def test_a_learner_without_a_key_says_so_where_others_can_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On this machine alone it does not."""
    publisher = Publisher("127.0.0.1:1")
    assert keys.signer_of(publisher.settings) is None
    assert capsys.readouterr().out == ""
    away = Publisher("kafka.example.com:9092")
    assert keys.signer_of(away.settings) is None
    said = capsys.readouterr().out
    assert "updates are not signed" in said
    assert "anabranch keys new FILE" in said


def test_a_backtest_needs_no_key(tmp_path: Path) -> None:
    """It announces nothing, and the key lies on the learner's machine."""
    events = tmp_path / "events.csv"
    events.write_text("a,target\n" + "".join(f"{n % 7},{n % 7 > 3}\n" for n in range(60)))
    path = config(tmp_path, publish=f'key = "{tmp_path}/none.key"\nwarm_up_events = 20')
    assert anabranch("backtest", path, "--data", events).returncode == 0
