"""Clusters of others as executors of retraining jobs, each on its local cluster, as the examples plug them in."""

import sys
from collections.abc import Iterator
from concurrent.futures import Executor
from typing import Any

import pytest

from commands.brokers import EmbeddedKafka
from config.settings import Settings
from consumers.jobs.executors import ExecutorRunner
from consumers.timing import SystemClock
from support.checkout import ROOT
from support.jobs import JOB, fingerprints, trained_here, with_events
from support.waiting import until

pytestmark = [
    pytest.mark.peers,
    pytest.mark.filterwarnings("ignore"),  # what they warn of is theirs
]


@pytest.fixture(autouse=True)
def beside_the_configuration(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The examples lie where `retrain.executor` finds them."""
    monkeypatch.syspath_prepend(ROOT / "examples" / "executors")
    monkeypatch.syspath_prepend(ROOT)
    yield
    for name in ("dask_jobs", "ray_jobs"):
        sys.modules.pop(name, None)


@pytest.fixture
def settings(embedded: EmbeddedKafka) -> Settings:
    return with_events(embedded)


def trains_as_here(executor: Executor, settings: Settings) -> None:
    """The models of a job are those that this process makes, and a failure of the cluster's side is told."""
    one = ExecutorRunner(settings, executor=executor, clock=SystemClock())
    one.submit(JOB)
    (result,) = until(lambda: one.finished(0), within_s=60)
    assert fingerprints(result) == trained_here(settings)
    refused = settings.model_copy(update={"model": settings.model.model_copy(update={"factory": "nowhere:made"})})
    failing = ExecutorRunner(refused, executor=executor, clock=SystemClock())
    failing.submit(JOB)
    (told,) = until(lambda: failing.finished(0), within_s=60)
    assert told.failure.startswith("retraining failed: ")
    assert "factory" in told.failure


def test_dask_carries_jobs_out(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its client's own executor."""
    distributed: Any = pytest.importorskip("distributed", reason="`make peers` installs Dask")
    cluster = distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None)
    with cluster:
        monkeypatch.setenv("DASK_SCHEDULER", cluster.scheduler_address)
        import dask_jobs  # noqa: PLC0415  # an example, which is there now

        executor = dask_jobs.made()
        trains_as_here(executor, settings)
        executor._client.close()


@pytest.mark.slow
def test_ray_carries_jobs_out(settings: Settings) -> None:
    """In a process of a cluster that it begins itself."""
    ray: Any = pytest.importorskip("ray", reason="`make peers` installs Ray")
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        import ray_jobs  # noqa: PLC0415  # likewise

        trains_as_here(ray_jobs.made(), settings)
    finally:
        ray.shutdown()
