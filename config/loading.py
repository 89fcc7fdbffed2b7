"""Reads the configuration file, and says of a mistake where it is and what to write instead.

>>> from config.settings import ArenaSettings
>>> from pydantic import ValidationError
>>> try:
...     ArenaSettings.model_validate({"loss": "bier", "min_gain": 3})
... except ValidationError as error:
...     for place, said in in_words(error.errors()):
...         print(".".join(place), said)
loss must be 'zero-one', 'brier', 'log', 'absolute', 'squared' or 'ndcg', not 'bier'
min_gain must be less than 1, not 3
"""

import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_settings import SettingsError

from anabranch.errors import ConfigError, did_you_mean
from config.sections import Section
from config.settings import Settings

PREFIX = Settings.model_config["env_prefix"]
RENAMED = {"least": "min_distance", "over": "window_time", "persists": "consecutive_checks"}
"""Keys that had another name before 0.2, by that name."""

_SECRET = re.compile(r"\$\{(env|file):([^}]+)\}")


def load(path: Path) -> Settings:
    """The settings in the TOML file at `path`.

    Raises:
        ConfigError: the file cannot be read, or something in it is wrong; every fault is named.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        table = tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    return build(_with_secrets(table), where=str(path))


def build(table: Mapping[str, Any], *, where: str = "config") -> Settings:
    """The settings in a table of keys, as TOML would give it, overridden by the environment.

    Raises:
        ConfigError: something is wrong; every fault is named.
    """
    # pydantic passes over a variable that names no section, and takes keys that begin with _ for its own options.
    faults = [f"environment: {_unknown([name], said=variable)}" for variable, name in _misnamed_variables()]
    faults += [f"{where}: {_unknown([key])}" for key in table if key.startswith("_")]
    try:
        settings = Settings(**{key: value for key, value in table.items() if not key.startswith("_")})
    except SettingsError as error:
        raise ConfigError(f"environment: {error}: {error.__cause__}") from error
    except ValidationError as error:
        # pydantic tells all its faults at once; ours come along, so that a person mends everything in one go.
        faults = [f"{where}: {each}" for each in _explained(error)] + faults
        raise ConfigError("\n".join(faults)) from error
    if faults:
        raise ConfigError("\n".join(faults))
    return settings


S = TypeVar("S", bound=Section)


def section(kind: type[S], table: Mapping[str, Any], *, where: str) -> S:
    """A section of its own kind from a table of keys, such as the parameters of a signal.

    Raises:
        ConfigError: something is wrong; every fault is named.
    """
    try:
        return kind.model_validate(dict(table))
    except ValidationError as error:
        raise ConfigError("\n".join(f"{where}: {each}" for each in _explained(error, within=kind))) from error


def _misnamed_variables() -> list[tuple[str, str]]:
    """The environment variables with our prefix that name no section or key at the top, and what they name."""
    found = [(variable, variable[len(PREFIX) :].partition("__")[0].lower()) for variable in _ours(os.environ)]
    return [(variable, name) for variable, name in found if name not in Settings.model_fields]


def _ours(environment: Iterable[str]) -> list[str]:
    return sorted(variable for variable in environment if variable.upper().startswith(PREFIX))


def _explained(error: ValidationError, *, within: type[BaseModel] = Settings) -> list[str]:
    """Every fault, with its place and what to write."""
    unknown = [fault for fault in error.errors() if fault["type"] == "extra_forbidden"]
    others = [fault for fault in error.errors() if fault["type"] != "extra_forbidden"]
    said = [f"{'.'.join(place)}{_link(words)}{words}" if place else words for place, words in in_words(others)]
    return said + [_unknown(list(place_of(fault)), within=within) for fault in unknown]


def _link(words: str) -> str:
    """A sentence of the key, or one of its own after it."""
    return " " if words.startswith(("is ", "must ")) else ": "


def _unknown(names: list[str], *, said: str = "", within: type[BaseModel] = Settings) -> str:
    """What to write instead of the key at `names`, which the user wrote as `said`."""
    known = _keys_at(within, names[:-1])
    if RENAMED.get(names[-1]) in known:
        return f"unknown key `{said or '.'.join(names)}`: it is called `{RENAMED[names[-1]]}` now"
    hint = did_you_mean(names[-1], known, cutoff=0.4, instead=f"known here: {', '.join(sorted(known))}")
    return f"unknown key `{said or '.'.join(names)}`; {hint}"


def _keys_at(kind: Any, path: list[str]) -> list[str]:
    """The keys that a table at `path` may have."""
    for part in path:
        kind = _inner(kind, part)
    return [field.alias or name for name, field in kind.model_fields.items()] if _is_section(kind) else []


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


_SECRET_KEY = re.compile(r"password|secret|token|jaas|pseudonyms", re.IGNORECASE)
_NO_SECRET_KEY = re.compile(r"endpoint|url|max|algorithm")


def secrets_in_file(path: Path) -> list[str]:
    """The keys under which a secret stands in the file itself, and not as `${env:NAME}` or `${file:PATH}`.

    Raises:
        ConfigError: the file cannot be read.
    """
    try:
        table = tomllib.loads(path.read_bytes().decode("utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    return [place for place, key, text in _texts(table) if _is_secret(key) and text and not _SECRET.search(text)]


def _is_secret(key: str) -> bool:
    return bool(_SECRET_KEY.search(key)) and not _NO_SECRET_KEY.search(key)


def _texts(value: Any, place: str = "", key: str = "") -> Iterator[tuple[str, str, str]]:
    """All texts, each with its place and the last key on the way to it."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts(inner, f"{place}.{name}" if place else name, name)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _texts(inner, f"{place}[{number}]", key)
    elif isinstance(value, str):
        yield place, key, value


def _secret(match: re.Match[str]) -> str:
    source, name = match[1], match[2]
    if source == "env":
        if name not in os.environ:
            raise ConfigError(f"${{env:{name}}}: the environment has no {name}")
        return os.environ[name]
    try:
        # Secrets that are mounted as files mostly end in a line end, which is no part of them.
        return Path(name).read_bytes().decode("utf-8").strip()
    except OSError as error:
        raise ConfigError(f"${{file:{name}}}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"${{file:{name}}}: is not text") from error


# ── What pydantic finds wrong in a configuration, in plain words ────────────────────────────────────────────────────

Place = tuple[str, ...]
"""The keys from the top of the file down to a value."""

_WANTED = {
    "literal_error": "{expected}",
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "{ge:g} or more",
    "less_than": "less than {lt:g}",
    "less_than_equal": "{le:g} or less",
    "finite_number": "a finite number",
    "string_pattern_mismatch": "letters (the model's: lower-case), digits, '.', '_' and '-', a letter or digit first",
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(("string_type",), "a string"),
    **dict.fromkeys(("tuple_type", "list_type"), "a list"),
    **dict.fromkeys(("dict_type", "mapping_type", "model_type", "model_attributes_type"), "a table"),
}

_ALTERNATIVE = re.compile(r"literal\[.*|dict\[.*|tuple\[.*|str|int|float|bool|[A-Z][a-z]+[A-Z][A-Za-z]*")
"""The parts of a place that are no keys: pydantic names there which of several kinds of value it has tried."""

UNSHOWN = "kafka"
"""Of this section no value is shown: it may be a password."""


def place_of(fault: Any) -> Place:
    """Where a fault is."""
    # The first part is a key in any case, even where it looks like the name of a type.
    parts = [str(part) for part in fault["loc"]]
    return tuple(part for n, part in enumerate(parts) if n == 0 or not _ALTERNATIVE.fullmatch(part))


def in_words(faults: Iterable[Any]) -> Iterator[tuple[Place, str]]:
    """Each place with what is wrong there; where a value may be one of several kinds, all are named in one."""
    by_place: dict[Place, list[Any]] = {}
    for fault in faults:
        by_place.setdefault(place_of(fault), []).append(fault)
    for place, several in by_place.items():
        yield place, _said(place, several)


def _said(place: Place, several: list[Any]) -> str:
    first = several[0]
    if first["type"] == "missing":
        return "is missing"
    wanted = [_WANTED[each["type"]].format(**each.get("ctx", {})) for each in several if each["type"] in _WANTED]
    if len(wanted) < len(several):
        said: str = first["msg"].removeprefix("Value error, ")
        return said
    return f"must be {' or '.join(dict.fromkeys(wanted))}{_but_is(place, first['input'])}"


def _but_is(place: Place, value: Any) -> str:
    if place[:1] == (UNSHOWN,) or _is_secret(place[-1]):
        return ""
    if not isinstance(value, str | int | float) or len(str(value)) > 60:
        return ""
    return f", not {str(value).lower() if isinstance(value, bool) else repr(value)}"
