"""A version for other tools: as an MLflow model, as a CycloneDX bill of materials, as an in-toto statement.

All of them are made of the version's card and its bytes alone. What the log does not tell is left out.
"""

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anabranch.errors import ConfigError
from anabranch.pyfunc import ABOUT, BYTES
from operations.alerts.sinks import moment
from operations.cards import Card

SPEC_VERSION = "1.6"
STATEMENT = "https://in-toto.io/Statement/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:anabranch:online-learning:v1"
"""What the parameters and materials of a provenance mean: learned from ranges of topics, in the told order."""
_TASKS = {"binary": "classification", "multiclass": "classification", "regression": "regression"}
_PYTHONS = ("river", "numpy")


# ── CycloneDX 1.6: https://cyclonedx.org/docs/1.6/json/ ─────────────────────────────────────────────────────────────


def cyclonedx(card: Card) -> dict[str, Any]:
    """A bill of materials with the model and its card, and the libraries that its bytes are made of.

    The same version gives the same document: its serial number is derived from the name and the digest.
    """
    ref = f"{card['name']}@{card['artifact']['sha256']}"
    libraries = [_library(name, card["versions"][name]) for name in _PYTHONS if card["versions"][name]]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, ref)}",
        "version": 1,
        "metadata": {"timestamp": moment(card["announced"]["announced_ts"]), "component": _model(card, ref)},
        "components": libraries,
        "dependencies": [{"ref": ref, "dependsOn": [each["bom-ref"] for each in libraries]}],
    }


def _library(name: str, version: str) -> dict[str, Any]:
    purl = f"pkg:pypi/{name}@{version}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _model(card: Card, ref: str) -> dict[str, Any]:
    told = {
        "kind": card["kind"],
        "reason": card["reason"],
        "by": card["by"],
        "scope": card["scope"],
        "envelope": card["envelope"],
        "signature": card["announced"]["signature"],
        "epoch": card["announced"]["epoch"],
        "seq": card["announced"]["seq"],
        "parent": card["parent"],
        "trigger": card["trigger"]["id"],
        "order": card["order"],
        "python": card["versions"]["python"],
        **{f"next offset of {place}": offset for place, offset in sorted(card["positions"].items())},
    }
    return {
        "type": "machine-learning-model",
        "bom-ref": ref,
        "name": card["model"],
        "version": str(card["version"]),
        "hashes": [{"alg": "SHA-256", "content": card["artifact"]["sha256"]}],
        "modelCard": _model_card(card),
        "properties": [
            {"name": f"anabranch:{name}", "value": str(value)}
            for name, value in told.items()
            if value is not None and value != ""
        ],
    }


def _model_card(card: Card) -> dict[str, Any]:
    held = card["contents"]
    parameters: dict[str, Any] = {
        "approach": {"type": "supervised"},
        "datasets": [{"type": "dataset", "name": each} for each in _learned_from(card)],
    }
    if "spec" in held:
        parameters |= {
            "task": _TASKS.get(held["task"], held["task"]),
            "modelArchitecture": held["spec"],
            "inputs": [{"format": f"{name} ({kind})" if kind else name} for name, kind in held["features"].items()],
        }
    measured = [
        {"type": name, "value": f"{value:.6g}", "slice": when}
        for when, told in (("when it was announced", card["scores"]["then"]), ("since", card["scores"]["since"]))
        for name, value in sorted(told.items())
    ]
    found: dict[str, Any] = {"modelParameters": parameters}
    if measured:
        found["quantitativeAnalysis"] = {"performanceMetrics": measured}
    return found


def _learned_from(card: Card) -> list[str]:
    """The topics' partitions, up to which offset."""
    return [f"{place}, offsets below {offset}" for place, offset in sorted(card["positions"].items())]


# ── in-toto: https://github.com/in-toto/attestation/tree/main/spec/v1, with SLSA's provenance ───────────────────────


def in_toto(card: Card) -> dict[str, Any]:
    """A statement of where the bytes of a version come from. It is not signed: the update that names them may be."""
    told = {"reason": card["reason"], "by": card["by"], "envelope": card["envelope"], "trigger": card["trigger"]["id"]}
    return {
        "_type": STATEMENT,
        "subject": [{"name": card["name"], "digest": {"sha256": card["artifact"]["sha256"]}}],
        "predicateType": PROVENANCE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {name: value for name, value in told.items() if value},
                "internalParameters": {"order": card["order"], "kind": card["kind"], "parent": card["parent"]},
                "resolvedDependencies": [
                    *({"uri": f"kafka:{place}#0-{offset}"} for place, offset in sorted(card["positions"].items())),
                    *(
                        {"uri": f"pkg:pypi/{name}@{card['versions'][name]}"}
                        for name in _PYTHONS
                        if card["versions"][name]
                    ),
                ],
            },
            "runDetails": {
                "builder": {"id": "urn:anabranch:learner", "version": {"python": card["versions"]["python"]}},
                "metadata": {
                    "invocationId": f"epoch {card['announced']['epoch']}, number {card['announced']['seq']}",
                    "finishedOn": moment(card["announced"]["announced_ts"]),
                },
            },
        },
    }


# ── MLflow: https://mlflow.org/docs/latest/ml/model/, flavour python_function ───────────────────────────────────────


def mlflow(card: Card, data: bytes, folder: Path, *, trusted: tuple[str, ...]) -> None:
    """Write the folder of an MLflow model; neither MLflow nor pickle is needed for it.

    Args:
        data: the version's bytes, as they were announced.
        folder: is made; it must not be there yet.
        trusted: classes outside River that the model may hold.

    Raises:
        ConfigError: the folder cannot be made.
    """
    try:
        (folder / "data").mkdir(parents=True)
        (folder / "data" / BYTES).write_bytes(data)
        about = {"sha256": card["artifact"]["sha256"], "trusted": list(trusted), "name": card["name"]}
        (folder / "data" / ABOUT).write_text(json.dumps(about))
        (folder / "requirements.txt").write_text(_requirements(card["versions"]))
        # JSON is YAML, which MLflow reads; so no writer of YAML is needed.
        (folder / "MLmodel").write_text(json.dumps(_mlmodel(card), indent=1))
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written: {error.strerror}; name a folder that is not there") from error


def _requirements(versions: Mapping[str, str]) -> str:
    """What MLflow is to install; the client's wheel lies in no index, so it is named and not found by itself."""
    pinned = [f"{name}=={versions[name]}" for name in _PYTHONS if versions[name]]
    return "\n".join(["# and the client's wheel, as `make client` builds it: anabranch-client", *pinned, ""])


def _mlmodel(card: Card) -> dict[str, Any]:
    return {
        "flavors": {
            "python_function": {
                "loader_module": "anabranch.pyfunc",
                "data": "data",
                "python_version": card["versions"]["python"],
            }
        },
        "model_uuid": uuid.uuid5(uuid.NAMESPACE_URL, f"{card['name']}@{card['artifact']['sha256']}").hex,
        "utc_time_created": moment(card["announced"]["announced_ts"]).removesuffix("Z").replace("T", " "),
        "metadata": {"anabranch": {key: card[key] for key in ("name", "kind", "reason", "by", "envelope")}},
    }
