"""The chain of an audit: each record holds the digest of the one before it, so that none is changed or removed unseen.

A digest is the SHA-256 of a record's value as it lies on the topic. A learner that goes on after a crash may tell the
last records once more, byte for byte; what is told twice counts once.

>>> first = b'{"model": "m", "scope": "global", "number": 1, "follows": "", "epoch": 1}'
>>> second = f'{{"model": "m", "scope": "global", "number": 2, "follows": "{digest(first)}", "epoch": 1}}'.encode()
>>> reader = ChainReader()
>>> for place, value in enumerate((first, second, second)):
...     reader.add(value, where=f"offset {place}")
>>> reader.faults, reader.repeated
([], 1)
>>> reader.add(b'{"model": "m", "scope": "global", "number": 5, "follows": "", "epoch": 1}', where="offset 3")
>>> reader.faults
['offset 3: records 3 to 4 of m are missing before record 5']
"""

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import orjson

from anabranch.errors import SignatureError
from anabranch.events import Headers
from anabranch.signatures import TrustedKeys

SEEN_MAX = 10_000
"""Of so many records, the newest of a chain, it is known whether one is told once more."""


def digest(value: bytes) -> str:
    """What the record after it holds of this one."""
    return hashlib.sha256(value).hexdigest()


class Head(NamedTuple):
    """The last record of a chain; number 0: there is none yet."""

    number: int = 0
    digest: str = ""

    @property
    def text(self) -> str:
        """As a checkpoint names it, and as people keep it."""
        return f"{self.number}:{self.digest}" if self.number else ""

    @classmethod
    def read(cls, text: str) -> Self:
        """Of such a text.

        >>> Head.read("12:ab").number, Head.read("").number
        (12, 0)
        """
        number, _, value = text.partition(":")
        return cls(int(number), value) if number else cls()


class Links(NamedTuple):
    """How far the chain of a model has been followed."""

    first: int
    head: Head
    epoch: int
    seen: dict[int, str]
    """Digests by number, of the newest records."""


class ChainReader:
    """Follows the chains of models through the records of a topic, or of a file, in their order.

    Args:
        keys: one of them must have signed each record; None: signatures are not looked at.

    Attributes:
        faults: what is wrong, each with its place.
        records: how many stand in chains; what is told twice counts once.
        repeated: how many were told once more.
    """

    def __init__(self, keys: TrustedKeys | None = None) -> None:
        self.keys = keys
        self.faults: list[str] = []
        self.chains: dict[tuple[str, str], Links] = {}
        self.records = self.repeated = 0

    def add(self, value: bytes, headers: Headers = (), *, where: str) -> None:
        """The next record.

        Args:
            where: it lies, for people.
        """
        told = _told(value)
        if told is None:
            self.faults.append(f"{where}: it is no record of an audit: torn, or written by something else")
            return
        if self.keys is not None:
            try:
                self.keys.verify(value, headers)
            except SignatureError as error:
                self.faults.append(f"{where}: record {told['number']} of {told['model']}: {error}")
        name, found = (told["model"], told["scope"]), digest(value)
        links = self.chains.get(name)
        if links is not None and links.seen.get(told["number"]) == found:
            self.repeated += 1
            return
        self.records += 1
        if links is None:
            self._go_on(Links(told["number"], Head(), told["epoch"], {}), told, found)
            return
        fault, goes_on = _fault(links, told)
        if fault:
            self.faults.append(f"{where}: {fault}")
        if goes_on:
            self._go_on(links, told, found)

    def _go_on(self, links: Links, told: Mapping[str, Any], found: str) -> None:
        links.seen[told["number"]] = found
        if len(links.seen) > SEEN_MAX:
            del links.seen[next(iter(links.seen))]
        now = Head(told["number"], found)
        self.chains[told["model"], told["scope"]] = links._replace(head=now, epoch=told["epoch"])

    def compare(self, model: str, scope: str, kept: Head) -> None:
        """See that a chain holds the record that was once its head, as it was kept elsewhere: else it was cut."""
        links = self.chains.get((model, scope))
        last = Head() if links is None else links.head
        if kept.number > last.number:
            self.faults.append(f"records {last.number + 1} to {kept.number} of {model} are missing at the end")
        elif links is not None and links.seen.get(kept.number, kept.digest) != kept.digest:
            self.faults.append(f"record {kept.number} of {model} is not the one that was the head: it was altered")


def _told(value: bytes) -> dict[str, Any] | None:
    try:
        told = orjson.loads(value)
    except orjson.JSONDecodeError:
        return None
    kinds = {"model": str, "scope": str, "number": int, "follows": str, "epoch": int}
    is_one = isinstance(told, dict) and all(isinstance(told.get(key), kind) for key, kind in kinds.items())
    return told if is_one else None


def _fault(links: Links, told: Mapping[str, Any]) -> tuple[str, bool]:
    """What is wrong with a record where it stands; and whether the chain goes on with it."""
    model, number, last = told["model"], told["number"], links.head
    if number == last.number + 1:
        if told["follows"] == last.digest:
            return "", True
        return (
            f"record {number} of {model} does not follow record {last.number} as it is here: one of them was altered",
            True,
        )
    if number > last.number:
        return f"records {last.number + 1} to {number - 1} of {model} are missing before record {number}", True
    if number == 1 and told["epoch"] > links.epoch:
        return f"another chain of {model} begins: its learner had lost every checkpoint, or somebody wrote it", True
    return f"record {number} of {model} stands behind record {last.number}: it was moved, or altered", False
