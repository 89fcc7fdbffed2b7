"""The learner's private key: a file that is made once, read at each start, and seen by nobody else."""

import ipaddress
import os
import stat
from pathlib import Path

import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from anabranch.errors import ConfigError
from anabranch.kafka import DEFAULT_BOOTSTRAP, Kafka
from anabranch.signatures import Signer
from config.settings import Settings

log = structlog.get_logger()

FILE_MAX_BYTES = 10_000
"""A private key in PEM has some 120."""


def make(path: Path) -> Signer:
    """Write a new private key into a new file that only its owner may read.

    Raises:
        ConfigError: there is a file already, or none can be written.
    """
    private = Ed25519PrivateKey.generate()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        # Made with its mode, not given it later: at no moment may others open it.
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
    except FileExistsError as error:
        raise ConfigError(
            f"{path} is there already and is not overwritten: who follows may trust the key in it; name another file"
        ) from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
    return Signer(private)


def read(path: Path) -> Signer:
    """The key in a file.

    Raises:
        ConfigError: it is not there, others may read it, or it holds no such key; says what to do.
    """
    pem = _private_bytes(path)
    try:
        private = load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise ConfigError(f"{path}: the key is encrypted with a password; a learner needs it without one") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{path} holds no private key in PEM; `anabranch keys new FILE` writes one") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise ConfigError(f"{path} holds a key of another kind than Ed25519; `anabranch keys new FILE` writes one")
    return Signer(private)


def _private_bytes(path: Path) -> bytes:
    try:
        # Without waiting: of a pipe, nothing might ever come.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            # Asked of the open file, since another might come under the name between two looks.
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise ConfigError(f"{path} is no file; `anabranch keys new FILE` writes a private key")
            if mode & 0o077:
                raise ConfigError(
                    f"{path} may be read by others than its owner (mode {mode & 0o777:04o}); `chmod 600 {path}`, and "
                    "if others may have read it, make a new key with `anabranch keys new FILE`"
                )
            return file.read(FILE_MAX_BYTES)
    except OSError as error:
        raise ConfigError(
            f"{path}: the private key cannot be read: {error.strerror}; `anabranch keys new {path}` makes one"
        ) from error


def key_of(settings: Settings) -> Signer | None:
    """The key of `publish.key`; None without one.

    Raises:
        ConfigError: it cannot be used.
    """
    if settings.publish.key is None:
        return None
    try:
        return read(Path(settings.publish.key))
    except ConfigError as error:
        raise ConfigError(f"`publish.key`: {error}") from error


def signer_of(settings: Settings) -> Signer | None:
    """What signs a learner's updates; None, and a warning where others may write to the brokers, without a key.

    Raises:
        ConfigError: the key cannot be used.
    """
    signer = key_of(settings)
    if signer is not None:
        log.info("updates are signed", model=settings.name, key=signer.id)
        return signer
    if not on_loopback(settings.kafka):
        log.warning(
            "updates are not signed",
            model=settings.name,
            what="whoever may write to the topics can announce a model to all who follow",
            to_do="`anabranch keys new FILE`, set `publish.key` to FILE, and give followers what it prints",
        )
    return None


def on_loopback(kafka: Kafka) -> bool:
    """Whether all brokers are addressed on this machine.

    >>> [on_loopback({"bootstrap.servers": each}) for each in ("localhost:9092,[::1]:9093", "kafka:9092")]
    [True, False]
    """
    addresses = kafka.get("bootstrap.servers") or kafka.get("metadata.broker.list") or DEFAULT_BOOTSTRAP
    return all(is_loopback(each.strip()) for each in str(addresses).split(","))


def is_loopback(address: str) -> bool:
    """Whether an address, a host and perhaps its port, is one of this machine."""
    host = address.rpartition("://")[2]
    host = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
