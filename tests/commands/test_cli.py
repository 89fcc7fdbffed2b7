"""The command line: what people see, and the exit codes that scripts rely on."""

import json
import re
import signal
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

from anabranch import kafka as clients
from anabranch.errors import ConfigError
from anabranch.kafka import producer
from anabranch.kafka.tail import Tail
from anabranch.messages import encode
from commands import preflight
from commands.main import VERBS, app
from config.loading import build
from consumers.announcer import update_key
from consumers.kafka import topics
from consumers.kafka.sink import KafkaSink
from support.command_line import anabranch, config_in, ended, in_a_process, start
from support.publisher import UPDATE

MODEL = '[model]\nsteps = [{ use = "naive_bayes.GaussianNB" }]\n'


def stream_in(folder: Path, name: str, *, events: int, flipped: bool = False) -> Path:
    path = folder / name
    rows = [
        {"id": f"{name}-{n}", "ts": 1.6e9 + n, "features": {"a": float(n % 10)}, "label": (n % 10 > 4) != flipped}
        for n in range(events)
    ]
    path.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    return path


def test_check_says_that_a_good_configuration_is_good(tmp_path: Path) -> None:
    """And what it makes of it."""
    done = in_a_process("check", config_in(tmp_path, f'name = "m"\ntask = "binary"\n{MODEL}'))
    assert done.returncode == 0
    assert "good. m: binary, loss zero-one, scores accuracy, f1, logloss" in done.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f'name = "m"\ntsk = "binary"\n{MODEL}', "unknown key `tsk`; did you mean `task`?"),
        ('name = "m"\ntask = "binary"\n[model]\nsteps = [{ use = "tree.HoefdingTree" }]\n', "did you mean"),
        ('name = "m"\ntask = "binary"\n[model]\nsteps = [{ use = "linear_model.LinearRegression" }]\n', "classifier"),
        ("name = ", "not TOML"),
    ],
)
def test_check_says_what_is_wrong_and_exits_with_2(tmp_path: Path, text: str, said: str) -> None:
    """A message, not a traceback."""
    done = anabranch("check", config_in(tmp_path, text))
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_events_whose_labels_lie_in_a_second_file_need_no_column_of_labels(tmp_path: Path) -> None:
    """Each of several configurations too."""
    config = config_in(tmp_path, f'name = "m"\ntask = "binary"\n{MODEL}')
    rows = [(f"c{n}", 1_600_000_000 + n, n % 10) for n in range(200)]
    (events := tmp_path / "churn.csv").write_text("id,ts,a\n" + "".join(f"{i},{t},{a}\n" for i, t, a in rows))
    (labels := tmp_path / "labels.csv").write_text(
        "id,ts,label,revision,blocked\n" + "".join(f"{i},{t + 5},{a > 4},0,\n" for i, t, a in rows)
    )
    words = ("--data", events, "--id", "id", "--ts", "ts", "--labels", labels, "--json")
    done = anabranch("backtest", config, *words)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["events"] == 200
    assert json.loads(anabranch("backtest", config, config, "--compare", *words).stdout)["results"][0]["events"] == 200
    assert "name the label column by --target" in anabranch("backtest", config, "--data", events).stderr


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            "[constraints]\nmin_acuracy = 0.5\n",
            "constraints.min_acuracy: no metric 'acuracy' in river.metrics; did you mean `min",
        ),
        ("[constraints]\nmax_artifact_byte = 9\n", "did you mean `max_artifact_bytes`?"),
        (
            '[detectors.x]\nuse = "drift.ADWINN"\n',
            "detectors.x: no detector 'drift.ADWINN'; did you mean 'drift.ADWIN'?",
        ),
        ('[scores]\nmetrics = ["Acuracy"]\n', "no metric 'Acuracy' in river.metrics; did you mean Accuracy?"),
        ('[kafka]\n"bootstrap.server" = "a:1"\n', 'No such configuration property: "bootstrap.server"'),
        ('[kafka]\n"session.timeout.ms" = "soon"\n', "session.timeout.ms"),
        ('[checkpoint]\nstore = "/dev/null/x"\n', "checkpoint.store = '/dev/null/x': /dev/null is a file"),
        ('[publish]\nkey = "nope.key"\n', "`publish.key`: nope.key: the private key cannot be read: No such file"),
        ('[retrain]\nexecutor = "nomod:fn"\n', "retrain.executor = 'nomod:fn': ModuleNotFoundError: No module named"),
    ],
)
def test_what_check_finds_names_the_file(tmp_path: Path, more: str, said: str) -> None:
    """What a learner would refuse later: metrics, detectors, librdkafka's settings, folder, key and executor."""
    config = config_in(tmp_path, f'name = "m"\ntask = "binary"\n{MODEL}{more}')
    done = anabranch("check", config)
    assert done.returncode == 2
    assert done.stderr.startswith(f"anabranch: {config}: ")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_module_that_fails_is_refused_in_one_sentence(tmp_path: Path) -> None:
    """When it is imported, or when its factory is called; the file and the line are told."""
    (tmp_path / "fails_when_called.py").write_text("def make():\n    return 1 / 0\n")
    (tmp_path / "fails_at_once.py").write_text("1 / 0\n")
    for module, said in (("fails_when_called", ".py, line 2)"), ("fails_at_once", "ZeroDivisionError")):
        config = config_in(tmp_path, f'name = "m"\ntask = "binary"\nmodel.factory = "{module}:make"\n')
        done = anabranch("check", config)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
        assert done.stderr.startswith(f"anabranch: {config}: factory '{module}:make' ")
        assert said in done.stderr


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may be allowed everything, so the system's answer is given."""
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)
    table = {"name": "m", "task": "binary", "model": {"factory": "a:b"}}
    with pytest.raises(ConfigError, match=f"nothing can be written in {tmp_path}$"):
        preflight.look(build({**table, "checkpoint": {"store": f"{tmp_path}/a/b"}}))
    assert not list(tmp_path.iterdir())


def test_compare_names_the_configuration_that_is_wrong(tmp_path: Path) -> None:
    """Before the first one runs; a class that is not River's is told how to come in."""
    good = config_in(tmp_path, f'name = "m"\ntask = "binary"\n{MODEL}')
    bad = tmp_path / "bad.toml"
    bad.write_text('name = "m"\ntask = "binary"\nmodel.steps = [{ use = "sklearn.linear_model.SGDClassifier" }]\n')
    data = stream_in(tmp_path, "a.jsonl", events=20)
    done = anabranch("backtest", "--compare", good, bad, good, "--data", data)
    assert done.returncode == 2
    assert done.stderr.startswith(
        f"anabranch: {bad}: steps[0]: use = 'sklearn.linear_model.SGDClassifier': River has no"
    )
    assert "only River's classes go by `use`" in done.stderr
    assert 'factory = "my_module:make_model"' in done.stderr


def test_a_model_that_cannot_be_kept_is_refused_without_a_traceback(tmp_path: Path) -> None:
    """Also by a backtest, and with the file's name."""
    config = config_in(tmp_path, 'name = "m"\ntask = "binary"\nmodel.steps = [{ use = "neighbors.KNNClassifier" }]\n')
    done = anabranch("backtest", config, "--data", stream_in(tmp_path, "a.jsonl", events=20))
    assert done.returncode == 2
    assert done.stderr.startswith(f"anabranch: {config}: the model's state cannot be kept: ")


def test_the_version_is_told() -> None:
    """And River's, since models of another one cannot be read."""
    said = anabranch("--version").stdout
    assert re.fullmatch(r"anabranch \d+\.\d+\.\d+, River \d+\.\d+\.\d+\n", said)


@pytest.mark.parametrize("verb", VERBS)
def test_help_breaks_lines_where_the_terminal_does(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not where the source does: in each paragraph, the next word would not have fitted."""
    monkeypatch.setenv("COLUMNS", "80")
    said = CliRunner().invoke(app, [verb, "--help"]).stdout
    text = said[said.index("\n\n") : said.index("╭")].split("\n \n" if "\n \n" in said else "\n\n")
    for paragraph in text:
        lines = [line.strip() for line in paragraph.strip().splitlines() if line.strip()]
        for line, after in pairwise(lines):
            assert len(line) + 1 + len(after.split()[0]) > 78, line


def test_shells_can_complete_the_command() -> None:
    """As other commands are: `anabranch --install-completion`."""
    assert "--install-completion" in CliRunner().invoke(app, ["--help"]).stdout


def test_schema_prints_the_json_schema_of_every_message() -> None:
    """Producers and subscribers in any language can check against it."""
    schemas = json.loads(anabranch("schema").stdout)
    assert set(schemas) == {
        "Event",
        "Example",
        "Label",
        "DriftSignal",
        "ModelUpdate",
        "ModelReport",
        "Transition",
        "Alert",
        "AuditRecord",
        "Act",
        "DeadLetter",
        "Retrain",
        "RetrainAnswer",
        "Retire",
        "RetireAnswer",
        "Decision",
        "DecisionAnswer",
        "LearnedOrder",
        "TrainJob",
        "TrainResult",
        "ModelAck",
        "ModelPrediction",
        "SegmentModel",
    }
    assert schemas["Event"]["required"] == ["id", "ts", "features"]


def test_state_without_a_checkpoint_says_how_to_get_one(tmp_path: Path) -> None:
    """Exit code 1: nothing is wrong with the configuration."""
    text = f'name = "m"\ntask = "binary"\n{MODEL}[checkpoint]\nstore = "{tmp_path}/none"\n'
    done = anabranch("state", config_in(tmp_path, text))
    assert done.returncode == 1
    assert "anabranch learn" in done.stderr


def test_a_warm_up_trains_the_first_champion(tmp_path: Path) -> None:
    """It knows the concept from the first event on."""
    config = config_in(tmp_path, f'name = "m"\ntask = "binary"\n{MODEL}')
    old, new = stream_in(tmp_path, "old.jsonl", events=500), stream_in(tmp_path, "new.jsonl", events=100)
    cold = json.loads(anabranch("backtest", config, "--data", new, "--json").stdout)
    warm = json.loads(anabranch("backtest", config, "--data", new, "--warm-up", old, "--json").stdout)
    assert warm["scores"]["accuracy"] == 1.0
    assert cold["scores"]["accuracy"] < 1.0


def test_a_file_of_which_nothing_can_be_learned_is_an_error(tmp_path: Path) -> None:
    """It names the first reason, so that nobody takes zeros for a result."""
    config = config_in(tmp_path, f'name = "m"\ntask = "binary"\npositive = "yes"\n{MODEL}')
    done = anabranch("backtest", config, "--data", stream_in(tmp_path, "a.jsonl", events=20), "--json")
    assert done.returncode == 2
    assert "every row was refused" in done.stderr
    assert "label is a boolean, not a string" in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,target\n", "there are no events in it"),
        ("", "it is empty"),
        ("a,target\n1,2\n1,2,3\n", "row 1 has 3 cells, the header 2"),
        ("a,target\n1,\n", "none of its 1 events has a label"),
    ],
)
def test_a_file_without_events_is_an_error(tmp_path: Path, text: str, said: str) -> None:
    """Nobody takes zeros for a result."""
    config = config_in(tmp_path, f'name = "m"\ntask = "binary"\n{MODEL}')
    (path := tmp_path / "a.csv").write_text(text)
    done = anabranch("backtest", config, "--data", path)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("backtest", "m.toml", "--data", "a.csv", "--limit", "-5"),
        ("produce", "--data", "a.csv", "--limit", "0"),
        ("produce", "--data", "a.csv", "--rate", "0"),
        ("produce", "--data", "a.csv", "--rate", "-3"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(words: tuple[str, ...]) -> None:
    """With the option's name, before anything is done."""
    done = anabranch(*words)
    assert done.returncode == 2
    assert words[-2] in done.stderr
    assert "Traceback" not in done.stderr


def test_simulate_refuses_a_model_that_does_not_fit(tmp_path: Path) -> None:
    """As `check` does, before the first schedule."""
    text = 'name = "m"\ntask = "binary"\n[model]\nsteps = [{ use = "linear_model.LinearRegression" }]\n'
    done = anabranch("simulate", config_in(tmp_path, text), "--seeds", 1, "--records", 0, "--answers", 0)
    assert done.returncode == 2
    assert "classifier" in done.stderr
    assert "Traceback" not in done.stderr


def test_simulate_refuses_events_of_which_none_is_accepted(tmp_path: Path) -> None:
    """That all is well with nothing says nothing."""
    config = config_in(tmp_path, f'name = "m"\ntask = "binary"\npositive = "yes"\n{MODEL}')
    data = stream_in(tmp_path, "a.jsonl", events=20)
    done = anabranch("simulate", config, "--data", data, "--seeds", 1, "--records", 0, "--answers", 0)
    assert done.returncode == 2
    assert "label is a boolean, not a string" in done.stderr


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Brokers are waited for two seconds, not fifteen."""
    for waits in (clients.reach, topics.require):
        monkeypatch.setitem(waits.__kwdefaults__, "timeout_s", 2.0)


@pytest.mark.usefixtures("_impatient")
def test_a_broker_that_does_not_answer_is_named(tmp_path: Path) -> None:
    """Exit code 1, the address, and where it stands."""
    text = f'name = "m"\ntask = "binary"\n{MODEL}[kafka]\n"bootstrap.servers" = "127.0.0.1:1"\n'
    done = anabranch("learn", config_in(tmp_path, text))
    assert done.returncode == 1
    assert "no answer from 127.0.0.1:1" in done.stderr


def test_produce_publishes_on_the_topic_of_the_configuration(tmp_path: Path, any_kafka: Any, topic_prefix: str) -> None:
    """With its prefix: what is published elsewhere is never learned."""
    any_kafka.create_topic(f"{topic_prefix}events")
    text = f'name = "m"\ntask = "binary"\n{MODEL}[topics]\nprefix = "{topic_prefix}"\n'
    config = config_in(tmp_path, f'{text}[kafka]\n"bootstrap.servers" = "{any_kafka.bootstrap}"\n')
    done = anabranch("produce", "--config", config, "--data", stream_in(tmp_path, "a.jsonl", events=3))
    assert (done.returncode, done.stdout) == (0, f"3 events published on {topic_prefix}events\n"), done.stderr


def test_follow_without_a_broker_ends_in_time_and_says_so(tmp_path: Path) -> None:
    """And not that there is no such model."""
    begun_s = time.monotonic()
    done = anabranch("follow", "m", "--bootstrap", "127.0.0.1:1", "--timeout", 2)
    assert time.monotonic() - begun_s < 14  # 5 s, and the start of a process on a busy machine
    assert done.returncode == 1
    assert "no model of 'm' on model-updates within 2 s: no answer from 127.0.0.1:1" in done.stderr


@pytest.mark.usefixtures("_impatient")
def test_topics_cannot_be_created_without_a_broker(tmp_path: Path) -> None:
    """It asks where the broker is."""
    text = f'name = "m"\ntask = "binary"\n{MODEL}[kafka]\n"bootstrap.servers" = "127.0.0.1:1"\n'
    done = anabranch("topics", "create", config_in(tmp_path, text))
    assert done.returncode == 1
    assert "no answer from 127.0.0.1:1" in done.stderr
    assert "a broker runs there" in done.stderr


def test_follow_says_at_once_that_there_is_a_model_for_each_partition(tmp_path: Path) -> None:
    """As `state` does; it would wait for ever."""
    config = config_in(tmp_path, f'name = "m"\ntask = "binary"\nscope = "partition"\n{MODEL}')
    done = anabranch("follow", "m", "--config", config)
    assert done.returncode == 2
    assert "say --partition 0" in done.stderr


def test_follow_names_the_models_that_there_are(any_kafka: Any, topic_prefix: str) -> None:
    """Names are easily mistyped."""
    topic = f"{topic_prefix}model-updates"
    any_kafka.create_topic(topic)
    any_kafka.create_topic(f"{topic_prefix}model-artifacts")
    sink = KafkaSink(producer({"bootstrap.servers": any_kafka.bootstrap}))
    for model, scope, version in (("fraud", "global", 1), ("fraud", "global", 2), ("churn", "p3", 1)):
        update = UPDATE.model_copy(update={"model": model, "scope": scope, "version": version})
        sink.send(topic, key=update_key(update), value=encode(update))
    sink.flush()
    done = anabranch("follow", "fruad", "--bootstrap", any_kafka.bootstrap, "--topic", topic, "--timeout", 1)
    assert done.returncode == 1
    assert f"models on {topic}: churn (--partition 3), fraud" in done.stderr


def test_produce_refuses_a_file_without_events(tmp_path: Path, embedded: Any) -> None:
    """Nothing published is no success."""
    embedded.create_topic("events")
    (path := tmp_path / "a.csv").write_text("a,target\n")
    done = anabranch("produce", "--data", path, "--bootstrap", embedded.bootstrap)
    assert (done.returncode, done.stdout) == (2, "")
    assert "there are no events in it" in done.stderr


def test_produce_says_how_many_went_out_when_it_is_interrupted(tmp_path: Path, embedded: Any) -> None:
    """What was sent is delivered; exit code 130, as for every interrupted program."""
    embedded.create_topic("events")
    data = stream_in(tmp_path, "a.jsonl", events=1000)
    words = ("produce", "--data", data, "--bootstrap", embedded.bootstrap, "--rate", 5)
    process = start(*words)
    with Tail({"bootstrap.servers": embedded.bootstrap}, ["events"]) as tail:
        while not tail.poll(1.0):
            assert process.poll() is None
    process.send_signal(signal.SIGINT)
    done = ended(process)
    assert done.returncode == 130
    assert re.fullmatch(r"\d+ events published on events, then interrupted\n", done.stdout)
