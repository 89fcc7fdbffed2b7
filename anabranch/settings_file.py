"""Reads the configuration file, and says of a mistake where it is and what to write instead."""

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from anabranch.errors import ConfigError
from anabranch.settings import Settings

_SECRET = re.compile(r"\$\{(env|file):([^}]+)\}")


def load(path: Path) -> Settings:
    """The settings in the TOML file at `path`.

    Raises:
        ConfigError: the file cannot be read, or something in it is wrong; every fault is named.
    """
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    return build(_with_secrets(table), where=str(path))


def build(table: Mapping[str, Any], *, where: str = "config") -> Settings:
    """The settings in a table of keys, as TOML would give it."""
    try:
        return Settings(**table)
    except ValidationError as error:
        faults = [_explain(fault) for fault in error.errors()]
        raise ConfigError("\n".join(f"{where}: {fault}" for fault in faults)) from error


def _explain(fault: Any) -> str:
    names = [str(part) for part in fault["loc"]]
    if fault["type"] != "extra_forbidden":
        return f"{'.'.join(names)}: {fault['msg'].removeprefix('Value error, ')}" if names else fault["msg"]
    known = _keys_at(Settings, names[:-1])
    near = difflib.get_close_matches(names[-1], known, n=1, cutoff=0.4)
    hint = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(sorted(known))}"
    return f"unknown key `{'.'.join(names)}`; {hint}"


def _keys_at(kind: Any, path: list[str]) -> list[str]:
    """The keys that a table at `path` may have."""
    for part in path:
        kind = _inner(kind, part)
    return list(kind.model_fields) if _is_section(kind) else []


def _inner(kind: Any, part: str) -> Any:
    if _is_section(kind) and part in kind.model_fields:
        return _section_in(kind.model_fields[part].annotation)
    return kind


def _section_in(annotation: Any) -> Any:
    if _is_section(annotation):
        return annotation
    inner = [_section_in(arg) for arg in get_args(annotation)] if not isinstance(annotation, UnionType) else []
    return next((kind for kind in inner if _is_section(kind)), annotation)


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _with_secrets(value: Any) -> Any:
    """`${env:NAME}` and `${file:/run/secrets/x}` replaced, so that no password stands in the file."""
    if isinstance(value, dict):
        return {key: _with_secrets(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_secrets(inner) for inner in value]
    return _SECRET.sub(_secret, value) if isinstance(value, str) else value


def _secret(match: re.Match[str]) -> str:
    source, name = match[1], match[2]
    if source == "env":
        if name not in os.environ:
            raise ConfigError(f"${{env:{name}}}: the environment has no {name}")
        return os.environ[name]
    try:
        return Path(name).read_text("utf-8").strip()
    except OSError as error:
        raise ConfigError(f"${{file:{name}}}: cannot be read: {error.strerror}") from error
