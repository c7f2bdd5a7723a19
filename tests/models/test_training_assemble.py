"""Assembling merges the parts' weights and writes all that a model folder has to say about itself."""

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.torch import save_file

from models.artifact import SHIPPED, read_model_folder
from models.data.corpora.text import CORPORA
from models.labels import EMOTIONS, RISKS
from models.training.assemble.model_folder import assemble
from models.training.fusion import pool, strategy_comparison

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
    emotion: dict[str, NDArray[Any]] = {"logits7": logits, "label7": labels}
    half = np.arange(60) % 2
    curve = (rng.normal(0, 2, 60) + 2 * half - 1).astype(np.float32)
    risk = {
        f"risk_{name}_{key}": value
        for name in RISKS
        for key, value in (("logits", curve), ("own_logits", curve), ("labels", half))
    }
    corpora = {f"risk_{name}_corpus": np.full(60, RISKY[name]) for name in RISKS}
    speech: dict[str, NDArray[Any]] = {
        "corpus": np.full(140, "made"),
        "speaker": (np.arange(140) // 7).astype(str),
        "question": np.repeat(["clips", "augmented"], 70),
        "snr_db": rng.uniform(0, 60, 140).astype(np.float32),
    }
    seen = {name: rng.uniform(0, 1, 141) for name in ("log_sharpness", "log_brightness")}
    lines: dict[str, NDArray[Any]] = {"corpus": np.full(140, "goemotions"), "group": np.arange(140).astype(str)}
    contempt: dict[str, NDArray[Any]] = {
        "logits7": np.concatenate([logits, logits[:1]]),
        "label7": np.append(labels, -1),
        **seen,
    }
    spoilt: dict[str, NDArray[Any]] = {
        **emotion,
        "row": np.arange(140),
        "way": np.repeat(["as it came", "blurred", "blur", "noise"], 35),
        "measured": np.repeat([False, True], 70),
        **{name: values[:140] for name, values in seen.items()},
    }
    answers: dict[str, tuple[str, dict[str, NDArray[Any]]]] = {
        "face": ("valid", contempt),
        "speech": ("oof", {**emotion, **speech}),
        "text": ("valid", {**emotion, "own_logits7": logits, **lines, **risk, **corpora}),
    }
    for part, (name, arrays) in answers.items():
        folder = tmp_path / "runs" / part
        folder.mkdir(parents=True)
        np.savez(folder / f"{name}_logits.npz", allow_pickle=False, **arrays)
        (folder / "metrics.json").write_text(json.dumps(shipped.manifest.metrics[part]))
        sizes = {part: json.dumps(dict(shipped.manifest.parts[part]))}
        save_file(dict(shipped.tensors[part]), folder / f"{part}.safetensors", metadata=sizes)
    np.savez(tmp_path / "runs" / "face" / "spoilt_logits.npz", allow_pickle=False, **spoilt)
    return tmp_path / "runs"


def test_parts_answers_and_figures_become_a_model_folder(
    runs: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_WINDOWS", 1000)
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
    (runs / "speech" / "oof_logits.npz").unlink()
    with pytest.raises(FileNotFoundError, match=r"speech/oof_logits\.npz"):
        assemble(runs, data, tmp_path / "out")
    assert not (tmp_path / "out").exists()
