"""What is kept behind the edge: features that nobody sees, and pseudonyms in place of ids, keys and users.

An event is changed once, right after it was decoded, by whoever reads it: learners, scorers, commands. Behind the edge
are the model, checkpoints and every topic that is written; before it only the topics that producers write.

>>> edge = Edge(hidden=["ssn"], users=["customer"], key=b"0123456789abcdef")
>>> edge.features({"ssn": "078-05-1120", "customer": "ann", "amount": 3.5})
{'customer': 'fb385915a0623c0be3e7b0a7134dbb62', 'amount': 3.5}
>>> edge.redacted(b'{"id": "e1", "features": {"ssn": "078-05-1120", "amount": "much"}}').value.decode()
'{"id":"216a22b9c0a1c58f015549175c212637","features":{"ssn":"[hidden]","amount":"much"}}'
"""

import hashlib
import hmac
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from typing import Any, Literal, NamedTuple

import orjson

from anabranch.messages import BOM

DIGEST_BYTES = 16
"""Of HMAC-SHA256 so much is kept, 128 bits: of 10^12 ids two share a pseudonym with a probability of 1.5e-15."""

MARK = "[hidden]"
"""In place of a value that was taken out of a record's bytes."""

IDS = frozenset(("id", "_id", "event_id", "uuid", "key"))
"""Under these names an id stands in a record, also in one that is refused for the name."""

Extent = Literal["", "values", "all"]
"""What was taken out of a record's bytes: nothing, values, or all of them."""


class Redacted(NamedTuple):
    """A record's bytes as they may be shown and kept."""

    value: bytes
    extent: Extent


class Edge:
    """What becomes of an event as it enters.

    Pseudonyms are HMAC-SHA256 (RFC 2104) under one key, so that equal values stay equal wherever they stand: the
    customer who is the Kafka key and a feature is one. Without the key nobody finds the value, not even by trying all
    that there are, as with a hash that has no key.

    Args:
        hidden: features that are dropped.
        users: features whose values become pseudonyms; so do ids and Kafka keys.
        key: of the pseudonyms; empty: there are none.
        groups: features that groups are made of, which are read before they are dropped.
    """

    def __init__(
        self,
        *,
        hidden: Iterable[str] = (),
        users: Iterable[str] = (),
        key: bytes = b"",
        groups: Iterable[str] = (),
    ) -> None:
        self.hidden, self.users = frozenset(hidden), frozenset(users)
        self._key = key
        self._apart = self.hidden.intersection(groups)
        self.is_on = bool(self.hidden or key)

    @property
    def has_pseudonyms(self) -> bool:
        """Whether ids, keys and users are behind pseudonyms."""
        return bool(self._key)

    @cached_property
    def key_id(self) -> str:
        """Tells keys apart, and tells nothing of the key; empty without one."""
        return self.pseudonym("the key of these pseudonyms")[:16] if self._key else ""

    def pseudonym(self, text: str) -> str:
        """What stands for a text, as 32 hexadecimal digits; the text itself where there are no pseudonyms."""
        if not self._key:
            return text
        digest = hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), hashlib.sha256)
        return digest[:DIGEST_BYTES].hex()

    def of_value(self, value: Any) -> Any:
        """What stands for a feature's value: a number is taken by its digits. What can be no feature stays."""
        if type(value) is float and value.is_integer():
            value = int(value)
        if type(value) in (bool, int, float):
            value = orjson.dumps(value, option=orjson.OPT_PASSTHROUGH_SUBCLASS).decode()
        return self.pseudonym(value) if type(value) is str else value

    def of_key(self, key: bytes) -> str:
        """A Kafka key as a feature."""
        return self.pseudonym(key.decode("utf-8", "replace"))

    def features(self, x: dict[str, Any]) -> dict[str, Any]:
        """What is let in of an event's features."""
        if not self.hidden and not self.users:
            return x
        hidden, users = self.hidden, self.users
        return {
            name: self.of_value(value) if name in users else value for name, value in x.items() if name not in hidden
        }

    def apart(self, x: Mapping[str, Any]) -> dict[str, Any]:
        """Of the features that are dropped, those that groups are made of."""
        return {name: x[name] for name in self._apart if x.get(name) is not None} if self._apart else {}

    # ── bytes that are kept as they came: those of dead letters, and what a page shows of a topic ───────────────────

    def redacted(self, value: bytes) -> Redacted:
        """A record's bytes without what is hidden, and with pseudonyms.

        They are read and written anew. What cannot be read cannot be redacted, and nothing is left of it. Names are
        looked for as parts of keys, in any case of letters and at any depth: a record is often refused because
        something has another name than it should. A text that mentions such a name is taken out whole.
        """
        if not self.is_on or not value:
            return Redacted(value, "")
        try:
            table = orjson.loads(value.removeprefix(BOM))
            if not isinstance(table, dict | list):
                return Redacted(b"", "all")
            clean = self._cleaned(table)
            return Redacted(value, "") if clean == table else Redacted(orjson.dumps(clean), "values")
        except (orjson.JSONDecodeError, orjson.JSONEncodeError, RecursionError):
            return Redacted(b"", "all")

    def _cleaned(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._under(name, inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._cleaned(inner) for inner in value]
        return MARK if isinstance(value, str) and _mentions(value, self._names) else value

    def _under(self, name: str, value: Any) -> Any:
        if _mentions(name, self._folded_hidden):
            return MARK
        if self._key and (name.casefold() in IDS or _mentions(name, self._folded_users)):
            return self._veiled(value)
        return self._cleaned(value)

    def _veiled(self, value: Any) -> Any:
        """A pseudonym; of what is no single value, nothing."""
        return MARK if isinstance(value, dict | list) else self.of_value(value)

    @cached_property
    def _folded_hidden(self) -> tuple[str, ...]:
        return tuple(name.casefold() for name in self.hidden)

    @cached_property
    def _folded_users(self) -> tuple[str, ...]:
        return tuple(name.casefold() for name in self.users)

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return (*self._folded_hidden, *self._folded_users, *(('"id"',) if self._key else ()))

    def digest(self, value: bytes) -> str:
        """By which bytes that were taken out can be recognised; with a key only by who has it, as hexadecimal."""
        if self._key:
            return hmac.digest(self._key, value, hashlib.sha256).hex()
        return hashlib.sha256(value).hexdigest()


def _mentions(text: str, names: Collection[str]) -> bool:
    folded = text.casefold()
    return any(name in folded for name in names)


OPEN = Edge()
"""Lets everything in as it comes."""
