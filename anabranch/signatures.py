"""Who has announced an update: Ed25519 signatures over the bytes of a record, and the keys that make and check them.

Signed is the value of the record as it lies on the topic. An update holds the sha256 of its artifact, so whoever may
trust the update may trust the bytes of the model. The signature and the id of its key are headers of the record and no
part of the message: they can be checked before a byte of it is parsed.

>>> signer = Signer(Ed25519PrivateKey.generate())
>>> keys = TrustedKeys([signer.public])
>>> keys.verify(b"an update", signer.headers(b"an update"))
>>> keys.verify(b"another one", signer.headers(b"an update"))
Traceback (most recent call last):
anabranch.errors.SignatureError: the signature is not of these bytes: key ...
>>> keys.verify(b"an update", ())
Traceback (most recent call last):
anabranch.errors.SignatureError: it is not signed, and `trusted_keys` asks for a signature
"""

import base64
import hashlib
import re
from collections.abc import Iterable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from anabranch.errors import ConfigError, SignatureError
from anabranch.events import Headers

SIGNATURE, KEY = "signature", "key"
"""The names of the headers: the 64 bytes, and the id of the key that made them."""

_ID = r"[0-9a-f]{16}"
_PUBLIC = re.compile(rf"({_ID}):([A-Za-z0-9+/]{{43}}=)")


class Signer:
    """Signs with a private key.

    Args:
        private: the key; `consumers.keys` reads it from a file.
    """

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self.private = private
        raw = private.public_key().public_bytes_raw()
        self.id = _id_of(raw)
        self.public = f"{self.id}:{base64.b64encode(raw).decode()}"
        """The public key as a line of text, as followers are given it."""

    def headers(self, value: bytes) -> Headers:
        """The headers of a record with such a value."""
        return (SIGNATURE, self.private.sign(value)), (KEY, self.id.encode())


class TrustedKeys:
    """The public keys one of which must have signed. A new one beside the old makes a rotation without a gap.

    Args:
        texts: as `anabranch keys show` prints them; one that is left out is revoked.

    Raises:
        ConfigError: one of them is no public key, or there is none: then nothing could be trusted.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        # A string is a sequence of strings too, and its letters are no keys.
        given = [texts] if isinstance(texts, str) else list(texts)
        self.keys = dict(_public_key(each) for each in given)
        if not self.keys:
            raise ConfigError(
                "trusted_keys is empty, so that no update could be trusted; give what `anabranch keys show FILE` "
                "prints, or None to follow without signatures"
            )

    def verify(self, value: bytes, headers: Headers) -> None:
        """See that one of the keys has signed these bytes.

        Args:
            headers: of the record, which anybody may have written.

        Raises:
            SignatureError: none has.
        """
        signature, key = _only(headers, SIGNATURE), _only(headers, KEY)
        if signature is None or key is None:
            raise SignatureError("it is not signed, and `trusted_keys` asks for a signature")
        named = key.decode(errors="replace")
        public = self.keys.get(named)
        if public is None:
            raise SignatureError("it is signed by a key that is not among `trusted_keys`", key=_shown(named))
        try:
            public.verify(signature, value)
        except InvalidSignature as error:
            raise SignatureError("the signature is not of these bytes", key=named) from error


def _only(headers: Headers, name: str) -> bytes | None:
    """The value of the header; None if there is none, or several, of which nobody could say which counts."""
    found = [value for each, value in headers if each == name]
    return found[0] if len(found) == 1 else None


def _shown(key: str) -> str:
    # It comes from a stranger, and goes to logs.
    return key if re.fullmatch(_ID, key) else f"of no readable id, {len(key)} characters long"


def _public_key(text: str) -> tuple[str, Ed25519PublicKey]:
    found = _PUBLIC.fullmatch(text.strip())
    if found is None:
        raise ConfigError(
            f"trusted_keys: {text[:80]!r} is no public key; write the whole line that `anabranch keys show FILE` prints"
        )
    raw = base64.b64decode(found[2])
    if _id_of(raw) != found[1]:
        raise ConfigError(
            f"trusted_keys: {found[1]} is not the id of the key behind it, so one of the two is mistyped; "
            "copy the whole line that `anabranch keys show FILE` prints"
        )
    return found[1], Ed25519PublicKey.from_public_bytes(raw)


def _id_of(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()[:16]
