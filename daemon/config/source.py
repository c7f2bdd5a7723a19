"""Reads the configuration: flags over environment over file over defaults.

Where each key was set is remembered, for errors.

The file is TOML. `AFFECTD__SECTION__KEY` sets a key, `AFFECTD__SOURCES__0__NAME` one of an entry of a list, counted
from 0 (the number after the last makes a new entry), and `AFFECTD__SOURCES` a whole list; a flag does the same as
`section.key=value` and `sources.0.name=value`. Their values are written as in TOML, or as JSON; text needs no quotes.
"""

import bisect
import itertools
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.config import Config
from daemon.config.checking import check
from daemon.config.errors import ConfigurationError
from daemon.config.keys import field_at
from daemon.config.values import KeyPath
from streams.formats.text_files import FileError, read_text
from streams.redaction import redacted_address

ENVIRONMENT_PREFIX = "AFFECTD__"
_INDEX = re.compile(r"[0-9]{1,4}")
_DEEPEST = 16  # tables and lists; what is configured is four deep
_TOO_DEEP = "nested too deep"


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

    Raises ConfigurationError if the file is no TOML.
    """
    values, origins = _read(file) if file else ({}, {})
    problems: list[str] = []
    for path, text, origin in (*_from_environment(environ), *_from_flags(settings)):
        value = _value(path, text)
        if len(path) > _DEEPEST or not _put(values, path, value):
            problems.append(f"{redacted_address(origin)}: there is no such key; set a whole list, or section and key")
            continue
        origins = {known: place for known, place in origins.items() if known[: len(path)] != path} | {path: origin}
    return _Raw(values, origins, problems)


def _read(file: Path) -> tuple[dict[str, Any], dict[KeyPath, str]]:
    try:
        text = read_text(file)
    except FileError as problem:
        raise ConfigurationError([f"{file}: {problem}"]) from None
    try:
        values = _parsed(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"^(.*) \(at line (\d+), column (\d+)\)$", str(error))
        where, what = (f"{file}:{place[2]}", f"{place[1]}, column {place[3]}") if place else (str(file), str(error))
        raise ConfigurationError([f"{where} is not TOML: {what}"]) from None
    except _TooLargeError as error:
        raise ConfigurationError([f"{file}:{_first_line_too_large(text)}: {error}"]) from None
    return values, {(): str(file)} | {path: f"{file}:{line}" for path, line in line_numbers(text).items()}


class _TooLargeError(ValueError):
    """Valid TOML that is too large for any configuration.

    What reads it would break.
    """


def _parsed(text: str) -> dict[str, Any]:
    """Parses TOML into tables.

    Raises TOMLDecodeError if it is none, _TooLargeError if it is too deep or too long.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise _TooLargeError(_TOO_DEEP) from None
    except ValueError:
        raise _TooLargeError("a number of too many digits") from None
    if _is_too_deep(values):
        raise _TooLargeError(_TOO_DEEP)
    return values


def _first_line_too_large(text: str) -> int:
    """The line (from 1) by which `text` is too large.

    Found by bisection: what follows does not make it smaller.
    """
    lines = text.splitlines(keepends=True)

    def is_too_large(count: int) -> bool:
        try:
            _parsed("".join(lines[:count]))
        except tomllib.TOMLDecodeError:
            return False
        except _TooLargeError:
            return True
        return False

    return bisect.bisect_left(range(1, len(lines)), True, key=is_too_large) + 1


def line_numbers(text: str) -> dict[KeyPath, int]:
    """The line (from 1) of every table and key of valid TOML.

    What is inside an inline value stands where it begins.
    """
    lines: dict[KeyPath, int] = {}
    table: KeyPath = ()
    arrays: dict[KeyPath, int] = {}
    for number, statement in _statements(text):
        parsed = tomllib.loads(statement)
        if statement.lstrip().startswith("["):
            table = _resolve(_names(parsed), arrays, opens=statement.lstrip().startswith("[["))
            lines.setdefault(table, number)
        else:
            names = _names(parsed)
            for length in range(1, len(names) + 1):
                lines.setdefault(table + names[:length], number)
    return lines


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Splits valid TOML into its statements.

    A statement ends with the first line that completes it.
    """
    held, start = "", 1
    for number, line in enumerate(text.splitlines(keepends=True), start=1):
        start = start if held else number
        held += line
        try:
            complete = tomllib.loads(held)
        except tomllib.TOMLDecodeError:
            continue
        if complete:
            yield start, held
        held = ""


def _names(parsed: Any) -> KeyPath:
    """The dotted names of one statement, down to its value."""
    names: list[str] = []
    while isinstance(parsed, dict) and len(parsed) == 1:
        name, parsed = next(iter(parsed.items()))
        names.append(name)
    return tuple(names)


def _resolve(names: KeyPath, arrays: dict[KeyPath, int], *, opens: bool) -> KeyPath:
    """The path of a table header, with indices of array entries.

    The index is that of the entry that is being written.
    """
    path: KeyPath = ()
    for name in names[:-1]:
        path = (*path, name)
        path = (*path, arrays[path]) if path in arrays else path
    path = (*path, *names[-1:])
    if opens:
        arrays[path] = arrays.get(path, -1) + 1
        path = (*path, arrays[path])
    return path


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
        return _parsed(f"value = {text}")["value"]
    except ValueError:
        pass  # then it is JSON, or text without quotes
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text if _is_too_deep(value) else value


def _holds_text(path: KeyPath) -> bool:
    """Whether the key's value is text alone, taken as it is."""
    field = field_at(path)
    return field is not None and field.annotation is str


def _is_too_deep(value: Any) -> bool:
    waiting = [(0, value)]
    while waiting:
        depth, inside = waiting.pop()
        if depth > _DEEPEST:
            return True
        if isinstance(inside, dict | list):
            inner = inside.values() if isinstance(inside, dict) else inside
            waiting += [(depth + 1, each) for each in inner]
    return False
