"""Merges the segments of a shelf beside the learning: small ones at once, large ones in a thread."""

from concurrent.futures import Future, ThreadPoolExecutor

from consumers.ports import Store
from consumers.stores.manifest import digest
from learners.labels.segments import Segment
from learners.labels.shelf import Merge, Shelf

AT_ONCE_MAX = 20_000
"""So many entries are merged between two records, in some 20 ms."""


class Merges:
    """At most one merge is under way; what comes of it is taken in by a later `step`.

    What a merge gives lies in the store before it is taken in, so that the next checkpoint only has to name it.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.thread: ThreadPoolExecutor | None = None
        self.under_way: tuple[Merge, Future[Segment]] | None = None

    def step(self, shelf: Shelf) -> None:
        """After a checkpoint: take in what is done, begin what is due.

        Raises:
            StoreUnavailable: the store takes nothing.
        """
        if self.under_way is not None:
            merge, done = self.under_way
            if not done.done():
                return
            self.under_way = None
            shelf.adopt(merge, done.result())
        while (due := shelf.merge_due()) is not None:
            if sum(each.left for each in due.segments) > AT_ONCE_MAX:
                self._begin(due)
                return
            shelf.adopt(due, Segment.of(due.carried_out()))

    def _begin(self, merge: Merge) -> None:
        self.thread = self.thread or ThreadPoolExecutor(1, thread_name_prefix="merges")
        self.under_way = merge, self.thread.submit(self._stored, merge)

    def _stored(self, merge: Merge) -> Segment:
        data = merge.carried_out()
        sha = digest(data)
        self.store.put(sha, data)
        return Segment(sha, self.store.open(sha))

    def close(self) -> None:
        """What is under way comes to nothing: the segments that it was to merge are there."""
        if self.thread is not None:
            self.thread.shutdown(wait=False, cancel_futures=True)
        self.thread, self.under_way = None, None
