"""An exported version as MLflow loads it: `loader_module` of the folder that `anabranch models export --mlflow` writes.

MLflow imports this module where the model is to answer, and gives it the path of the data. Nothing is unpickled: the
bytes are those that the learner announced, verified by their digest and by the canary rows.
"""

import json
import math
from pathlib import Path
from typing import Any

from anabranch import artifact
from anabranch.artifact import Artifact

BYTES, ABOUT = "artifact.bin", "about.json"
"""The bytes as they lay on the topic, and what is needed to read them."""


class ExportedModel:
    """A version that answers rows of a table, or events.

    Args:
        unpacked: the version.
    """

    def __init__(self, unpacked: Artifact) -> None:
        self.unpacked = unpacked

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> list[Any]:
        """What the model predicts for each row: labels, or numbers.

        Args:
            model_input: a pandas DataFrame with a column for each feature, or dictionaries; missing and NaN are the
                same, and columns that the model does not know are passed over.
            params: `{"probabilities": True}` asks for a table of probabilities by label in place of labels.
        """
        rows = model_input.to_dict("records") if hasattr(model_input, "to_dict") else list(model_input)
        asked = (params or {}).get("probabilities", False)
        predict = self.unpacked.model.predict_proba_one if asked else self.unpacked.model.predict_one
        return [predict(self._known(row)) for row in rows]

    def _known(self, row: dict[str, Any]) -> dict[str, Any]:
        """The features that the model has learned with and that are not missing, as a follower gives it."""
        features = self.unpacked.features
        return {name: value for name, value in row.items() if name in features and not _is_missing(value)}


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _load_pyfunc(path: str) -> ExportedModel:
    """What MLflow calls with the path of the data.

    Raises:
        ArtifactError: the bytes are not those that were announced, or not for this River.
    """
    about = json.loads((Path(path) / ABOUT).read_text())
    data = (Path(path) / BYTES).read_bytes()
    return ExportedModel(artifact.unpack(data, sha256=about["sha256"], trusted=tuple(about["trusted"])))
