"""`affectd train`: from a folder of data to trained parts, and from those to a model folder.

Known corpora: `face`, `speech` and `text` each leave under OUT what `fusion` makes the model of, in OUT/model; `all`
does the four in turn. A run that was killed goes on where it was, and what is finished is not trained again. A user's
own manifest trains the face part, onto the shipped model. Under `torchrun` the processes train a face network together.
"""

import dataclasses
import logging
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from models.data.manifest import has_manifest
from models.face.network import NetworkConfig
from models.training.distributed import joined_processes, rank
from models.training.face import FaceTraining, train_face
from models.training.own_model import with_own_face
from models.training.progress import Report, shown, tensorboard_events, told_to

TASKS = ("face", "speech", "text", "fusion", "all")

log = logging.getLogger(__name__)

_MODEL = "model"
_OWN = FaceTraining(from_shipped=True, epochs=12, learning_rate=5e-4)
"""For a manifest, unless its configuration says otherwise."""


class TrainingError(ValueError):
    """A task that cannot be done with this data, or a configuration that is wrong; the message says which."""


def train(task: str, data: Path, out: Path, config: Path | None = None) -> Path:
    """Trains, and returns the folder that was made: a part's, or a model's.

    task: one of TASKS. config: TOML with a table `face`, whose keys are fields of `FaceTraining` (`networks` as an
    array of tables), and `tensorboard = true` for events under the part's folder.
    Raises TrainingError, or what the data's readers and `models.training.assemble` raise.
    """
    if task not in TASKS:
        raise TrainingError(f"task {task!r} is not one of {', '.join(TASKS)}")
    settings = {} if config is None else _read(config)
    with joined_processes():
        if has_manifest(data):
            return _own(task, data, out, settings)
        return _known(task, data, out, settings)


def _known(task: str, data: Path, out: Path, settings: Mapping[str, Any]) -> Path:
    steps: dict[str, Callable[[], object]] = {
        "face": lambda: _face(data, out / "face", FaceTraining(), settings),
        "speech": lambda: _speech(data, out / "speech"),
        "text": lambda: _text(data, out / "text"),
        "fusion": lambda: _fusion(data, out),
    }
    for name in steps if task == "all" else (task,):
        log.info("training: %s", name)
        steps[name]()
    return out / (_MODEL if task in ("fusion", "all") else task)


def _own(task: str, data: Path, out: Path, settings: Mapping[str, Any]) -> Path:
    if task != "face":
        raise TrainingError(f"{data / 'manifest.csv'}: a manifest trains the task face, not {task}")
    _face(data, out / "face", _OWN, settings)
    if rank() == 0:
        with_own_face(out / "face", out / _MODEL)
    return out / _MODEL


def _face(data: Path, out: Path, usual: FaceTraining, settings: Mapping[str, Any]) -> None:
    training = _training(usual, settings.get("face", {}))
    events: tuple[Report, ...] = (tensorboard_events(out / "events"),) if settings.get("tensorboard") else ()
    members = 1 if training.from_shipped else len(training.networks)
    with shown("face", training.epochs * members) as bar:
        train_face(data, out, training, told_to(bar, *events))


def _speech(data: Path, out: Path) -> None:
    from models.training.speech import train_speech
    from models.training.speech_protocols import measure_speech

    train_speech(data, out)
    measure_speech(data, out)


def _text(data: Path, out: Path) -> None:
    from models.training.text_part import make_text_part

    make_text_part(data, out)


def _fusion(data: Path, out: Path) -> None:
    from models.training.assemble import assemble

    if missing := [part for part in ("face", "speech", "text") if not (out / part / "metrics.json").is_file()]:
        raise TrainingError(f"{out}: fusion needs the parts that are trained first, and lacks {', '.join(missing)}")
    assemble(out, data, out / _MODEL)


def _read(path: Path) -> dict[str, Any]:
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as wrong:
        raise TrainingError(f"{path}: {wrong}") from wrong
    if unknown := set(settings) - {"face", "tensorboard"}:
        raise TrainingError(f"{path}: unknown {', '.join(sorted(unknown))}; known are face and tensorboard")
    return settings


def _training(usual: FaceTraining, table: Mapping[str, Any]) -> FaceTraining:
    known = {field.name for field in dataclasses.fields(FaceTraining)}
    if unknown := set(table) - known:
        raise TrainingError(f"face: unknown {', '.join(sorted(unknown))}; known are {', '.join(sorted(known))}")
    changes = dict(table)
    try:
        if "networks" in changes:
            changes["networks"] = tuple(NetworkConfig(**network) for network in changes["networks"])
        return dataclasses.replace(usual, **changes)
    except (TypeError, ValueError) as wrong:
        raise TrainingError(f"face: {wrong}") from wrong
