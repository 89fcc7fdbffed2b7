"""Which bytes a file of text holds: compressed or not, and in which encoding."""

import codecs
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from anabranch.errors import ConfigError

SCANNED_MAX_BYTES = 256 * 2**20
"""So far a file is looked through for bytes that are not UTF-8, before its first row is read."""

_BOMS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_PACKED = {
    b"PK\x03\x04": "a zip archive or a spreadsheet (.xlsx): save it as CSV",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet (.xls): save it as CSV",
    b"BZh": "packed by bzip2: unpack it, or pack it by gzip",
    b"\xfd7zXZ": "packed by xz: unpack it, or pack it by gzip",
    b"\x28\xb5\x2f\xfd": "packed by zstd: unpack it, or pack it by gzip",
    b"PAR1": "Parquet: call it .parquet",
    b"ARROW1": "Arrow: write it as Parquet",
}


def opened(path: Path) -> IO[bytes]:
    """The file's bytes, unpacked if it is packed by gzip, whatever its name says.

    Raises:
        ConfigError: it is something else.
    """
    with path.open("rb") as file:
        begin = file.read(8)
    for magic, what in _PACKED.items():
        if begin.startswith(magic):
            raise ConfigError(f"{path}: it is {what}")
    return gzip.open(path) if begin.startswith(b"\x1f\x8b") else path.open("rb")  # type: ignore[return-value]  # alike


def encoding_of(path: Path) -> str:
    """What the bytes are: by their mark, or UTF-8, or else what Windows writes in the West.

    Raises:
        ConfigError: they are none of these.
    """
    with opened(path) as file:
        begin = file.read(4096)
    for mark, encoding in _BOMS.items():
        if begin.startswith(mark):
            return encoding
    if b"\0" in begin:
        return _unmarked_16(path, begin)
    return _eight_bit(path)


def _unmarked_16(path: Path, begin: bytes) -> str:
    """ASCII in UTF-16 has a zero in every other byte."""
    odd, even = begin[1::2].count(0), begin[::2].count(0)
    if max(odd, even) > 0.4 * len(begin) > 0 and min(odd, even) == 0:
        return "utf-16-le" if odd else "utf-16-be"
    raise ConfigError(f"{path}: it is no text: a zero byte at {begin.index(0)}; save it as CSV in UTF-8")


def _eight_bit(path: Path) -> str:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for block in _blocks(path):
            decoder.decode(block)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _blocks(path: Path) -> Iterator[bytes]:
    read = 0
    with opened(path) as file:
        while read < SCANNED_MAX_BYTES and (block := file.read(2**20)):
            read += len(block)
            yield block
