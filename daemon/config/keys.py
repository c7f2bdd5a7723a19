"""Which key of the configuration a path stands for."""

from typing import Any

from pydantic.fields import FieldInfo

from daemon.config import Config
from daemon.config.endpoints import SINKS_BY_KIND, SOURCES_BY_KIND
from daemon.config.values import FileUse, KeyPath, Section

ENDPOINTS: dict[str, dict[str, type[Section]]] = {"sources": SOURCES_BY_KIND, "sinks": SINKS_BY_KIND}
"""The lists of tables, and what each kind of entry holds."""


def field_at(path: KeyPath) -> FieldInfo | None:
    """The field of the key at `path`, as a person writes it.

    The table inside an entry of a list tells its kind.
    """
    table: Any = Config
    if path and path[0] in ENDPOINTS and len(path) > 2:
        kinds = ENDPOINTS[str(path[0])]
        table, path = kinds.get(str(path[2]), next(iter(kinds.values()))), path[2:]
    for name in path[:-1]:
        field = table.model_fields.get(str(name)) if is_section(table) else None
        table = field.annotation if field else None
    return table.model_fields.get(str(path[-1])) if path and is_section(table) else None


def is_section(annotation: Any) -> bool:
    """Whether the value of a key is a table."""
    return isinstance(annotation, type) and issubclass(annotation, Section)


def names_a_secret(path: KeyPath) -> bool:
    """Whether the key names the file of a secret.

    The secret itself may have been written in its place.
    """
    field = field_at(path)
    return field is not None and FileUse.SECRET in field.metadata
