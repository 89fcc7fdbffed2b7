"""Retraining jobs on a Ray cluster: `retrain.executor = "ray_jobs:made"`, with this file beside the configuration.

RAY_ADDRESS is the cluster's address; without it, Ray begins one on this machine. Its workers need the checkout on their
path.
"""

from collections.abc import Callable
from concurrent.futures import Executor, Future, InvalidStateError
from contextlib import suppress
from typing import Any

import ray


class RayExecutor(Executor):
    """Ray has no executor of its own, but what it refers to can be had as a future."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Have a worker call the function; one that dies costs nothing, since another one does."""
        reference = ray.remote(fn).options(num_cpus=1, max_retries=2).remote(*args, **kwargs)
        future: Future[Any] = Future()
        reference.future().add_done_callback(lambda done: _come_back(done, future))
        # Ray's own future would not end what runs when it is cancelled.
        future.add_done_callback(lambda done: ray.cancel(reference, force=True) if done.cancelled() else None)
        return future


def _come_back(done: "Future[Any]", future: "Future[Any]") -> None:
    with suppress(InvalidStateError):  # it was cancelled
        error = done.exception()
        future.set_result(done.result()) if error is None else future.set_exception(error)


def made() -> Executor:
    """On the cluster that RAY_ADDRESS names."""
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False)
    return RayExecutor()
