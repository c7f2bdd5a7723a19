"""`affectd train`: from data to trained parts, and to a model folder.

Public corpora: `face`, `speech` and `text` each leave under OUT what `fusion` makes the model of, in OUT/model; `all`
does the four in turn. A user's manifest trains face, speech or text from the shipped model on, or with `all` each that
it has the rows for; OUT/model is the shipped model with those of them that are better on rows held out. A run that was
killed goes on where it was, and what is finished is not trained again. Under `torchrun` the processes train a face
network together.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

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
from models.training.part.folder import PartFolder
from models.training.part.record import check_record, recorded
from models.training.preflight import check_out, missing_files
from models.training.settings import (
    CORPORA_TRAININGS,
    USER_TRAININGS,
    PartTrainings,
    TrainingError,
    with_settings,
)
from models.training.speech.cross_validation import measure_speech
from models.training.speech.train import SpeechTraining, train_speech
from models.training.speech.user import train_user_speech
from models.training.text.recipes import SHIPPED, TextTraining
from models.training.text.text_part import make_text_part
from models.training.text.user import make_user_text

TASKS = ("face", "speech", "text", "fusion", "all")

log = logging.getLogger(__name__)

_MODEL = "model"
_PARTS = ("face", "speech", "text")

Steps = Mapping[str, Callable[[], None]]


def train(task: str, data: Path, out: Path, config: Path | None = None) -> Path:
    """Trains, and returns the folder of the part or model.

    task: one of TASKS. config: TOML with tables `face`, `speech` and `text`, whose keys are fields of `FaceTraining`,
    `SpeechTraining` and `TextTraining`, and `tensorboard = true` for events under the part's folder.
    Raises TrainingError, ManifestError, OutFolderError for a folder that cannot be written, or ModelError for a shipped
    model that cannot be read.
    """
    if task not in TASKS:
        raise TrainingError(f"task {task!r} is not one of {', '.join(TASKS)}")
    of_user = has_manifest(data)
    trainings = with_settings(USER_TRAININGS if of_user else CORPORA_TRAININGS, config)
    try:
        with joined_processes():
            return (_train_on_manifest if of_user else _train_on_corpora)(task, data, out, trainings)
    except (TrainingError, ManifestError, ModelError, OutFolderError):
        raise
    except (OSError, SafetensorError, ValueError) as wrong:  # of readers, which name the file, and of a full disk
        if isinstance(wrong, SafetensorError) or (isinstance(wrong, OSError) and wrong.filename is None):
            raise OutFolderError(f"{out}: {wrong}") from wrong
        raise TrainingError(str(wrong)) from wrong


def _train_on_corpora(task: str, data: Path, out: Path, trainings: PartTrainings) -> Path:
    face, speech, text = (PartFolder.under(out, part) for part in _PARTS)
    steps: Steps = {
        "face": lambda: _face(data, face, trainings),
        "speech": lambda: _speech(data, speech, trainings.speech),
        "text": lambda: _text(data, text, trainings),
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


def _train_on_manifest(task: str, data: Path, out: Path, trainings: PartTrainings) -> Path:
    if task == "fusion":
        raise TrainingError(
            f"{data / 'manifest.csv'}: a manifest trains no fusion; `affectd calibrate` fits fusion weights to it"
        )
    face, speech, text = (PartFolder.under(out, part) for part in _PARTS)
    steps: Steps = {
        "face": lambda: _face(data, face, trainings),
        "speech": lambda: _user_speech(data, speech, trainings),
        "text": lambda: _text(data, text, trainings, make_user_text),
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


def _check_begun(data: Path, out: Path, trainings: PartTrainings, parts: Sequence[str]) -> None:
    """Raises RecordError or OutFolderError for what would end the run later."""
    for part in parts:
        if part != "fusion":
            check_record(data, PartFolder.under(out, part), getattr(trainings, part))
    check_out(out, parts)


def _those_with_rows(steps: Steps) -> Sequence[str]:
    """Trains each part that there are rows for, and returns their names.

    Raises TooFewRowsError if there are none.
    """
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


def _face(data: Path, folder: PartFolder, trainings: PartTrainings) -> None:
    training: FaceTraining = trainings.face
    members = 1 if training.from_shipped else len(training.networks)
    with recorded(data, folder, training) as wanted, shown("face", training.epochs * members) as bar:
        if wanted:
            train_face(data, folder.path, training, every_report(bar, *_events(folder.events(), trainings)))


def _speech(data: Path, folder: PartFolder, training: SpeechTraining) -> None:
    with recorded(data, folder, training) as wanted:
        if wanted:
            train_speech(data, folder.path, training)
            measure_speech(data, folder.path, training)


def _user_speech(data: Path, folder: PartFolder, trainings: PartTrainings) -> None:
    training = trainings.speech
    with recorded(data, folder, training) as wanted, shown("speech", training.epochs) as bar:
        if wanted:
            train_user_speech(data, folder.path, training, every_report(bar, *_events(folder.events(), trainings)))


def _text(
    data: Path,
    folder: PartFolder,
    trainings: PartTrainings,
    make: Callable[[Path, Path, TextTraining, Mapping[str, Report]], dict[str, Any]] = make_text_part,
) -> None:
    training = trainings.text
    epochs = {name: sum(stage.epochs for stage in training.recipe(name).stages) for name in SHIPPED}
    with recorded(data, folder, training) as wanted, shown("text", sum(epochs.values())) as bar:
        if wanted:
            before = {"english": 0, "multilingual": epochs["english"]}
            progress = {
                name: every_report(_later(bar, before[name]), *_events(folder.events(name), trainings))
                for name in SHIPPED
            }
            make(data, folder.path, training, progress)


def _fusion(data: Path, out: Path) -> None:
    from models.training.assemble.model_folder import assemble

    _check_parts(out)
    assemble(out, data, out / _MODEL)


def _check_parts(out: Path) -> None:
    if missing := [part for part in _PARTS if not PartFolder.under(out, part).is_trained()]:
        raise TrainingError(f"{out}: fusion needs the parts that are trained first, and lacks {', '.join(missing)}")


def _later(report: Report, epochs: int) -> Report:
    return lambda epoch, metrics: report(epochs + epoch, metrics)


def _events(folder: Path, trainings: PartTrainings) -> tuple[Report, ...]:
    return (tensorboard_events(folder),) if trainings.tensorboard else ()
