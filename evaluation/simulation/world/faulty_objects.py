"""A bucket of objects on a bad day: requests that are refused, and answers that are lost."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import Any, NoReturn

from evaluation.simulation.world.clock import FrozenClock
from evaluation.simulation.world.processes import Process


@dataclass
class Bucket:
    """What processes share: objects, and when they were put."""

    clock: FrozenClock
    objects: dict[str, tuple[bytes, datetime]] = field(default_factory=dict)

    def put(self, path: str, data: bytes) -> None:
        """Atomic, durable, and seen by all."""
        self.objects[path] = data, datetime.fromtimestamp(self.clock.time_s(), UTC)

    def tear(self, path: str, *, rng: Random) -> None:
        """An object rots."""
        data, at = self.objects[path]
        self.objects[path] = data[: rng.randrange(len(data))], at

    def kept(self, path: str) -> bytes | None:
        """The object, if it is there."""
        return self.objects[path][0] if path in self.objects else None


class FaultyObjects:
    """The bucket as one process of a schedule sees it. (`Objects` of consumers/stores/objects.py.)"""

    def __init__(self, bucket: Bucket, *, process: Process) -> None:
        self.bucket = bucket
        self.process = process

    def pipe_file(self, path: str, value: bytes) -> None:
        """Put; when it fails, nobody knows whether it took place."""
        put = partial(self.bucket.put, path, value)

        def unheard() -> NoReturn:
            put()
            _away()

        self.process.act("put", put, {"the bucket is away": _away, "the answer is lost": unheard})

    def cat_file(self, path: str) -> bytes:
        """Get."""
        data = self.process.act("get", partial(self.bucket.kept, path), {"the bucket is away": _away})
        if data is None:
            raise FileNotFoundError(path)
        return data

    def rm_file(self, path: str) -> None:
        """Remove; it need not be there."""
        self.process.act("remove", lambda: self.bucket.objects.pop(path, None), {"the bucket is away": _away})

    def find(self, path: str, *, detail: bool) -> dict[str, dict[str, Any]]:
        """The objects under a prefix."""
        assert detail
        return self.process.act("list", partial(self._under, path), {"the bucket is away": _away})

    def _under(self, path: str) -> dict[str, dict[str, Any]]:
        return {
            name: {"LastModified": at} for name, (_, at) in self.bucket.objects.items() if name.startswith(f"{path}/")
        }


def _away() -> NoReturn:
    raise OSError("the bucket does not answer")
