"""Errors of a configuration, all at once, each with its place.

One line per problem: where it stands (file:line, the environment variable or the flag), the key path, what it must be,
and what it is: `camera.toml:14 windows.step_s: must be above 0 (is 0)`.
"""

import difflib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from pydantic import ValidationError

from daemon.config import Config
from daemon.config.keys import ENDPOINTS, is_section, names_a_secret
from daemon.config.values import KeyPath, Section, dotted, without_secrets
from streams.redaction import redacted_address

Origins = Mapping[KeyPath, str]
"""Where each key was set: "FILE:LINE", an environment variable or a flag. The empty path is the file itself."""

_UNITS = {"s": "seconds", "ms": "milliseconds", "bytes": "bytes", "hz": "hertz", "px": "pixels"}
_SHOWN_CHARS = 60
_SENTENCES: dict[str, Callable[[dict[str, Any]], str]] = {
    "bool_type": lambda _: "must be true or false",
    "finite_number": lambda _: "must be a finite number",
    "float_type": lambda _: "must be a number, without quotes",
    "greater_than": lambda bound: f"must be above {_bound(bound['gt'])}",
    "greater_than_equal": lambda bound: f"must be at least {_bound(bound['ge'])}",
    "int_type": lambda _: "must be a whole number, without quotes",
    "less_than_equal": lambda bound: f"must be at most {_bound(bound['le'])}",
    "literal_error": lambda allowed: f"must be {allowed['expected']}",
    "model_attributes_type": lambda _: "must be a table",
    "model_type": lambda _: "must be a table",
    "string_pattern_mismatch": lambda _: "may hold only letters, digits, '.', '_' and '-'",
    "string_too_long": lambda bound: f"must have at most {bound['max_length']} characters",
    "string_too_short": lambda _: "must not be empty",
    "string_type": lambda _: "must be text, in quotes",
    "too_short": lambda _: "must not be empty",
    "tuple_type": lambda _: "must be a list",
    "union_tag_invalid": lambda kinds: f"must be one of {kinds['expected_tags']}",
    "value_error": lambda raised: str(raised["error"]),
}


class ConfigurationError(Exception):
    """The configuration cannot be used.

    problems: one sentence each, complete with its place.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def explain(error: ValidationError, origins: Origins) -> list[str]:
    """One line per problem that `error` holds."""
    return [line for details in error.errors(include_url=False) for line in _lines(dict(details), origins)]


def contradicted(error: ValidationError) -> bool:
    """Whether every key is valid by itself, so that `error` holds contradictions."""
    return any(details["type"] == "contradiction" for details in error.errors(include_url=False))


def at(path: KeyPath, origins: Origins, sentence: str) -> str:
    """Puts the place of a key before a sentence about it.

    The place is that of `path`, or of the closest table around it that has one, or holds a key that has.
    """
    places = (_origin(path[:length], origins) for length in range(len(path), -1, -1))
    place = next(filter(None, places), "")
    return " ".join(filter(None, (redacted_address(place), f"{redacted_address(dotted(path))}: {sentence}")))


def _origin(path: KeyPath, origins: Origins) -> str:
    inside = (place for known, place in origins.items() if path and known[: len(path)] == path)
    return origins.get(path) or next(inside, "")


def _lines(details: dict[str, Any], origins: Origins) -> Iterator[str]:
    kind, value, context = details["type"], details["input"], details.get("ctx", {})
    path, table = _place(details["loc"])
    if kind == "contradiction":
        for where, sentence, found in context["found"]:
            yield at(where, origins, f"{sentence} (is {shown(where, found)})")
    elif kind == "extra_forbidden":
        yield at(path, origins, _unknown_key(str(path[-1]), table))
    elif kind in ("missing", "union_tag_not_found"):
        yield at((*path, "kind") if kind != "missing" else path, origins, "is required")
    elif kind == "union_tag_invalid":
        yield at((*path, "kind"), origins, f"{_SENTENCES[kind](context)} (is {shown((), context['tag'])})")
    else:
        sentence = _SENTENCES[kind](context) if kind in _SENTENCES else details["msg"]
        yield at(path, origins, f"{sentence} (is {shown(path, value)})")


def _place(loc: KeyPath) -> tuple[KeyPath, type[Section]]:
    """The key path without pydantic's kinds, and its table's model.

    The model is of the table that holds the last key.
    """
    table: type[Section] = Config
    path, keys = loc, loc
    if len(loc) > 2 and loc[0] in ENDPOINTS:
        table, path, keys = ENDPOINTS[str(loc[0])][str(loc[2])], loc[:2] + loc[3:], loc[3:]
    for key in keys[:-1]:
        field = table.model_fields.get(str(key))
        if field is not None and is_section(field.annotation):
            table = cast(type[Section], field.annotation)
    return path, table


def _unknown_key(key: str, table: type[Section]) -> str:
    known = list(table.model_fields)
    stem = key.rpartition("_")[0] or key
    for name in known:
        unit = name.rpartition("_")[2]
        if unit in _UNITS and name.rpartition("_")[0] in (stem, key):
            return f"unknown key; it is set in {_UNITS[unit]}, as {name}"
    close = difflib.get_close_matches(key, known, n=1)
    return f"unknown key; did you mean {close[0]}?" if close else f"unknown key; known here are {', '.join(known)}"


def _bound(number: float) -> str:
    return str(int(number) if number == int(number) else number)


def shown(path: KeyPath, value: Any) -> str:
    """The value at `path` as JSON, shortened and without secrets."""
    if names_a_secret(path):
        return "set, and not shown"
    try:
        text = json.dumps(without_secrets(value), default=str, ensure_ascii=False)
    except ValueError:  # a number of thousands of digits, written in hexadecimal
        return "too large to show"
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}..."
