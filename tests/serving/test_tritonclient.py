"""The Open Inference Protocol as a client of others speaks it: tritonclient, over a real socket."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from river import naive_bayes

from anabranch.testing import MemoryFollower
from support.scorers import FEATURES, Scorer, linear, scorer

pytestmark = pytest.mark.peers
http = pytest.importorskip(
    "tritonclient.http", reason="tritonclient is not installed: make peers", exc_type=ImportError
)
utils = pytest.importorskip("tritonclient.utils", reason="tritonclient is not installed: make peers")

TYPES: dict[str, Any] = {"FP64": np.float64, "INT64": np.int64, "BOOL": np.bool_, "BYTES": np.object_}


@pytest.fixture(scope="module")
def served() -> Iterator[Scorer]:
    """A binary model, and one of words, truths and three classes."""
    fraud, colours = MemoryFollower("fraud"), MemoryFollower("colours")
    fraud.publish(linear(), features=FEATURES)
    model = naive_bayes.BernoulliNB()
    for number in range(90):
        model.learn_one({"is_warm": number % 3 == 0, "is_dark": number % 3 == 1}, ("red", "green", "blue")[number % 3])
    colours.publish(model, features=["is_warm", "is_dark"], task="multiclass")
    with scorer(fraud, colours, MemoryFollower("later")) as running:
        yield running


@pytest.fixture
def client(served: Scorer) -> Iterator[Any]:
    """A client that is connected."""
    with http.InferenceServerClient(f"127.0.0.1:{served.port}") as made:
        yield made


def tensor(name: str, datatype: str, values: list[Any], *, is_column: bool = False, binary: bool = False) -> Any:
    """An input of shape [n], or [n, 1]."""
    array = np.array(values, dtype=TYPES[datatype])
    array = array.reshape(-1, 1) if is_column else array
    made = http.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def test_it_is_live_and_ready(client: Any) -> None:
    """Server and models; one without a champion is not, nor is a version that is not in use."""
    assert client.is_server_live()
    assert not client.is_server_ready()  # `later` has no model yet
    assert client.is_model_ready("fraud")
    assert client.is_model_ready("fraud", "1")
    assert not client.is_model_ready("fraud", "2")
    assert not client.is_model_ready("later")


def test_it_describes_itself(client: Any) -> None:
    """Server, and model with its tensors."""
    assert client.get_server_metadata()["name"] == "anabranch"
    about = client.get_model_metadata("fraud")
    assert (about["name"], about["versions"]) == ("fraud", ["1"])
    assert [each["name"] for each in about["inputs"]] == ["amount", "risk"]


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("is_column", [False, True])
def test_numbers_are_answered(served: Scorer, client: Any, is_column: bool, binary: bool) -> None:
    """As the follower answers them; both outputs come, as binary data, which is what this client asks for."""
    inputs = [
        tensor("amount", "FP64", [6.0, 1.0], is_column=is_column, binary=binary),
        tensor("risk", "INT64", [1, 2], is_column=is_column, binary=binary),
    ]
    result = client.infer("fraud", inputs, request_id="q7")
    assert result.get_response()["id"] == "q7"
    assert result.as_numpy("prediction").tolist() == [True, False]
    told = served.followers[0].predict_proba_one({"amount": 6.0, "risk": 1})[True]
    assert result.as_numpy("probability").tolist()[0] == told


def test_truths_are_answered_by_words(client: Any) -> None:
    """BOOL in, BYTES out, with a row of probabilities for each."""
    inputs = [
        tensor("is_warm", "BOOL", [True, False], binary=True),
        tensor("is_dark", "BOOL", [False, True], is_column=True),
    ]
    result = client.infer("colours", inputs)
    assert result.as_numpy("prediction").tolist() == [b"red", b"green"]
    words = client.infer("colours", inputs, outputs=[http.InferRequestedOutput("prediction", binary_data=False)])
    assert words.as_numpy("prediction").tolist() == ["red", "green"]
    assert result.as_numpy("probabilities").shape == (2, 3)


def test_words_arrive(client: Any) -> None:
    """BYTES in: the linear model cannot take them, and says so in words."""
    with pytest.raises(utils.InferenceServerException, match="cannot answer these features"):
        client.infer("fraud", [tensor("amount", "BYTES", ["six"]), tensor("risk", "INT64", [1])])
    unknown = [tensor("amount", "FP64", [6.0]), tensor("note", "BYTES", ["größer"], binary=True)]
    assert client.infer("fraud", unknown).as_numpy("prediction").shape == (1,)


def test_what_is_asked_for_comes(client: Any) -> None:
    """One output of two, and no third."""
    inputs = [tensor("amount", "FP64", [6.0])]
    wanted = [http.InferRequestedOutput("probability", binary_data=False)]
    result = client.infer("fraud", inputs, outputs=wanted)
    assert result.as_numpy("prediction") is None
    assert result.as_numpy("probability").shape == (1,)
    with pytest.raises(utils.InferenceServerException, match="the model gives"):
        client.infer("fraud", inputs, outputs=[http.InferRequestedOutput("logits", binary_data=False)])


@pytest.mark.parametrize(
    ("model", "version", "status"), [("nobody", "", "404"), ("fraud", "2", "404"), ("later", "", "503")]
)
def test_what_is_not_there_is_an_exception(client: Any, model: str, version: str, status: str) -> None:
    """With the status of HTTP."""
    with pytest.raises(utils.InferenceServerException) as caught:
        client.infer(model, [tensor("amount", "FP64", [6.0])], model_version=version)
    assert caught.value.status() == status
