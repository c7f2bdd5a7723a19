"""Reads a TOML file and remembers on which line each key stands."""

import bisect
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from daemon.config.errors import ConfigurationError
from daemon.config.values import KeyPath
from streams.formats.text_files import FileError, read_text

MOST_DEEP = 16
"""Tables and lists inside one another; what is configured is four deep."""

_TOO_DEEP = "nested too deep"


def read_toml(file: Path) -> tuple[dict[str, Any], dict[KeyPath, str]]:
    """The values of a file, and where each stands ("FILE:LINE").

    Raises ConfigurationError if it is no TOML.
    """
    try:
        text = read_text(file)
    except FileError as problem:
        raise ConfigurationError([f"{file}: {problem}"]) from None
    try:
        values = parse_toml(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"^(.*) \(at line (\d+), column (\d+)\)$", str(error))
        where, what = (f"{file}:{place[2]}", f"{place[1]}, column {place[3]}") if place else (str(file), str(error))
        raise ConfigurationError([f"{where} is not TOML: {what}"]) from None
    except TooLargeError as error:
        raise ConfigurationError([f"{file}:{_first_line_too_large(text)}: {error}"]) from None
    return values, {(): str(file)} | {path: f"{file}:{line}" for path, line in line_numbers(text).items()}


class TooLargeError(ValueError):
    """Valid TOML that is too large for any configuration.

    What reads it would break.
    """


def parse_toml(text: str) -> dict[str, Any]:
    """Parses TOML into tables.

    Raises TOMLDecodeError if it is none, TooLargeError if it is too deep or too long.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise TooLargeError(_TOO_DEEP) from None
    except ValueError:
        raise TooLargeError("a number of too many digits") from None
    if is_too_deep(values):
        raise TooLargeError(_TOO_DEEP)
    return values


def _first_line_too_large(text: str) -> int:
    """The line (from 1) by which `text` is too large.

    Found by bisection: what follows does not make it smaller.
    """
    lines = text.splitlines(keepends=True)

    def is_too_large(count: int) -> bool:
        try:
            parse_toml("".join(lines[:count]))
        except tomllib.TOMLDecodeError:
            return False
        except TooLargeError:
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


def is_too_deep(value: Any) -> bool:
    """Whether tables and lists lie in one another deeper than `MOST_DEEP`."""
    waiting = [(0, value)]
    while waiting:
        depth, inside = waiting.pop()
        if depth > MOST_DEEP:
            return True
        if isinstance(inside, dict | list):
            inner = inside.values() if isinstance(inside, dict) else inside
            waiting += [(depth + 1, each) for each in inner]
    return False
