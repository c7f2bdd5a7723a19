"""Assembling merges the parts' weights and writes all that a model folder has to say about itself."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.torch import save_file

from models.artifact import SHIPPED, read_model_folder
from models.data.corpora.text import CORPORA
from models.labels import EMOTIONS, RISKS
from models.training.assemble.model_folder import assemble
from models.training.fusion import strategy_comparison, synthetic_windows
from models.training.part.folder import PartFolder
from models.training.part.held_out import CLEAN, EmotionLogits, HeldOutLogits, RiskLogits

pytestmark = pytest.mark.unit

LABELS: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "goemotions": ({"ekman": ["joy"]}, {"ekman": ["fear"]}),
    "meld": ({"emotion": "joy"}, {"emotion": "joy"}),
    "tweeteval-emotion": ({"label": "joy"}, {"label": "anger"}),
    "isear": ({"emotion": "joy", "no_response": 0}, {"emotion": "fear", "no_response": 0}),
    "smp2020": ({"emotion": "happy"}, {"emotion": "angry"}),
    "dreaddit": ({"stress": 1}, {"stress": 0}),
    "sdcnl": ({"suicide": 1}, {"suicide": 0}),
    "sos1k": ({"suicide_risk": 1}, {"suicide_risk": 0}),
    "davidson": ({"class": "hate"}, {"class": "neither"}),
    "tweeteval-hate": ({"label": "hate"}, {"label": "not-hate"}),
    "tweeteval-offensive": ({"label": "offensive"}, {"label": "not-offensive"}),
    "cold": ({"offensive": 1}, {"offensive": 0}),
}
"""Of every other line."""

RISKY = {"distress": "dreaddit", "self_harm": "sdcnl", "abuse": "cold"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "text").mkdir()
    for name, corpus in CORPORA.items():
        lines = [f"{name} line {n}, " + "I am tired " * n for n in range(40)]
        lines[0] = "I want to kill myself" if name == "goemotions" else "see you at lunch"
        rows = [{"id": f"{n}-1", "lang": "en", "text": line, **LABELS[name][n % 2]} for n, line in enumerate(lines)]
        for split in ("train", "valid"):
            with gzip.open(tmp_path / "text" / f"{corpus.stem}_{split}.jsonl.gz", "wt") as file:
                file.writelines(json.dumps(row) + "\n" for row in rows)
    return tmp_path


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """The shipped parts, as their training leaves them, with answers made up."""
    shipped = read_model_folder(SHIPPED)
    rng = np.random.default_rng(0)
    labels = np.arange(140) % len(EMOTIONS)
    logits = (rng.normal(0, 1, (140, len(EMOTIONS))) + 3 * np.eye(len(EMOTIONS))[labels]).astype(np.float32)
    half = np.arange(60) % 2 == 1
    curve = (rng.normal(0, 2, 60) + 2 * half - 1).astype(np.float32)
    risks = {name: RiskLogits(curve, curve, half, np.full(60, RISKY[name])) for name in RISKS}
    rows = np.arange(140).astype(str)
    quality = {name: rng.uniform(0, 1, 140) for name in ("log_sharpness", "log_brightness")}

    def made(corpus: str, group: NDArray[np.str_]) -> EmotionLogits:
        return EmotionLogits(logits, labels, np.full(140, corpus), group)

    clean = np.full(140, CLEAN)
    held_out = {
        "face": HeldOutLogits("video", made("FER+", rows), logits, clean, quality),
        "speech": HeldOutLogits(
            "audio",
            made("made", (np.arange(140) // 7).astype(str)),
            logits,
            np.repeat([CLEAN, "augmented"], 70),
            {"snr_db": rng.uniform(0, 60, 140)},
        ),
        "text": HeldOutLogits("text", made("goemotions", rows), logits, clean, risks=risks),
    }
    for part, part_logits in held_out.items():
        folder = PartFolder.under(tmp_path / "runs", part)
        part_logits.save(folder.held_out)
        folder.write_metrics(shipped.manifest.metrics[part])
        sizes = {part: json.dumps(dict(shipped.manifest.parts[part]))}
        save_file(dict(shipped.tensors[part]), folder.weights, metadata=sizes)
    condition = np.repeat([CLEAN, "blurred", "blur", "noise"], 35)
    corrupted = HeldOutLogits("video", made("FER+", rows), logits, condition, quality)
    corrupted.save(PartFolder.under(tmp_path / "runs", "face").corrupted)
    return tmp_path / "runs"


def test_parts_answers_and_figures_become_a_model_folder(
    runs: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synthetic_windows, "WINDOWS", 1000)
    monkeypatch.setattr(strategy_comparison, "_TRAINING", replace(strategy_comparison._TRAINING, epochs=1))
    written = assemble(runs, data, tmp_path / "out")
    read, shipped = read_model_folder(tmp_path / "out"), read_model_folder(SHIPPED)
    assert read.manifest.digest() == written.digest() != shipped.manifest.digest()
    for part, tensors in shipped.tensors.items():
        assert read.manifest.parts[part] == shipped.manifest.parts[part]
        assert set(read.tensors[part]) == set(tensors)
        assert all(read.tensors[part][name].equal(tensor) for name, tensor in tensors.items())
    happiness = EMOTIONS.index("happiness")
    assert read.manifest.metrics["log_prior"]["meld"] == [0 if i == happiness else None for i in range(len(EMOTIONS))]
    assert set(read.manifest.metrics["corpora"]) == {
        *("ferplus/emotion", "made/emotion", "goemotions/emotion"),
        *(f"{corpus}/{risk}" for risk, corpus in RISKY.items()),
    }
    assert (tmp_path / "out" / "MODEL_CARD.md").read_text().startswith(f"# {written.name} {written.version}\n")


def test_a_part_that_was_not_trained_is_named(runs: Path, data: Path, tmp_path: Path) -> None:
    PartFolder.under(runs, "speech").held_out.unlink()
    with pytest.raises(FileNotFoundError, match=r"speech/held_out_logits\.npz"):
        assemble(runs, data, tmp_path / "out")
    assert not (tmp_path / "out").exists()
