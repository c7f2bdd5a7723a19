"""Writes the effective and the reference configuration as TOML.

`python -m daemon.config.reference > deploy/config/reference.toml` makes the reference. What has no default there
(sources, other sinks) is written as comments, so that the file as it stands is the default configuration.
"""

import json
import re
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from daemon.config import Config
from daemon.config.endpoints import SINKS_BY_KIND, SOURCES_BY_KIND
from daemon.config.values import Section, without_secrets

_HEAD = """\
# Every key of affectd's configuration, with its default. Generated: python -m daemon.config.reference
# Flags (--set section.key=value) are stronger than the environment (AFFECTD__SECTION__KEY=value), and that is stronger
# than this file. Unknown keys are errors. What is written as a comment has no default.
"""
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BOUNDS = {"gt": "above", "ge": "at least", "le": "at most"}


def reference() -> str:
    """The text of the reference configuration (TOML)."""
    return "\n".join((_HEAD, *_tables())).rstrip() + "\n"


def effective(config: Config) -> str:
    """The configuration as TOML that `load` reads back.

    But for what is masked: the passwords and queries of addresses.
    """
    values = without_secrets(config.model_dump(mode="json"))
    keys = [f"{name} = {_toml(value)}\n" for name, value in values.items() if value == [] or isinstance(value, str)]
    tables = {name: value for name, value in values.items() if not isinstance(value, str)}
    return "\n".join((*keys, *(table for name, value in tables.items() for table in _written(name, value))))


def _written(name: str, value: dict[str, Any] | list[dict[str, Any]]) -> Iterator[str]:
    if isinstance(value, dict):
        yield from _table(f"[{name}]", name, value)
        return
    for entry in value:
        yield from _table(f"[[{name}]]", name, entry)


def _table(header: str, name: str, values: dict[str, Any]) -> Iterator[str]:
    """One table and, after it, the tables inside it.

    `name` is its dotted name.
    """
    keys = {key: value for key, value in values.items() if not isinstance(value, dict)}
    yield "\n".join((header, *(f"{_toml_key(key)} = {_toml(value)}" for key, value in keys.items()), ""))
    for key, inner in values.items():
        if isinstance(inner, dict):
            yield from _table(f"[{name}.{key}]", f"{name}.{key}", inner)


def _tables() -> Iterator[str]:
    alone = {name: field for name, field in Config.model_fields.items() if field.annotation is str}
    yield "\n".join((*(_key(name, field) for name, field in alone.items()), ""))
    for name, field in Config.model_fields.items():
        if name in alone:
            continue
        if name == "sources":
            yield from _kinds(name, field, SOURCES_BY_KIND, default="")
        elif name == "sinks":
            yield from _kinds(name, field, SINKS_BY_KIND, default="stdout")
        else:
            section: type[Section] = field.annotation  # type: ignore[assignment]
            yield "\n".join((f"# {_about(section)}", f"[{name}]", *_keys(section), ""))


def _kinds(name: str, field: FieldInfo, kinds: dict[str, type[Section]], default: str) -> Iterator[str]:
    yield f"# {_capital(field.description or '')}: {', '.join(kinds)}.\n"
    for kind, model in kinds.items():
        lines = [f"[[{name}]]", f'kind = "{kind}"', *_keys(model), *_inner(name, model)]
        yield "\n".join((*(lines if kind == default else (f"# {line}" for line in lines)), ""))


def _inner(name: str, section: type[Section]) -> Iterator[str]:
    """The tables inside a table, each under its dotted name."""
    for key, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield f"[{name}.{key}]  # {_about(field.annotation)}"
            yield from _keys(field.annotation)
            yield from _inner(f"{name}.{key}", field.annotation)


def _about(section: type[Section]) -> str:
    """Its docstring on one line, as a comment has to be."""
    return " ".join((section.__doc__ or "").split())


def _keys(section: type[Section]) -> Iterator[str]:
    for key, field in section.model_fields.items():
        if field.description:
            yield _key(key, field)


def _key(key: str, field: FieldInfo) -> str:
    value = field.examples[0] if field.is_required() else field.get_default(call_default_factory=True)  # type: ignore[index]
    return f"{key} = {_toml(value)}  # {field.description}{_allowed(field)}"


def _allowed(field: FieldInfo) -> str:
    """In brackets: whether the key is required, its type and bounds."""
    bounds = {name: getattr(limit, name) for limit in field.metadata for name in _BOUNDS if hasattr(limit, name)}
    words = ["required"] if field.is_required() else []
    words += [f"{_BOUNDS[name]} {bounds[name]:_}" for name in _BOUNDS if name in bounds]
    if get_origin(field.annotation) is Literal:
        words.append(f"one of {', '.join(filter(None, get_args(field.annotation)))}")
    return f" ({', '.join(words)})" if words else ""


def _toml_key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _toml(key)


def _toml(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return f"{value:_}" if type(value) is int else json.dumps(value, ensure_ascii=False)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


if __name__ == "__main__":
    sys.stdout.write(reference())
