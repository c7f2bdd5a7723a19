"""Training by command: a manifest of one's own, from raw pictures to an evaluated model folder."""

import json
import shutil
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import skimage

from models.artifact import read_manifest
from models.evaluation.evaluate import evaluate
from models.face.network import NetworkConfig
from models.training.command import train
from models.training.part.folder import PartFolder
from models.training.settings import TrainingError

pytestmark = pytest.mark.unit


def _portrait() -> np.ndarray:
    """(512, 512, 3) uint8 RGB, of the astronaut Eileen Collins (NASA, public domain)."""
    return np.asarray(skimage.data.astronaut(), np.uint8)  # type: ignore[no-untyped-call]


def _drawn_face(label: int, rng: np.random.Generator) -> np.ndarray:
    """A 48x48 drawing: the mouth's curve tells the label."""
    picture = np.full((48, 48), 150 + int(rng.integers(40)), np.uint8)
    x, y = rng.integers(-2, 3, 2).tolist()
    for eye in (16, 32):
        cv2.circle(picture, (eye + x, 18 + y), 3, 20, -1)
    if label == 0:
        cv2.ellipse(picture, (24 + x, 30 + y), (10, 7), 0, 20, 160, 20, 2)
    else:
        cv2.ellipse(picture, (24 + x, 42 + y), (10, 7), 0, 200, 340, 20, 2)
    return picture


@pytest.fixture
def own_data(tmp_path: Path) -> Path:
    """Drawn faces, a photograph, a film of it, and rows that cannot be used."""
    data, rng = tmp_path / "data", np.random.default_rng(0)
    data.mkdir()
    rows = ["id,split,group,video,emotion"]
    for number in range(96):
        split = ("train", "train", "valid", "test")[number % 4]
        cv2.imwrite(str(data / f"{number}.png"), _drawn_face(number // 4 % 2, rng))
        rows.append(f"{number},{split},person{number},{number}.png,{('happy', 'sad')[number // 4 % 2]}")
    cv2.imwrite(str(data / "photograph.jpg"), _portrait()[..., ::-1])
    with av.open(str(data / "film.mp4"), "w") as film:
        stream = film.add_stream("mpeg4", rate=1)
        stream.width, stream.height, stream.pix_fmt = 256, 256, "yuv420p"
        for shift in range(2):
            still = np.ascontiguousarray(_portrait()[shift : 256 + shift, 100:356])
            film.mux(stream.encode(av.VideoFrame.from_ndarray(still, format="rgb24")))
        film.mux(stream.encode(None))
    cv2.imwrite(str(data / "wall.png"), np.full((200, 200, 3), 90, np.uint8))
    (data / "broken.jpg").write_bytes(b"no picture")
    shutil.copy(data / "2.png", data / "copy.png")
    rows += ["photograph,train,eileen,photograph.jpg,happiness", "film,train,eileen,film.mp4,happiness"]
    rows += ["wall,train,w,wall.png,neutral", "broken,valid,b,broken.jpg,neutral", "copy,train,c,copy.png,happiness"]
    (data / "manifest.csv").write_text("\n".join(rows) + "\n")
    return data


def test_a_manifest_becomes_a_model_folder_that_is_measured(own_data: Path, tmp_path: Path) -> None:
    config = tmp_path / "train.toml"
    config.write_text("[face]\nepochs = 3\nlearning_rate = 0.001\nema_decay = 0.5\nbf16 = false\n")
    made = train("face", own_data, tmp_path / "out", config)

    manifest = read_manifest(made)
    assert manifest.name == "own"
    assert next(entry for entry in manifest.data if entry["part"] == "face")["corpus"] == "manifest"
    metrics = json.loads((tmp_path / "out" / "face" / "metrics.json").read_text())
    assert metrics["rows"] == {"train": 51, "valid": 24}
    assert metrics["dropped"]["video"] == {
        "no face found": 1,
        "not a picture that can be read": 1,
        "copy of a sample in the valid split": 1,
    }
    left_out = (tmp_path / "out" / "face" / "left_out.csv").read_text()
    assert "copy,train,video,copy of a sample in the valid split" in left_out
    assert (tmp_path / "out" / "face" / "member_0" / "curves.png").is_file()
    assert "| the user's own valid, 7 emotions |" in (made / "MODEL_CARD.md").read_text()

    figures = evaluate(str(made), "manifest", own_data, "test", None, None)
    before = evaluate("default", "manifest", own_data, "test", None, None)
    assert figures["n"] == 24
    assert isinstance(figures["accuracy"], float)
    assert isinstance(before["accuracy"], float)
    assert figures["accuracy"] > max(0.9, before["accuracy"])


def test_parts_are_trained_from_the_networks_that_the_configuration_names(tmp_path: Path) -> None:
    config, own_data, rng = tmp_path / "train.toml", tmp_path / "data", np.random.default_rng(1)
    own_data.mkdir()
    rows = ["id,split,video,emotion"]
    for number in range(8):
        cv2.imwrite(str(own_data / f"{number}.png"), _drawn_face(number % 2, rng))
        rows.append(f"{number},{('train', 'valid')[number // 4]},{number}.png,{('happy', 'sad')[number % 2]}")
    (own_data / "manifest.csv").write_text("\n".join(rows) + "\n")
    config.write_text(
        "[face]\nfrom_shipped = false\nepochs = 1\nbf16 = false\n"
        '[[face.networks]]\nwidths = [4, 4, 8]\n[[face.networks]]\nkind = "vgg"\nwidths = [4, 4, 4, 8]\n'
    )
    train("face", own_data, tmp_path / "out", config)
    _, sizes = PartFolder.under(tmp_path / "out", "face").read_weights()
    assert [NetworkConfig(**member).kind for member in sizes["members"]] == ["residual", "vgg"]


@pytest.mark.parametrize(
    ("task", "config", "message"),
    [
        ("faces", "", "task 'faces' is not one of face, speech, text, fusion, all"),
        ("fusion", "", "a manifest trains no fusion; `affectd calibrate` fits fusion weights to it"),
        ("face", "[face]\nepoch = 3", "face: unknown epoch; known are bf16, class_weight_power, ema_decay"),
        ("face", "[[face.networks]]\nwidths = [4]", "widths of a residual network are 3"),
        ("face", "[voice]\nepochs = 3", "unknown voice"),
        ("face", "[face]\nepochs = 'many'", "face.epochs: Input should be a valid integer"),
        ("face", "face = {", "train.toml"),
    ],
)
def test_what_cannot_be_trained_is_said(tmp_path: Path, task: str, config: str, message: str) -> None:
    (tmp_path / "manifest.csv").write_text("id,text\n1,hello\n")
    (tmp_path / "train.toml").write_text(config)
    with pytest.raises(TrainingError, match=message):
        train(task, tmp_path, tmp_path / "out", tmp_path / "train.toml")


def test_fusion_names_the_parts_that_are_not_trained_yet(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="lacks face, speech, text"):
        train("fusion", tmp_path, tmp_path / "out")
