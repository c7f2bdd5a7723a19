"""`affectd train`: from a folder of data to trained parts, and from those to a model folder.

Known corpora: `face`, `speech` and `text` each leave under OUT what `fusion` makes the model of, in OUT/model; `all`
does the four in turn. A user's own manifest trains face, speech or text from the shipped model on, or with `all` each
that it has the rows for; OUT/model is the shipped model with those of them that are better on rows held out. A run that
was killed goes on where it was, and what is finished is not trained again. Under `torchrun` the processes train a face
network together.
"""

import hashlib
import json
import logging
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError

from models.artifact import ModelError, write_model_folder
from models.data.user.manifest import ManifestError, TooFewRowsError, has_manifest, no_manifest
from models.evaluation.progress import progress_bars
from models.out_folder import OutFolderError
from models.training.assemble.card import model_card
from models.training.assemble.user_choice import better_model
from models.training.face.train import FaceTraining, train_face
from models.training.loop.distributed import joined_processes, rank
from models.training.loop.progress import Report, every_report, shown, tensorboard_events
from models.training.preflight import check_out, missing_files
from models.training.speech.cross_validation import measure_speech
from models.training.speech.train import SpeechTraining, train_speech
from models.training.speech.user import train_user_speech
from models.training.text.text_part import make_text_part
from models.training.text.train import SHIPPED, TextTraining
from models.training.text.user import USER_EPOCHS, make_user_text

TASKS = ("face", "speech", "text", "fusion", "all")

log = logging.getLogger(__name__)

_MODEL = "model"
_RECORD = "training.json"
_USER_FACE = FaceTraining(from_shipped=True, epochs=12, learning_rate=5e-4)
_USER_SPEECH = SpeechTraining(epochs=12, windows_per_epoch=1024, batch_windows=64, learning_rate=5e-4)
_USER_TEXT = TextTraining(epochs=USER_EPOCHS)
"""For a manifest, unless its configuration says otherwise."""

Training = TypeVar("Training", FaceTraining, SpeechTraining, TextTraining)


class TrainingError(ValueError):
    """A task that cannot be done with this data, or a configuration that is wrong; the message says which."""


def train(task: str, data: Path, out: Path, config: Path | None = None) -> Path:
    """Trains, and returns the folder that was made: a part's, or a model's.

    task: one of TASKS. config: TOML with tables `face`, `speech` and `text`, whose keys are fields of `FaceTraining`,
    `SpeechTraining` and `TextTraining`, and `tensorboard = true` for events under the part's folder.
    Raises TrainingError, ManifestError, OutFolderError for a folder that cannot be written, or ModelError for a shipped
    model that cannot be read.
    """
    if task not in TASKS:
        raise TrainingError(f"task {task!r} is not one of {', '.join(TASKS)}")
    settings = {} if config is None else _read(config)
    try:
        with joined_processes():
            return (_own if has_manifest(data) else _known)(task, data, out, settings)
    except (TrainingError, ManifestError, ModelError, OutFolderError):
        raise
    except (OSError, SafetensorError, ValueError) as wrong:  # of readers, which name the file, and of a full disk
        if isinstance(wrong, SafetensorError) or (isinstance(wrong, OSError) and wrong.filename is None):
            raise OutFolderError(f"{out}: {wrong}") from wrong
        raise TrainingError(str(wrong)) from wrong


def _known(task: str, data: Path, out: Path, settings: Mapping[str, Any]) -> Path:
    trainings = _trainings((FaceTraining(), SpeechTraining(), TextTraining()), settings)
    steps: dict[str, Callable[[], None]] = {
        "face": lambda: _face(data, out / "face", trainings.face, settings),
        "speech": lambda: _speech(data, out / "speech", trainings.speech),
        "text": lambda: _text(data, out / "text", trainings.text, settings),
        "fusion": lambda: _fusion(data, out),
    }
    names = [*steps] if task == "all" else [task]
    if task == "fusion":
        _check_parts(out)
    if not any((data / folder).is_dir() for folder in ("faces", "speech", "text")):
        raise TrainingError(f"{no_manifest(data)}; nor is there a known corpus in its faces, speech or text")
    if missing := missing_files(data, names):
        raise TrainingError("\n".join(dict.fromkeys(f"{file}: no such file" for file in missing)))
    _check_begun(data, out, trainings, names)
    for name in names:
        log.info("training: %s", name)
        steps[name]()
    return out / (_MODEL if task in ("fusion", "all") else task)


def _own(task: str, data: Path, out: Path, settings: Mapping[str, Any]) -> Path:
    if task == "fusion":
        raise TrainingError(
            f"{data / 'manifest.csv'}: a manifest trains no fusion; `affectd calibrate` fits fusion weights to it"
        )
    trainings = _trainings((_USER_FACE, _USER_SPEECH, _USER_TEXT), settings)
    steps: dict[str, Callable[[], None]] = {
        "face": lambda: _face(data, out / "face", trainings.face, settings),
        "speech": lambda: _user_speech(data, out / "speech", trainings.speech, settings),
        "text": lambda: _text(data, out / "text", trainings.text, settings, make_user_text),
    }
    _check_begun(data, out, trainings, [*steps] if task == "all" else [task])
    if task != "all":
        steps[task]()
    trained = _those_with_rows(steps) if task == "all" else [task]
    if rank() == 0:
        with progress_bars() as progress:
            made = better_model(data, out, trained, progress)
        write_model_folder(out / _MODEL, made.manifest, made.tensors, model_card(made.manifest))
    return out / _MODEL


@dataclass(frozen=True, slots=True)
class _Trainings:
    """How each part is trained; all are checked before the first one begins."""

    face: FaceTraining
    speech: SpeechTraining
    text: TextTraining


def _trainings(usual: tuple[FaceTraining, SpeechTraining, TextTraining], settings: Mapping[str, Any]) -> _Trainings:
    face, speech, text = usual
    return _Trainings(
        _training(face, "face", settings), _training(speech, "speech", settings), _training(text, "text", settings)
    )


def _check_begun(data: Path, out: Path, trainings: _Trainings, parts: Sequence[str]) -> None:
    """Raises TrainingError or OutFolderError for what would end the run later."""
    for part in parts:
        if part != "fusion":
            _begun(data, out / part, getattr(trainings, part))
    check_out(out, parts)


def _those_with_rows(steps: Mapping[str, Callable[[], None]]) -> Sequence[str]:
    """Trains each part that there are rows for, and returns their names. Raises TooFewRowsError if there are none."""
    trained, missing = [], []
    for name, step in steps.items():
        log.info("training: %s", name)
        try:
            step()
            trained.append(name)
        except TooFewRowsError as few:
            log.warning("%s is not trained: %s", name, few)
            missing.append(str(few))
    if not trained:
        raise TooFewRowsError("\n".join(missing))
    return trained


def _face(data: Path, out: Path, training: FaceTraining, settings: Mapping[str, Any]) -> None:
    members = 1 if training.from_shipped else len(training.networks)
    with _once(data, out, training) as wanted, shown("face", training.epochs * members) as bar:
        if wanted:
            train_face(data, out, training, every_report(bar, *_events(out, settings)))


def _speech(data: Path, out: Path, training: SpeechTraining) -> None:
    with _once(data, out, training) as wanted:
        if wanted:
            train_speech(data, out, training)
            measure_speech(data, out, training)


def _user_speech(data: Path, out: Path, training: SpeechTraining, settings: Mapping[str, Any]) -> None:
    with _once(data, out, training) as wanted, shown("speech", training.epochs) as bar:
        if wanted:
            train_user_speech(data, out, training, every_report(bar, *_events(out, settings)))


def _text(
    data: Path,
    out: Path,
    training: TextTraining,
    settings: Mapping[str, Any],
    make: Callable[[Path, Path, TextTraining, Mapping[str, Report]], object] = make_text_part,
) -> None:
    epochs = {name: training.recipe(name).epochs for name in SHIPPED}
    with _once(data, out, training) as wanted, shown("text", sum(epochs.values())) as bar:
        if wanted:
            before = {"english": 0, "multilingual": epochs["english"]}
            told = {name: every_report(_later(bar, before[name]), *_events(out / name, settings)) for name in SHIPPED}
            make(data, out, training, told)


def _fusion(data: Path, out: Path) -> None:
    from models.training.assemble.model_folder import assemble

    _check_parts(out)
    assemble(out, data, out / _MODEL)


def _check_parts(out: Path) -> None:
    if missing := [part for part in ("face", "speech", "text") if not (out / part / "metrics.json").is_file()]:
        raise TrainingError(f"{out}: fusion needs the parts that are trained first, and lacks {', '.join(missing)}")


@contextmanager
def _once(data: Path, out: Path, training: Any) -> Iterator[bool]:
    """Whether the part is to be trained: not if it is finished. Leaving without an error finishes it.

    A manifest that cannot be used begins nothing, so that it can be mended.
    """
    begun, record = _begun(data, out, training), out / _RECORD
    if begun["finished"]:
        log.info("%s: finished before", out)
        yield False
        return
    _write(record, begun)
    try:
        yield True
    except ManifestError:
        record.unlink(missing_ok=True)
        raise
    _write(record, {**begun, "finished": True})


def _begun(data: Path, out: Path, training: Any) -> dict[str, Any]:
    """The record of a part's training. Raises TrainingError where `out` was begun with other data or settings."""
    manifest = hashlib.sha256((data / "manifest.csv").read_bytes()).hexdigest() if has_manifest(data) else None
    what = json.loads(json.dumps({"data": str(data.resolve()), "manifest": manifest, "training": asdict(training)}))
    record = out / _RECORD
    begun = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {"what": what, "finished": False}
    if begun["what"] != what:
        raise TrainingError(
            f"{out}: begun with other data or settings ({record.name}); delete it or name another folder"
        )
    return {"what": what, "finished": bool(begun["finished"])}


def _write(record: Path, content: Mapping[str, Any]) -> None:
    if rank() == 0:
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _later(report: Report, epochs: int) -> Report:
    return lambda epoch, metrics: report(epochs + epoch, metrics)


def _events(out: Path, settings: Mapping[str, Any]) -> tuple[Report, ...]:
    return (tensorboard_events(out / "events"),) if settings.get("tensorboard") else ()


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
    if unknown := set(settings) - {"face", "speech", "text", "tensorboard"}:
        raise TrainingError(f"{path}: unknown {', '.join(sorted(unknown))}; known are face, speech, text, tensorboard")
    if settings.get("tensorboard") and find_spec("tensorboard") is None:
        raise TrainingError(f"{path}: tensorboard needs the package tensorboard: pip install tensorboard")
    return settings


def _training(usual: Training, name: str, settings: Mapping[str, Any]) -> Training:
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
