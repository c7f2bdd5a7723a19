"""Packaged model files: all that is loaded is listed with its digest, and another file is refused."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest

from models import trusted_files
from models.face.detector import FaceDetector
from models.speech import activity
from models.speech.whisper import load_whisper
from models.text.e5 import start_e5
from models.text.language import EnglishDetector
from models.text.minilm import load_minilm, minilm_vocabulary
from models.transcription.model_files import find_model
from models.trusted_files import CENTERFACE, TRUSTED, TrustedFile, UntrustedFileError

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]

# Loads the default model and all else that reads packaged files, and prints every file of data that Python opened, and
# what onnxruntime was given, which opens paths by itself.
LOADS_EVERYTHING = """
import json, sys
opened, sessions = set(), []
sys.addaudithook(lambda event, args: opened.add(str(args[0])) if event == "open" and isinstance(args[0], str) else None)
import onnxruntime
class Session(onnxruntime.InferenceSession):
    def __init__(self, model, *args, **kwargs):
        sessions.append(isinstance(model, bytes))
        super().__init__(model, *args, **kwargs)
onnxruntime.InferenceSession = Session
from models.face.detector import FaceDetector
from models.face.eyes import EyeReader
from models.model import AffectModel
from models.text.e5 import start_e5
from models.text.minilm import load_minilm
from models.transcription.model_files import find_model
AffectModel.load("default", device="cpu")
find_model("tiny", "en", on_gpu=False)
find_model("base", "auto", on_gpu=False)
FaceDetector()
EyeReader()
load_minilm()
start_e5([])
print(json.dumps({"opened": sorted(opened), "sessions": sessions}))
"""
LIBRARY_DATA = {"emoji.json"}  # names of emoji, which a library reads as its own data: no weights
CODE = {".py", ".pyc", ".pyi", ".so", ".pth", ".toml", ".txt", ".cfg", ""}  # and dist-info, which has no weights


def files_loaded() -> tuple[set[Path], list[bool]]:
    """Files of data inside packages, and whether each network that onnxruntime runs was given as bytes."""
    ran = subprocess.run(
        [sys.executable, "-c", LOADS_EVERYTHING], cwd=ROOT, capture_output=True, text=True, timeout=200, check=False
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout.splitlines()[-1])
    paths = {Path(path).resolve() for path in told["opened"]}
    packaged = {path for path in paths if "site-packages" in path.parts or path.is_relative_to(ROOT / "models")}
    listed = {path.name for file in TRUSTED for path in [Path(file.path)]}
    data = {path for path in packaged if path.suffix not in CODE and "dist-info" not in str(path)}
    return {path for path in packaged if path.name in listed} | {
        path for path in data if path.name not in LIBRARY_DATA
    }, told["sessions"]


def test_every_packaged_file_that_is_loaded_is_trusted_and_every_trusted_file_is_loaded() -> None:
    loaded, as_bytes = files_loaded()
    trusted = {Path(str(file._file())).resolve() for file in TRUSTED}
    default = {(ROOT / "models" / "weights" / "default" / name) for name in ("model.json", "weights.safetensors")}
    assert loaded - trusted - default == set()
    assert trusted - loaded == set()
    assert as_bytes == [True, True]  # CenterFace and Silero: nothing is opened behind the check


@pytest.mark.parametrize("file", TRUSTED, ids=lambda file: file.path)
def test_a_trusted_file_is_what_its_package_carries_now(file: TrustedFile) -> None:
    assert hashlib.sha256(file.read()).hexdigest() == file.sha256
    assert file.distribution in {name.lower() for name in packages_distributions().get(file.module, ["affectd"])}
    assert version(file.distribution) if file.distribution != "affectd" else True
    assert file.licence in {"MIT", "Apache-2.0", "BSD-3-Clause"}


LOADERS: dict[str, Callable[[], object]] = {
    "faces": FaceDetector,
    "voice": activity.VoiceActivity,
    "speech": lambda: load_whisper(1),
    "words": lambda: find_model("base", "auto", on_gpu=False),
    "English words": lambda: find_model("tiny", "en", on_gpu=False),
    "languages": EnglishDetector,
    "start of English training": load_minilm,
    "start of other training": lambda: start_e5([]),
    "word pieces": minilm_vocabulary,
}


@pytest.mark.parametrize("load", LOADERS.values(), ids=LOADERS.keys())
def test_a_file_of_another_digest_is_not_loaded(load: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    activity.load_network.cache_clear()
    monkeypatch.setattr(trusted_files, "_sha256", lambda content: "0" * 64)
    with pytest.raises(UntrustedFileError, match=r"of the package [a-z0-9-]+: sha256 is 0{64}, expected [0-9a-f]{64}$"):
        load()


def test_a_package_or_file_that_is_missing_is_named() -> None:
    with pytest.raises(UntrustedFileError, match=r"model\.bin: the package whisper-base, which carries it, is not"):
        replace(CENTERFACE, distribution="whisper-base", module="no_such_module", path="data/model.bin").read()
    with pytest.raises(UntrustedFileError, match=r"none\.onnx, of the package affectd: No such file"):
        replace(CENTERFACE, path="none.onnx").checked_path()
