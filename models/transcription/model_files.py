"""Finds the files of a Whisper model in CTranslate2's format, by name.

Problem: a model that is half there, or another one than meant, answers words all the same or ends in an error that
names nothing. Rule: every name leads to one set of files that is complete and checked, or to a ModelError that says
what is missing and how to get it. Packaged models are checked against `models.trusted_files` and never lie on disk as
one file; a folder of the user's own is hashed, for its digest.
Left out: downloads. A hub name is looked up in the local cache alone, so that a service never waits for the network.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from faster_whisper import available_models, download_model

from models.artifact import ModelError
from models.speech.whisper import packaged_model
from models.trusted_files import WHISPER_BASE_FILES, WHISPER_TINY, TrustedFile

PACKAGED = ("auto", "tiny", "base")
"""Names that lead to packaged models."""

_NEEDED = ("config.json", "model.bin", "tokenizer.json")
_VOCABULARIES = ("vocabulary.json", "vocabulary.txt")
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class WhisperFiles:
    """The files of one model.

    contents: by file name; without `model.bin` where `folder` has it. digest: "sha256:...", of all files.
    """

    name: str
    digest: str
    contents: Mapping[str, bytes]
    folder: Path | None = None

    @property
    def vocabulary(self) -> list[str]:
        """The decoder's tokens by id."""
        name = next(name for name in _VOCABULARIES if name in self.contents)
        text = self.contents[name].decode("utf-8")
        return list(json.loads(text)) if name.endswith(".json") else text.splitlines()

    @property
    def config(self) -> Mapping[str, Any]:
        """What `config.json` holds."""
        config: Mapping[str, Any] = json.loads(self.contents["config.json"])
        return config


def find_model(name: str, language: str, on_gpu: bool) -> WhisperFiles:
    """The files that a name stands for.

    name: "auto", "tiny", "base", a folder or a hub name. language: a code, or "auto". Raises ModelError.
    """
    match name:
        case "auto":
            tiny = language == "en" and not on_gpu and find_spec(WHISPER_TINY[0].module) is not None
            return find_model("tiny" if tiny else "base", language, on_gpu)
        case "tiny":
            if find_spec(WHISPER_TINY[0].module) is None:
                package = WHISPER_TINY[0].distribution
                raise ModelError(f"transcription model tiny: the package {package} is missing: pip install {package}")
            return _packaged("tiny.en", WHISPER_TINY, {})
        case "base":
            return _packaged("base", WHISPER_BASE_FILES, {"model.bin": packaged_model()})
    folder = Path(name).expanduser()
    return read_folder(folder if folder.is_dir() else _cached(name))


def read_folder(folder: Path) -> WhisperFiles:
    """Reads and checks a folder. Raises ModelError, which names file and problem."""
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    vocabulary = next((name for name in _VOCABULARIES if (folder / name).is_file()), None)
    if vocabulary is None:
        missing.append(" or ".join(_VOCABULARIES))
    if missing or vocabulary is None:
        raise ModelError(
            f"{folder}: {', '.join(missing)}: no such file; a transcription model is a folder of CTranslate2 with "
            f"{', '.join(_NEEDED)} and {' or '.join(_VOCABULARIES)}"
        )
    try:
        contents = {name: (folder / name).read_bytes() for name in ("config.json", "tokenizer.json", vocabulary)}
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
        digests["model.bin"] = _digest_of(folder / "model.bin")
    except OSError as error:
        raise ModelError(f"{error.filename or folder}: {error.strerror}") from error
    _check_config(folder / "config.json", contents["config.json"])
    return WhisperFiles(folder.name, _joint_digest(digests), contents, folder)


def _packaged(name: str, files: tuple[TrustedFile, ...], contents: dict[str, bytes]) -> WhisperFiles:
    digests = {key: hashlib.sha256(content).hexdigest() for key, content in contents.items()}
    digests |= {Path(file.path).name: file.sha256 for file in files}  # which reading them checks
    contents |= {Path(file.path).name: file.read() for file in files}
    return WhisperFiles(name, _joint_digest(digests), contents)


def _cached(name: str) -> Path:
    """The folder of a hub name in the local cache."""
    where = f"transcription model {name!r}"
    if not (name in available_models() or re.fullmatch(r"[\w.-]+/[\w.-]+", name, re.ASCII)):
        raise ModelError(f"{where}: no such folder, and neither {', '.join(PACKAGED)} nor the name of a hub model")
    try:
        return Path(download_model(name, local_files_only=True))
    except (OSError, ValueError) as error:
        fetch = f"""python -c 'from faster_whisper import download_model; download_model("{name}")'"""
        raise ModelError(
            f"{where}: no such folder, and not in the local cache of huggingface_hub; "
            f"to fetch it as the service's user: {fetch}"
        ) from error


def _check_config(file: Path, content: bytes) -> None:
    try:
        config = json.loads(content)
    except (ValueError, RecursionError) as wrong:
        raise ModelError(f"{file}: not JSON: {wrong}") from wrong
    if not isinstance(config, dict):
        raise ModelError(f"{file}: not an object")
    for key in ("alignment_heads", "lang_ids", "suppress_ids", "suppress_ids_begin"):
        value = config.get(key)
        if not isinstance(value, list):
            raise ModelError(f"{file}: {key}: a list is wanted, it is {'missing' if value is None else 'not one'}")
    if not config["alignment_heads"]:
        raise ModelError(f"{file}: alignment_heads: empty; words would have no times")


def _digest_of(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while chunk := opened.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _joint_digest(digests: Mapping[str, str]) -> str:
    return "sha256:" + hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()
