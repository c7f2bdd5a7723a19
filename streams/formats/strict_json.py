"""Strict parser of untrusted JSON objects.

A value is one object, with every key once, of bounded depth, with bounded numbers.
"""

import json
from typing import Any

_MOST_DIGITS = 1000  # any time, count or identifier has fewer


def loads_object(text: str) -> dict[str, Any]:
    """Parses one object; ValueError says what is wrong, without its content."""
    try:
        value = json.loads(text, object_pairs_hook=_every_key_once, parse_int=_whole)
    except RecursionError:
        raise ValueError("not JSON: it is nested too deep") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"a JSON object is needed, not {type(value).__name__}")
    return value


def _every_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a key occurs twice in one object")
    return value


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a whole number of {len(digits)} digits; at most {_MOST_DIGITS} are read")
    return int(digits)
