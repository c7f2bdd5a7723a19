"""Finds everything that is wrong with what was set.

Looked at are each key, keys with one another, and this machine. One mistake does not hide the next: tables that are
valid by themselves are looked into even where others are not. What tables demand of each other is judged only once all
of them are valid.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

from pydantic import ValidationError

from daemon.config import Config
from daemon.config.contradictions import inside
from daemon.config.errors import Origins, at, contradicted, explain, shown
from daemon.config.keys import ENDPOINTS, is_section
from daemon.config.surroundings import Remark, remarks
from daemon.config.values import KeyPath, Section

NO_SOURCES = "none is configured; give at least one [[sources]] table"


class CheckResult(NamedTuple):
    """The configuration, its problems and its warnings.

    config: None where it is not valid. A sentence each for problems and mere warnings.
    """

    config: Config | None
    problems: list[str]
    warnings: list[str]


def check(values: Mapping[str, Any], origins: Origins, *, to_run: bool) -> CheckResult:
    """Checks what was set.

    to_run: as `affectd run` needs it, with sources, and with files and devices that are there.
    """
    problems = [at(path, origins, "must not hold a NUL character") for path in _with_nul(values, ())]
    if problems:
        return CheckResult(None, problems, [])
    try:
        config = Config.model_validate(values)
        parts = config
    except ValidationError as error:
        config, parts = None, _valid_parts(values)
        problems += explain(error, origins)
        if not contradicted(error):
            problems += [
                at(path, origins, f"{sentence} (is {shown(path, value)})") for path, sentence, value in inside(parts)
            ]
    if not to_run:
        return CheckResult(config, problems, [])
    if not values.get("sources"):
        problems.append(at(("sources",), origins, NO_SOURCES))
    found = list(remarks(parts))
    problems += [_line(remark, origins) for remark in found if not remark.is_warning]
    return CheckResult(config, problems, [_line(remark, origins) for remark in found if remark.is_warning])


def _with_nul(value: Any, path: KeyPath) -> Iterator[KeyPath]:
    """Finds text that holds NUL, which no file name may hold.

    Calls that are given such a name break.
    """
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _with_nul(inner, (*path, key))
    elif isinstance(value, str) and "\0" in value:
        yield path


def _line(remark: Remark, origins: Origins) -> str:
    return at(remark.path, origins, f"{remark.sentence} (is {shown(remark.path, remark.value)})")


def _valid_parts(values: Mapping[str, Any]) -> Config:
    """The configuration with defaults for tables that are not valid.

    None stands for entries of lists that are not valid.
    """
    parts: dict[str, Any] = {}
    for name, field in Config.model_fields.items():
        if name not in values:
            continue
        if name in ENDPOINTS:
            entries = values[name] if isinstance(values[name], list) else []
            parts[name] = tuple(_valid_entry(name, entry) for entry in entries)
        elif (part := _valid(field.annotation, values[name])) is not None:
            parts[name] = part
    return Config.model_construct(**parts)


def _valid_entry(name: str, entry: Any) -> Section | None:
    kind = entry.get("kind") if isinstance(entry, dict) else None
    return _valid(ENDPOINTS[name].get(kind), entry) if isinstance(kind, str) else None


def _valid(table: Any, value: Any) -> Section | None:
    if not is_section(table):
        return None
    try:
        return cast(type[Section], table).model_validate(value)
    except ValidationError:
        return None
