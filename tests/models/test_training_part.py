"""What a part's training hands over is checked when it is made and when it is read, by file and field."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from models.labels import EMOTIONS, RISKS
from models.training.part.arrays import load_arrays, save_arrays
from models.training.part.folder import PartFolder
from models.training.part.held_out import CLEAN, EmotionLogits, HeldOutLogits, RiskLogits, joined
from models.training.speech.state_logits import StateLogits

pytestmark = pytest.mark.unit


def emotion(rows: int = 14) -> EmotionLogits:
    labels = np.arange(rows) % len(EMOTIONS)
    logits = np.random.default_rng(0).normal(0, 1, (rows, len(EMOTIONS))).astype(np.float32)
    return EmotionLogits(logits, labels, np.full(rows, "goemotions"), labels.astype(str))


def text(rows: int = 14) -> HeldOutLogits:
    made = emotion(rows)
    curve = np.linspace(-1, 1, 5, dtype=np.float32)
    risks = {name: RiskLogits(curve, -curve, curve > 0, np.full(5, "cold")) for name in RISKS}
    return HeldOutLogits("text", made, -made.logits, np.full(rows, CLEAN), risks=risks)


def voices(rows: int = 14) -> HeldOutLogits:
    made = emotion(rows)
    return HeldOutLogits("audio", made, made.logits, np.full(rows, CLEAN), {"snr_db": np.linspace(0, 60, rows)})


def arrays(held_out: HeldOutLogits) -> dict[str, NDArray[Any]]:
    """Every array of a value, by where it lies."""
    found = {f"emotion.{name}": getattr(held_out.emotion, name) for name in EmotionLogits.__slots__}
    found |= {"corpus_logits": held_out.corpus_logits, "condition": held_out.condition, **held_out.qualities}
    for risk, logits in held_out.risks.items():
        found |= {f"{risk}.{name}": getattr(logits, name) for name in RiskLogits.__slots__}
    return found


@pytest.mark.parametrize("made", [text(), voices(), text(0), voices(0)])
def test_what_is_saved_is_read_as_it_was(tmp_path: Path, made: HeldOutLogits) -> None:
    made.save(tmp_path / "new" / "logits.npz")
    read = HeldOutLogits.load(tmp_path / "new" / "logits.npz")
    assert read.modality == made.modality
    assert list(arrays(read)) == list(arrays(made))
    for name, values in arrays(made).items():
        np.testing.assert_array_equal(arrays(read)[name], values)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["logits.npz"]


def test_each_condition_of_a_corpus_is_weighed_as_a_corpus() -> None:
    held_out = replace(voices(), condition=np.repeat([CLEAN, "augmented"], 7))
    assert set(held_out.by_condition().corpus) == {"goemotions/clean", "goemotions/augmented"}


def test_chosen_rows_are_those_of_every_field() -> None:
    chosen = voices().rows(np.arange(14) > 10)
    assert {len(values) for values in arrays(chosen).values()} == {3}
    assert len(joined([chosen.emotion, emotion()])) == 17


@pytest.mark.parametrize(
    ("field", "values", "message"),
    [
        ("logits", np.zeros((14, 9), np.float32), r"logits: must be float32 of shape \(14, 7\) \(is float32 of shape"),
        ("logits", np.zeros((14, 7)), r"logits: must be float32 .*\(is float64"),
        ("logits", np.full((14, 7), np.nan, np.float32), "logits: 98 of its values are not finite"),
        ("labels", np.full(14, 7), "labels: must be indices of 7 emotions"),
        ("labels", np.full(14, -1), "labels: must be indices of 7 emotions"),
        ("group", np.full(13, "a"), r"group: must be str of shape \(14,\)"),
        ("corpus", np.zeros(14), "corpus: must be str"),
    ],
)
def test_emotion_logits_that_are_wrong_are_refused_when_they_are_made(
    field: str, values: NDArray[Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        replace(emotion(), **{field: values})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modality": "speech"}, "modality: must be one of video, audio, text"),
        ({"corpus_logits": np.zeros((3, 7), np.float32)}, "corpus_logits: must be float32"),
        ({"condition": np.full(3, CLEAN)}, "condition: must be str of shape"),
        ({"qualities": {}}, "qualities: snr_db missing"),
        ({"qualities": {"snr_db": np.full(14, np.inf)}}, "qualities.snr_db: 14 of its values are not finite"),
        ({"qualities": {"snr_db": np.zeros(14), "snr": np.zeros(14)}}, "qualities: snr unknown; known are snr_db"),
        ({"risks": text().risks}, "risks: distress, self_harm, abuse unknown"),
        ({"modality": "text", "qualities": {}}, "risks: distress, self_harm, abuse missing"),
    ],
)
def test_what_a_modality_does_not_have_or_lacks_is_refused_when_it_is_made(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        replace(voices(), **changes)


@pytest.mark.parametrize("name", ["emotion.logits", "corpus_logits", "modality", "condition", "risks.abuse.labels"])
def test_a_misspelt_field_is_named_with_its_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / "logits.npz"
    text().save(path)
    stored = load_arrays(path)
    stored[f"{name}7"] = stored.pop(name)
    save_arrays(path, stored)
    with pytest.raises(ValueError, match=rf"logits\.npz: {name}: missing; there are .*{name}7"):
        HeldOutLogits.load(path)


def test_a_field_of_another_shape_is_named_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "logits.npz"
    text().save(path)
    save_arrays(path, {**load_arrays(path), "risks.abuse.corpus": np.full(4, "cold")})
    with pytest.raises(ValueError, match=r"logits\.npz: risks\.abuse\.corpus: must be str of shape \(5,\)"):
        HeldOutLogits.load(path)


@pytest.mark.parametrize("content", [b"", b"no arrays", b"PK\x03\x04 cut short"])
def test_a_file_without_arrays_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "logits.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"logits\.npz: holds no named arrays"):
        HeldOutLogits.load(path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"logits\.npz"):
        HeldOutLogits.load(path)


def test_a_single_array_is_no_file_of_named_ones(tmp_path: Path) -> None:
    path = tmp_path / "logits.npz"
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(ValueError, match=r"logits\.npz: holds no named arrays"):
        load_arrays(path)


def test_state_logits_keep_what_was_not_measured_and_refuse_other_states(tmp_path: Path) -> None:
    states = StateLogits(
        np.zeros((2, 9), np.float32), np.array([0, 1]), np.array(["a", "b"]), np.arange(2), np.full(2, np.nan, "f4")
    )
    states.save(tmp_path / "states.npz")
    assert np.isnan(StateLogits.load(tmp_path / "states.npz").snr_db).all()
    with pytest.raises(ValueError, match=r"logits: must be float32 of shape \(2, 9\)"):
        replace(states, logits=np.zeros((2, 7), np.float32))


def test_a_part_is_trained_when_its_figures_and_logits_are_there(tmp_path: Path) -> None:
    folder = PartFolder.under(tmp_path, "speech")
    assert folder.path == tmp_path / "speech"
    folder.write_metrics({"uar": 0.5})
    assert not folder.is_trained()
    voices().save(folder.held_out)
    assert folder.is_trained()
    assert folder.read_metrics() == {"uar": 0.5}
    assert folder.read_held_out().modality == "audio"
    folder.metrics.write_text("{")
    with pytest.raises(ValueError, match=r"metrics\.json: "):
        folder.read_metrics()


def test_weights_carry_the_sizes_of_their_network(tmp_path: Path) -> None:
    folder = PartFolder(tmp_path, "face")
    save_file({"x": torch.ones(2)}, folder.weights, metadata={"face": json.dumps({"widths": [4]})})
    tensors, sizes = folder.read_weights()
    assert (tensors["x"].tolist(), sizes) == ([1, 1], {"widths": [4]})


def test_every_file_of_a_part_has_a_name_of_its_own(tmp_path: Path) -> None:
    folder = PartFolder(tmp_path, "text")
    files = [getattr(folder, name) for name, kind in vars(PartFolder).items() if isinstance(kind, property)]
    files += [named(network) for named in (folder.checkpoint, folder.curves, folder.events) for network in ("", "en")]
    assert len({*files, folder.passes()}) == len(files) + 1 == 14
    assert all(path.is_relative_to(tmp_path) for path in files)
