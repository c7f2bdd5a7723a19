"""Profiles: configurations to start from, by name or by file.

What `extends` names is read first, and what it extends before that. Tables are merged key by key; anything else that a
file sets, a list too, takes the place of what the profile sets.
"""

from importlib.resources import files
from pathlib import Path
from typing import Any

from daemon.config.errors import ConfigurationError, at, shown
from daemon.config.sections import ProfileSettings
from daemon.config.toml_file import read_toml
from daemon.config.values import KeyPath

_FOLDER = Path(str(files("daemon"))) / "profiles"
_KEY = ("extends",)

_Read = tuple[dict[str, Any], dict[KeyPath, str]]


def profile_names() -> list[str]:
    """The profiles that are shipped."""
    return sorted(file.stem for file in _FOLDER.glob("*.toml"))


def profile_file(name: str) -> Path | None:
    """The file of a shipped profile, or None."""
    return _FOLDER / f"{name}.toml" if name in profile_names() else None


def profile_settings(name: str) -> ProfileSettings:
    """What a shipped profile is for."""
    values, _ = extended({"extends": name}, {}, Path())
    return ProfileSettings.model_validate(values["profile"])


def extended(values: dict[str, Any], origins: dict[KeyPath, str], folder: Path, chain: tuple[Path, ...] = ()) -> _Read:
    """Merges what was set into the profile that it extends.

    folder: what a path in `extends` is relative to. chain: the files that led here. Returns values and their places;
    ConfigurationError where the profile is missing, is no TOML, or extends itself.
    """
    name = values.get("extends", "")
    if not isinstance(name, str) or not name:
        return values, origins
    file = _named(name, folder)
    if file is None:
        sentence = f"must be a profile ({', '.join(profile_names())}) or the path of a file (is {shown(_KEY, name)})"
        raise ConfigurationError([at(_KEY, origins, sentence)])
    if file in chain:
        way = " -> ".join(each.stem for each in (*chain[chain.index(file) :], file))
        raise ConfigurationError([at(_KEY, origins, f"a profile cannot extend itself ({way})")])
    base, places = extended(*read_toml(file), file.parent, (*chain, file))
    replaced = _replaced(values)
    kept = {path: place for path, place in places.items() if path and not _under(path, replaced)}
    return _merged(base, values), kept | origins


def _named(name: str, folder: Path) -> Path | None:
    shipped = profile_file(name)
    if shipped is not None:
        return shipped.resolve()
    file = folder / name
    return file.resolve() if name.endswith(".toml") and file.is_file() else None


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _replaced(values: dict[str, Any], path: KeyPath = ()) -> set[KeyPath]:
    """The paths of everything but tables."""
    found: set[KeyPath] = set()
    for key, value in values.items():
        found |= _replaced(value, (*path, key)) if isinstance(value, dict) else {(*path, key)}
    return found


def _under(path: KeyPath, replaced: set[KeyPath]) -> bool:
    return any(path[:length] in replaced for length in range(1, len(path) + 1))
