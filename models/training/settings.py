"""Settings of a training: defaults of each part, and configured changes."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from models.training.face.train import FaceTraining
from models.training.speech.train import SpeechTraining
from models.training.text.recipes import TextTraining
from models.training.text.user import USER_EPOCHS

Training = TypeVar("Training", FaceTraining, SpeechTraining, TextTraining)

_KEYS = ("face", "speech", "text", "tensorboard")


class TrainingError(ValueError):
    """A task or configuration that cannot be trained with.

    The message says why.
    """


@dataclass(frozen=True, slots=True)
class PartTrainings:
    """How each part is trained. tensorboard: whether events are written."""

    face: FaceTraining
    speech: SpeechTraining
    text: TextTraining
    tensorboard: bool = False


CORPORA_TRAININGS = PartTrainings(FaceTraining(), SpeechTraining(), TextTraining())
"""For public corpora, unless the configuration says otherwise."""

USER_TRAININGS = PartTrainings(
    FaceTraining(from_shipped=True, epochs=12, learning_rate=5e-4),
    SpeechTraining(epochs=12, windows_per_epoch=1024, batch_windows=64, learning_rate=5e-4),
    TextTraining(epochs=USER_EPOCHS),
)
"""For a manifest, unless its configuration says otherwise."""


def with_settings(usual: PartTrainings, config: Path | None) -> PartTrainings:
    """The usual trainings with the changes of a TOML file.

    Raises TrainingError naming file or key.
    """
    settings = {} if config is None else _read(config)
    return PartTrainings(
        _changed(usual.face, "face", settings),
        _changed(usual.speech, "speech", settings),
        _changed(usual.text, "text", settings),
        bool(settings.get("tensorboard")),
    )


def _read(path: Path) -> dict[str, Any]:
    if path.exists() and not path.is_file():
        raise TrainingError(f"{path}: is not a file")
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as wrong:
        raise TrainingError(f"{path}: cannot be read: {wrong.strerror}") from wrong
    except UnicodeDecodeError as wrong:
        raise TrainingError(f"{path}: is not UTF-8 text (byte {wrong.start})") from wrong
    except (ValueError, RecursionError) as wrong:  # ValueError: no TOML, or a number too long
        raise TrainingError(f"{path}: {wrong}") from wrong
    if unknown := set(settings) - set(_KEYS):
        raise TrainingError(f"{path}: unknown {', '.join(sorted(unknown))}; known are {', '.join(_KEYS)}")
    if settings.get("tensorboard") and find_spec("tensorboard") is None:
        raise TrainingError(f"{path}: tensorboard needs the package tensorboard: pip install tensorboard")
    return settings


def _changed(usual: Training, name: str, settings: Mapping[str, Any]) -> Training:
    """The usual training with the table's changes."""
    table = settings.get(name, {})
    known = {field.name for field in fields(usual)}
    if not isinstance(table, Mapping) or set(table) - known:
        unknown = ", ".join(sorted(set(table) - known)) if isinstance(table, Mapping) else table
        raise TrainingError(f"{name}: unknown {unknown}; known are {', '.join(sorted(known))}")
    changed = {field: getattr(usual, field) for field in known} | dict(table)
    try:
        return TypeAdapter(type(usual)).validate_python(changed)
    except ValidationError as wrong:
        raise TrainingError(_problems(name, wrong)) from wrong


def _problems(table: str, wrong: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, (table, *error['loc'])))}: {error['msg']}" for error in wrong.errors())
