"""A version for other tools: MLflow loads it and predicts the same; the documents are as their schemas say."""

import copy
import hashlib
from pathlib import Path
from typing import Any

import orjson
import pytest
from river import linear_model

from anabranch import artifact
from anabranch.errors import ArtifactError
from anabranch.pyfunc import BYTES, _load_pyfunc
from operations import cards, exports
from operations.registry import Announced, Since
from support.command_line import anabranch, config_in
from support.publisher import UPDATE, Publisher

WHY = "mlflow-skinny or pandas is not installed: make peers"
ROWS = [{"a": 1.0, "b": None, "other": 3}, {"a": -2.0, "b": 0.5}, {"b": 4.0}]


def model() -> linear_model.LogisticRegression:
    made = linear_model.LogisticRegression()
    for n in range(200):
        made.learn_one({"a": n % 7 - 3, "b": n % 3 - 1}, n % 7 > 3)
    return made


@pytest.fixture(scope="module")
def packed() -> bytes:
    features = {"a": "number", "b": "number"}
    return artifact.pack(model(), task="binary", positive=None, features=features, canary=[{"a": 1.0, "b": 0.0}])


@pytest.fixture
def card(packed: bytes) -> cards.Card:
    """Of a version with all that a card may tell."""
    sha256 = hashlib.sha256(packed).hexdigest()
    update = UPDATE.model_copy(
        update={
            "version": 7,
            "announced_ts": 1.6e9,
            "reason": "r56-now wins",
            "by": "ann",
            "envelope": "sha256:0a",
            "river": "0.26.1",
            "python": "3.11.7",
            "numpy": "2.4.6",
            "positions": {"events/0": 40},
            "scores": {"accuracy": 0.9},
            "artifact": UPDATE.pointer.model_copy(update={"sha256": sha256}),
        }
    )
    unpacked = artifact.unpack(packed, sha256=sha256)
    return cards.card(
        Announced(update, 0, 3, "by key 0a, verified"),
        Since(1, 10, {"accuracy": 0.8}, 0.1, {}),
        model=cards.contents(unpacked),
        signal=None,
        aliases=["champion"],
        history=(),
    )


def expected() -> list[Any]:
    known = [{name: value for name, value in row.items() if name in "ab" and value is not None} for row in ROWS]
    return [model().predict_one(row) for row in known]


def test_an_exported_version_answers_as_the_model_does_and_tampered_bytes_do_not(
    card: cards.Card, packed: bytes, tmp_path: Path
) -> None:
    """Without MLflow: what MLflow calls. Unknown columns are passed over, and nothing is unpickled."""
    exports.mlflow(card, packed, tmp_path / "m", trusted=())
    loaded = _load_pyfunc(str(tmp_path / "m" / "data"))
    assert loaded.predict(ROWS) == expected()
    assert loaded.predict(ROWS, {"probabilities": True})[1] == model().predict_proba_one({"a": -2.0, "b": 0.5})
    (tmp_path / "m" / "data" / BYTES).write_bytes(packed[:-1] + b"x")
    with pytest.raises(ArtifactError):
        _load_pyfunc(str(tmp_path / "m" / "data"))


def test_the_documents_name_the_bytes_and_are_the_same_each_time(card: cards.Card) -> None:
    """Whoever makes them again can compare them."""
    bom, statement = exports.cyclonedx(card), exports.in_toto(card)
    assert bom == exports.cyclonedx(copy.deepcopy(card))
    assert bom["metadata"]["component"]["hashes"][0]["content"] == card["artifact"]["sha256"]
    assert statement["subject"] == [{"name": "models:/m/7", "digest": {"sha256": card["artifact"]["sha256"]}}]
    assert {"name": "anabranch:envelope", "value": "sha256:0a"} in bom["metadata"]["component"]["properties"]


def test_the_command_writes_them_all_and_overwrites_nothing(embedded: Any, tmp_path: Path) -> None:
    """From the topics alone."""
    publisher = Publisher(embedded.bootstrap)
    update = publisher.announce(1)
    publisher.sink.producer.produce("model-reports", b"{}")
    publisher.sink.producer.produce("drift-signals", b"{}")
    publisher.sink.flush()
    kafka = f'[kafka]\n"bootstrap.servers" = "{embedded.bootstrap}"\n"fetch.wait.max.ms" = 50\n'
    config = config_in(
        tmp_path, f'name = "m"\ntask = "binary"\nmodel.steps = [{{ use = "dummy.PriorClassifier" }}]\n{kafka}'
    )
    words = ["models", "export", "models:/m/1", "--config", config, "--mlflow", tmp_path / "m"]
    words += ["--cyclonedx", tmp_path / "bom.json", "--in-toto", tmp_path / "statement.json"]
    done = anabranch(*words)
    assert done.returncode == 0, done.stderr
    assert update.pointer.sha256 in done.stdout
    assert orjson.loads((tmp_path / "bom.json").read_bytes())["bomFormat"] == "CycloneDX"
    assert _load_pyfunc(str(tmp_path / "m" / "data")).predict([{"a": 1.0}]) == [True]
    assert anabranch(*words).returncode == 2
    assert "say what is to be written" in anabranch("models", "export", "models:/m/1", "--config", config).stderr


# ── as others read them: the extra [peers] ──────────────────────────────────────────────────────────────────────────


@pytest.mark.peers
def test_mlflow_loads_it_and_predicts_the_same(card: cards.Card, packed: bytes, tmp_path: Path) -> None:
    """By its own loader, from a DataFrame."""
    pyfunc = pytest.importorskip("mlflow.pyfunc", reason=WHY, exc_type=ImportError)
    pd = pytest.importorskip("pandas")
    exports.mlflow(card, packed, tmp_path / "m", trusted=())
    loaded = pyfunc.load_model(str(tmp_path / "m"))
    assert list(loaded.predict(pd.DataFrame(ROWS))) == expected()
    assert loaded.metadata.metadata["anabranch"]["name"] == "models:/m/7"


@pytest.mark.peers
def test_the_bill_of_materials_is_as_the_schema_of_cyclonedx_says(card: cards.Card) -> None:
    """Strictly; and the schema finds what is wrong."""
    validation = pytest.importorskip("cyclonedx.validation.json", reason="cyclonedx is not installed: make peers")
    schema = pytest.importorskip("cyclonedx.schema")
    validator = validation.JsonStrictValidator(schema.SchemaVersion.V1_6)
    assert validator.validate_str(orjson.dumps(exports.cyclonedx(card)).decode()) is None
    without = exports.cyclonedx({**card, "contents": {"fault": "its bytes are gone"}, "positions": {}})
    assert validator.validate_str(orjson.dumps(without).decode()) is None
    assert validator.validate_str(orjson.dumps({**without, "modelCard": {}}).decode()) is not None


@pytest.mark.peers
def test_the_statement_is_one_of_in_toto_and_its_predicate_one_of_slsa(card: cards.Card) -> None:
    """Read by their protobufs, which know no other key."""
    why = "in-toto-attestation is not installed: make peers"
    statement = pytest.importorskip("in_toto_attestation.v1.statement", reason=why)
    fields = pytest.importorskip("in_toto_attestation.v1.statement_pb2")
    slsa = pytest.importorskip("in_toto_attestation.predicates.provenance.v1.provenance_pb2")
    parsed = pytest.importorskip("google.protobuf.json_format").ParseDict
    told = exports.in_toto(card)
    statement.Statement.copy_from_pb(parsed(told, fields.Statement())).validate()
    predicate = parsed(told["predicate"], slsa.Provenance())
    assert predicate.build_definition.resolved_dependencies[0].uri == "kafka:events/0#0-40"
