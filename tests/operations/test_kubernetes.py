"""What deploy/kubernetes says is what the command line, the configuration and the image are; and is Kubernetes' own."""

import importlib
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from commands.main import VERBS
from config import loading
from config.settings import Settings
from consumers.workers import STOP_S
from serving import server
from serving.application import OPEN
from support.checkout import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"

MODELS = {
    "Deployment": "kubernetes.apps.v1",
    "Job": "kubernetes.batch.v1",
    "PodDisruptionBudget": "kubernetes.policy.v1",
    "ScaledObject": "keda.v1alpha1",
    "Service": "kubernetes.core.v1",
}
"""Where the package cloudcoil-models has the schema of each kind."""


@cache
def documents() -> dict[tuple[str, str], Any]:
    """All of them by kind and name."""
    files = [path for path in sorted(FOLDER.glob("*.yaml")) if path.stem != "kustomization"]
    found = [each for path in files for each in yaml.safe_load_all(path.read_text())]
    return {(each["kind"], each["metadata"]["name"]): each for each in found}


@cache
def settings() -> Settings:
    return loading.load(FOLDER / "anabranch.toml")


def pod(kind: str, name: str) -> Any:
    return documents()[kind, f"anabranch-{name}"]["spec"]["template"]["spec"]


def container(kind: str, name: str) -> Any:
    (only,) = pod(kind, name)["containers"]
    return only


WORKLOADS = [("Job", "topics"), ("Deployment", "learner"), ("Deployment", "scorer")]


def test_the_kustomization_names_every_file() -> None:
    """What it does not name is applied by nobody."""
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    (made,) = kustomization["configMapGenerator"]
    named = {*kustomization["resources"], *made["files"], "kustomization.yaml"}
    assert named == {path.name for path in FOLDER.iterdir()}
    assert made["name"] == "anabranch"


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda each: each[1])
def test_each_runs_a_verb_on_the_configuration(workload: tuple[str, str]) -> None:
    """As the user of the image, without rights that it does not need, and with room for what it writes."""
    spec, only = pod(*workload), container(*workload)
    assert only["args"][0] in {*VERBS, "topics"}
    mounts = {each["mountPath"]: each["name"] for each in only["volumeMounts"]}
    volumes = {each["name"]: each for each in spec["volumes"]}
    assert only["args"][-1] == "/etc/anabranch/anabranch.toml"
    assert volumes[mounts["/etc/anabranch"]]["configMap"] == {"name": "anabranch"}
    assert f"--uid {spec['securityContext']['runAsUser']} " in (ROOT / "Dockerfile").read_text()
    assert not only["securityContext"].get("readOnlyRootFilesystem") or "emptyDir" in volumes[mounts["/tmp"]]  # noqa: S108
    assert set(mounts.values()) == set(volumes)


@pytest.mark.parametrize(("name", "port"), [("learner", "metrics"), ("scorer", "http")])
def test_probes_ask_where_something_answers(name: str, port: str) -> None:
    """The port is that of the configuration, which listens beyond its own host; the path needs no token."""
    only, score, metrics = container("Deployment", name), settings().score, settings().metrics
    listens = {"learner": (metrics.host, metrics.port), "scorer": (score.host, score.port)}[name]
    assert only["ports"] == [{"name": port, "containerPort": listens[1]}]
    assert listens[0] == "0.0.0.0"  # noqa: S104  # that is the point
    probes = [only[each]["httpGet"] for each in only if each.endswith("Probe")]
    assert len(probes) >= 2
    assert {each["port"] for each in probes} == {port}
    assert {each["path"] for each in probes} <= {"learner": {"/metrics"}, "scorer": set(OPEN)}[name]


def test_the_group_and_topic_that_are_scaled_by_are_the_learners() -> None:
    """And there are no more pods than partitions."""
    scaled = documents()["ScaledObject", "anabranch-learner"]["spec"]
    (trigger,) = scaled["triggers"]
    told = trigger["metadata"]
    assert scaled["scaleTargetRef"]["name"] == "anabranch-learner"
    assert "replicas" not in documents()["Deployment", "anabranch-learner"]["spec"]  # two would set it in turn
    assert told["consumerGroup"] == f"anabranch-{settings().name}"
    assert told["topic"] == settings().topics.name("events")
    assert told["bootstrapServers"] == settings().kafka["bootstrap.servers"]
    assert told["offsetResetPolicy"] == settings().start
    assert scaled["maxReplicaCount"] == settings().topics.partitions
    # KEDA refuses the one beside the other.
    assert (told["limitToPartitionsWithLag"], told["allowIdleConsumers"]) == ("true", "false")


def test_partitions_can_move_between_pods() -> None:
    """A store that all reach, and a model of each partition."""
    assert settings().scope == "partition"
    assert settings().checkpoint.store.startswith("s3://")


def test_there_is_time_for_the_last_checkpoint_and_the_last_answer() -> None:
    """Kubernetes kills after that."""
    assert pod("Deployment", "learner")["terminationGracePeriodSeconds"] > STOP_S
    (pause,) = re.findall(r"\d+", container("Deployment", "scorer")["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod("Deployment", "scorer")["terminationGracePeriodSeconds"] > int(pause) + server.STOP_S


def test_selectors_find_what_they_are_for() -> None:
    """The labels of the pods, and of no others."""
    labels = {
        name: documents()[kind, f"anabranch-{name}"]["spec"]["template"]["metadata"]["labels"]
        for kind, name in WORKLOADS
    }
    assert len({tuple(each.items()) for each in labels.values()}) == len(WORKLOADS)
    for kind, name in (("Deployment", "learner"), ("Deployment", "scorer"), ("PodDisruptionBudget", "learner")):
        assert documents()[kind, f"anabranch-{name}"]["spec"]["selector"]["matchLabels"] == labels[name]
    assert documents()["Service", "anabranch-scorer"]["spec"]["selector"] == labels["scorer"]


# ── Kubernetes' own word, where it can be had ───────────────────────────────────────────────────────────────────────


def unknown(given: Any, kept: Any, where: str = "") -> list[str]:
    """The keys that a schema does not know: what was read lacks them."""
    if isinstance(given, dict):
        kept = kept if isinstance(kept, dict) else {}
        lost = [f"{where}.{key}" for key in given if key not in kept]
        return lost + [
            each for key in given if key in kept for each in unknown(given[key], kept[key], f"{where}.{key}")
        ]
    if isinstance(given, list):
        pairs = zip(given, kept if isinstance(kept, list) else [], strict=False)
        return [each for n, (one, other) in enumerate(pairs) for each in unknown(one, other, f"{where}[{n}]")]
    return []


def read(kind: str, document: Any) -> Any:
    """As the schema of its kind reads it.

    Raises:
        ValidationError: it does not.
    """
    pytest.importorskip(
        "cloudcoil.models.keda", reason="cloudcoil-models-kubernetes and cloudcoil-models-keda are not installed"
    )
    module = importlib.import_module(f"cloudcoil.models.{MODELS[kind]}")
    return getattr(module, kind).model_validate(document).model_dump(mode="json", by_alias=True, exclude_unset=True)


@pytest.mark.parametrize("kind", sorted(MODELS))
def test_the_schemas_of_kubernetes_and_keda_take_them(kind: str) -> None:
    """No key that they do not know, and no value of another type."""
    for document in (each for (of, _), each in documents().items() if of == kind):
        assert unknown(document, read(kind, document)) == []


def test_a_key_that_kubernetes_does_not_know_is_found() -> None:
    """The check above can fail."""
    document = yaml.safe_load(yaml.safe_dump(documents()["Deployment", "anabranch-learner"]))
    document["spec"]["template"]["spec"]["terminationGracePeriod"] = 30
    try:
        found = unknown(document, read("Deployment", document))
    except ValueError as error:
        found = [str(error)]
    assert "terminationGracePeriod" in str(found)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kubectl_puts_them_together() -> None:
    """The configuration is in a map whose name ends in its digest, and all pods mount that one; no server is asked."""
    command = ["kubectl", "kustomize", str(FOLDER)]
    built = list(yaml.safe_load_all(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    (config,) = (each for each in built if each["kind"] == "ConfigMap")
    assert config["data"]["anabranch.toml"] == Path(FOLDER, "anabranch.toml").read_text()
    mounted = set(re.findall(r"'configMap': \{'name': '([^']+)'", str(built)))
    assert mounted == {config["metadata"]["name"]} != {"anabranch"}
    assert set(re.findall(r"'image': '([^']+)'", str(built))) == {"anabranch:0.1.0"}
