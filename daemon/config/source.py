"""Reads the configuration: flags over environment over file over profile over defaults.

Where each key was set is remembered, for errors.

The file is TOML. `AFFECTD__SECTION__KEY` sets a key, `AFFECTD__SOURCES__0__NAME` one of an entry of a list, counted
from 0 (the number after the last makes a new entry), and `AFFECTD__SOURCES` a whole list; a flag does the same as
`section.key=value` and `sources.0.name=value`. Their values are written as in TOML, or as JSON; text needs no quotes.
"""

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.config import Config
from daemon.config.checking import check
from daemon.config.errors import ConfigurationError
from daemon.config.keys import field_at
from daemon.config.profiles import extended
from daemon.config.toml_file import MOST_DEEP, is_too_deep, parse_toml, read_toml
from daemon.config.values import KeyPath
from streams.redaction import redacted_address

ENVIRONMENT_PREFIX = "AFFECTD__"
_INDEX = re.compile(r"[0-9]{1,4}")


@dataclass(frozen=True, slots=True)
class _Raw:
    """Values as they were set, before they are checked.

    Beside them: where each was set, and what could not be set at all.
    """

    values: dict[str, Any]
    origins: dict[KeyPath, str]
    problems: list[str]


def load(file: Path | None, environ: Mapping[str, str], settings: Sequence[str] = ()) -> Config:
    """The effective configuration; ConfigurationError with every problem that was found.

    settings: "section.key=value" of flags, the strongest.
    """
    return _load(file, environ, settings, to_run=False)[0]


def load_to_run(
    file: Path | None, environ: Mapping[str, str], settings: Sequence[str] = ()
) -> tuple[Config, list[str]]:
    """As `load`, for `affectd run` on this machine.

    What is named must be there. The second value holds warnings.
    """
    return _load(file, environ, settings, to_run=True)


def _load(
    file: Path | None, environ: Mapping[str, str], settings: Sequence[str], *, to_run: bool
) -> tuple[Config, list[str]]:
    raw = _set(file, environ, settings)
    config, problems, warnings = check(raw.values, raw.origins, to_run=to_run)
    if config is None or problems or raw.problems:
        raise ConfigurationError(raw.problems + problems)
    return config, warnings


def _set(file: Path | None, environ: Mapping[str, str], settings: Sequence[str]) -> _Raw:
    """Everything that is set, the stronger over the weaker.

    Raises ConfigurationError if the file is no TOML, or extends what cannot be read.
    """
    values, origins = read_toml(file) if file else ({}, {})
    stronger = [*_from_environment(environ), *_from_flags(settings)]
    for path, text, origin in stronger:
        if path == ("extends",):
            values[path[0]], origins[path] = text, origin
    values, origins = extended(values, origins, file.parent if file else Path())
    problems: list[str] = []
    for path, text, origin in stronger:
        value = _value(path, text)
        if len(path) > MOST_DEEP or not _put(values, path, value):
            problems.append(f"{redacted_address(origin)}: there is no such key; set a whole list, or section and key")
            continue
        origins = {known: place for known, place in origins.items() if known[: len(path)] != path} | {path: origin}
    return _Raw(values, origins, problems)


def _from_environment(environ: Mapping[str, str]) -> Iterator[tuple[KeyPath, str, str]]:
    """Keys set in the environment, in the order of their precedence.

    A list comes before its entries, and those by number.
    """
    names = [name for name in environ if name.startswith(ENVIRONMENT_PREFIX)]
    paths = {name: _key_path(name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")) for name in names}
    for name in sorted(names, key=lambda name: [(isinstance(key, str), key) for key in paths[name]]):
        yield paths[name], environ[name], name


def _from_flags(settings: Sequence[str]) -> Iterator[tuple[KeyPath, str, str]]:
    for setting in settings:
        key, _, value = setting.partition("=")
        yield _key_path(key.strip().split(".")), value, f"--set {key}"


def _key_path(names: Sequence[str]) -> KeyPath:
    return tuple(int(name) if _INDEX.fullmatch(name) else name for name in names)


def _put(values: dict[str, Any], path: KeyPath, value: Any) -> bool:
    """Sets the key at `path`.

    False where the path leads through what is neither a table nor an entry of a list.
    """
    inside: Any = values
    for name, following in itertools.pairwise(path):
        if not _reachable(inside, name):
            return False
        empty: Any = [] if isinstance(following, int) else {}
        if isinstance(inside, list):
            inside += [empty] * (name == len(inside))
            inside = inside[int(name)]
        else:
            inside = inside.setdefault(name, empty)
    if not _reachable(inside, path[-1]):
        return False
    if isinstance(inside, list):
        inside[int(path[-1]) :] = [value, *inside[int(path[-1]) + 1 :]]
    else:
        inside[path[-1]] = value
    return True


def _reachable(inside: Any, name: str | int) -> bool:
    if isinstance(inside, list):
        return isinstance(name, int) and name <= len(inside)
    return isinstance(inside, dict) and isinstance(name, str)


def _value(path: KeyPath, text: str) -> Any:
    if _holds_text(path):
        return text
    try:
        return parse_toml(f"value = {text}")["value"]
    except ValueError:
        pass  # then it is JSON, or text without quotes
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text if is_too_deep(value) else value


def _holds_text(path: KeyPath) -> bool:
    """Whether the key's value is text alone, taken as it is."""
    field = field_at(path)
    return field is not None and field.annotation is str
