"""Reads the configuration: flags over environment over file over defaults, remembering where each key was set.

The file is TOML. `AFFECTD__SECTION__KEY` sets a key, and `AFFECTD__SOURCES` or `AFFECTD__SINKS` a whole list; a flag
does the same as `section.key=value`. Their values are written as in TOML, or as JSON; text needs no quotes. What is
left out: merging of lists, so a list is always set as a whole.
"""

import bisect
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from daemon.config import Config
from daemon.config.errors import ConfigurationError, explain
from daemon.config.values import KeyPath, Section
from streams.text_files import FileProblem, read_text

ENVIRONMENT_PREFIX = "AFFECTD__"


def load(file: Path | None, environ: Mapping[str, str], settings: Sequence[str] = ()) -> Config:
    """The effective configuration; ConfigurationError with every problem that was found.

    settings: "section.key=value" of flags, the strongest.
    """
    values, origins = _read(file) if file else ({}, {})
    problems: list[str] = []
    for path, text, origin in (*_from_environment(environ), *_from_flags(settings)):
        if not _put(values, path, _value(path, text)):
            problems.append(f"{origin}: there is no such key; set a whole list, or section and key")
            continue
        origins = {known: place for known, place in origins.items() if known[: len(path)] != path} | {path: origin}
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        raise ConfigurationError(problems + explain(error, origins)) from None
    if problems:
        raise ConfigurationError(problems)
    return config


def _read(file: Path) -> tuple[dict[str, Any], dict[KeyPath, str]]:
    try:
        text = read_text(file)
    except FileProblem as problem:
        raise ConfigurationError([f"{file}: {problem}"]) from None
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"^(.*) \(at line (\d+), column (\d+)\)$", str(error))
        where, what = (f"{file}:{place[2]}", f"{place[1]}, column {place[3]}") if place else (str(file), str(error))
        raise ConfigurationError([f"{where} is not TOML: {what}"]) from None
    except (RecursionError, ValueError) as error:
        what = "nested too deep" if isinstance(error, RecursionError) else "a number of too many digits"
        raise ConfigurationError([f"{file}:{_line_that_fails(text, type(error))}: {what}"]) from None
    return values, {(): str(file)} | {path: f"{file}:{line}" for path, line in line_numbers(text).items()}


def _line_that_fails(text: str, how: type[Exception]) -> int:
    """The first line (from 1) with which reading the lines up to it fails so."""
    lines = text.splitlines(keepends=True)

    def fails(count: int) -> bool:
        try:
            tomllib.loads("".join(lines[:count]))
        except tomllib.TOMLDecodeError:
            return False
        except how:
            return True
        return False

    return bisect.bisect_left(range(1, len(lines)), True, key=fails) + 1


def line_numbers(text: str) -> dict[KeyPath, int]:
    """The line (from 1) of every table and key of valid TOML; what is inside an inline value stands where it begins."""
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
    """Splits valid TOML where it parses piece by piece: a statement ends with the first line that completes it."""
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
    """The path of a table header, with the index of the array entry that is being written."""
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
    for name in sorted(environ):
        if name.startswith(ENVIRONMENT_PREFIX):
            yield tuple(name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")), environ[name], name


def _from_flags(settings: Sequence[str]) -> Iterator[tuple[KeyPath, str, str]]:
    for setting in settings:
        key, _, value = setting.partition("=")
        yield tuple(key.strip().split(".")), value, f"--set {key}"


def _put(values: dict[str, Any], path: KeyPath, value: Any) -> bool:
    """Sets the key at `path`; False where the path leads through something that is not a table."""
    table: Any = values
    for name in path[:-1]:
        table = table.setdefault(name, {}) if isinstance(table, dict) else None
    if not isinstance(table, dict):
        return False
    table[path[-1]] = value
    return True


def _value(path: KeyPath, text: str) -> Any:
    if _holds_text(path):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        pass  # then it is JSON, or text without quotes
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _holds_text(path: KeyPath) -> bool:
    section = Config.model_fields.get(str(path[0]))
    if len(path) != 2 or section is None or not isinstance(section.annotation, type):
        return False
    table = section.annotation
    key = table.model_fields.get(str(path[1])) if issubclass(table, Section) else None
    return key is not None and key.annotation is str
