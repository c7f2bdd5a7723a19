"""Curves, intervals, parts and changes, and the page that tells them."""

import gzip
import hashlib
import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import soundfile

from models.artifact import SHIPPED, read_model_folder, write_model_folder
from models.evaluation.evaluate import evaluate
from models.evaluation.report.command import measurements_in, report
from models.face.crop import given_face
from models.labels import EMOTIONS
from models.metrics.bootstrap import intervals
from models.metrics.corruptions import CORRUPTIONS, corrupted
from models.metrics.curves import coverage_accuracy, reliability, roc_curves, threshold_for_accuracy
from models.metrics.glossary import explained
from models.metrics.labelled_rows import EvaluationError, LabelledRows
from models.metrics.slices import sliced
from models.speech.segment import cut_segments
from models.text.encoder import ChatLine

pytestmark = pytest.mark.unit


def test_an_interval_holds_the_figure_and_narrows_with_rows() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 900)
    said = np.where(rng.random(900) < 0.7, truth, (truth + 1) % 3)
    wide, narrow = intervals(said[:90], truth[:90], 3), intervals(said, truth, 3)
    low, high = narrow["accuracy"]
    assert low < (said == truth).mean() < high
    assert high - low < wide["accuracy"][1] - wide["accuracy"][0]


def test_rows_of_one_speaker_are_drawn_together() -> None:
    """Ten speakers, each always right or always wrong, tell as much as ten rows do."""
    truth = np.zeros(500, np.int64)
    said = np.repeat(np.arange(10) % 2, 50)
    speakers = np.repeat([f"s{speaker}" for speaker in range(10)], 50)
    low, high = intervals(said, truth, 2, speakers)["accuracy"]
    assert high - low > 3 * np.ptp(intervals(said, truth, 2)["accuracy"])


def test_reliability_and_coverage_follow_confidence() -> None:
    confidence = np.array([0.95, 0.95, 0.55, 0.55])
    correct = np.array([True, True, True, False])
    mean, accuracy, rows = reliability(confidence, correct)
    assert (mean.tolist(), accuracy.tolist(), rows.tolist()) == ([0.55, 0.95], [0.5, 1.0], [2, 2])
    curve = coverage_accuracy(confidence, correct)
    assert (curve[0]["coverage"], curve[0]["accuracy"], curve[-1]["accuracy"]) == (1.0, 0.75, 1.0)
    assert threshold_for_accuracy(confidence, correct, 0.9) == 0.95
    assert threshold_for_accuracy(confidence, correct, 0.75) == 0.55
    assert threshold_for_accuracy(confidence, ~correct, 0.99) is None


def test_roc_is_of_labels_that_some_rows_have_and_others_have_not() -> None:
    probabilities = np.array([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1]])
    curves = roc_curves(probabilities, np.array([0, 0, 1]), ("a", "b", "c"))
    assert set(curves) == {"a", "b"}
    assert curves["a"][1][-1] == 1


def test_parts_are_compared_on_the_labels_that_all_have() -> None:
    truth = np.array([0, 1] * 20 + [0, 2] * 20)
    said = np.where(np.arange(80) < 40, truth, 0)
    parts = sliced(said, truth, {"sex": np.repeat(["f", "m"], 40), "all": np.repeat("x", 80)})
    assert set(parts) == {"sex"}
    assert [(part.value, part.accuracy, part.uar) for part in parts["sex"].parts] == [("f", 1.0, 1.0), ("m", 0.5, 1.0)]
    assert parts["sex"].gap == 0


def test_a_label_of_a_few_rows_makes_no_gap() -> None:
    truth = np.array([0] * 40 + [1] * 2 + [0] * 40 + [1] * 30)
    said = np.where(np.arange(112) < 42, 0, truth)  # the two rows of the first part are wrong
    parts = sliced(said, truth, {"sex": np.repeat(["f", "m"], [42, 70])})
    assert parts["sex"].gap == 0


def test_every_change_leaves_an_event_of_the_same_kind_that_is_not_the_same() -> None:
    rng = np.random.default_rng(0)
    face = given_face(rng.integers(0, 255, (48, 48), dtype=np.uint8))
    sound = cut_segments(0.1 * rng.standard_normal(24_000).astype(np.float32))
    line = ChatLine("what a wonderful morning this is, everyone", ("hello",))
    units: dict[str, Sequence[Sequence[Any]]] = {"video": [[face]], "audio": [sound], "text": [[line]]}
    rows = LabelledRows("emotion", EMOTIONS, units, np.array([0]))
    for modality, changes in CORRUPTIONS.items():
        for name, change in changes.items():
            (before,), (after,) = units[modality], corrupted(rows, modality, change).units[modality]
            assert len(after) == len(before)
            if modality == "video":
                assert after[0].crop.shape == (48, 48)
                assert not np.array_equal(after[0].crop, face.crop)
            elif modality == "audio":
                assert all(
                    new.shape == old.shape and new.dtype == old.dtype for new, old in zip(after, sound, strict=True)
                )
                assert not np.array_equal(after[0], sound[0]), name
            else:
                assert after[0] != before[0], name


def test_a_telephone_takes_what_is_above_4_khz() -> None:
    tone = np.sin(2 * np.pi * 6000 * np.arange(16_000) / 16_000).astype(np.float32)
    heard = CORRUPTIONS["audio"]["8 kHz"](tone, np.random.default_rng(0))
    assert np.abs(heard[1000:-1000]).max() < 0.01


def _own_data(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    lines = ["id,split,group,video,audio,text,emotion,distress"]
    for row in range(24):
        cv2.imwrite(str(folder / f"{row}.png"), rng.integers(0, 255, (48, 48), dtype=np.uint8))
        soundfile.write(folder / f"{row}.wav", 0.1 * rng.standard_normal(16_000), 16_000)
        label, text = ("happiness", "I am so happy!") if row % 2 else ("sadness", "I miss her so much")
        sound = f"{row}.wav" if row % 3 else ""
        lines.append(f"{row},test,g{row},{row}.png,{sound},{text},{label},{1 - row % 2}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_rows_of_ones_own_are_windows_of_all_that_they_have(tmp_path: Path) -> None:
    data = _own_data(tmp_path)
    whole = evaluate("default", "manifest", data, "test", None, None)
    words = evaluate("default", "manifest", data, "all", "distress", "video")
    assert (whole["n"], whole["task"]) == (24, "emotion")
    assert (words["n"], words["labels"]) == (24, ["no distress", "distress"])
    for split, task, message in (("dev", None, "no split 'dev'"), ("test", "joy", "no task 'joy'")):
        with pytest.raises(EvaluationError, match=message):
            evaluate("default", "manifest", data, split, task, None)
    with pytest.raises(EvaluationError, match="split valid"):
        evaluate("default", "manifest", data, "valid", None, None)


def test_the_page_holds_figures_pictures_and_what_changes_do(tmp_path: Path) -> None:
    rows = [
        ("I got the job, I'm so happy", "joy"),
        ("she died and I miss her", "sadness"),
        ("lunch is at noon", "neutral"),
    ]
    (tmp_path / "text").mkdir()
    with gzip.open(tmp_path / "text" / "goemotions_valid.jsonl.gz", "wt", encoding="utf-8") as file:
        for number in range(60):
            text, label = rows[number % 3]
            row = {"id": str(number), "lang": "en", "text": f"{text} {number}", "ekman": [label]}
            file.write(json.dumps(row) + "\n")
    assert measurements_in(tmp_path) == [("goemotions", "valid", None)]
    told: list[str] = []
    page = report("default", tmp_path, tmp_path / "out", "2026-01-31", most_rows=45, on_corpus=told.append)
    text = page.read_text(encoding="utf-8")
    assert told == ["goemotions"]
    for name in ("confusion", "roc", "reliability", "abstention"):
        assert (tmp_path / "out" / f"goemotions-emotion-{name}.png").read_bytes().startswith(b"\x89PNG")
    version = hashlib.sha256((tmp_path / "text" / "goemotions_valid.jsonl.gz").read_bytes()).hexdigest()[:12]
    for part in (
        *("45 of 60 rows", "data:image/png;base64,", "<td>typos</td>", "happiness", "uar", "]</td>"),
        *("width=device-width", "2026-01-31", str(SHIPPED), f"sha256:{version}", escape(explained("uar"))),
    ):
        assert part in text, part
    assert "this model" not in text  # it is the shipped one
    with pytest.raises(EvaluationError, match=r"holds no manifest\.csv; nor"):
        report("default", tmp_path / "text", tmp_path / "out", "2026-01-31")


def test_a_model_of_ones_own_stands_beside_the_shipped_one_on_every_task_and_subset(tmp_path: Path) -> None:
    data, shipped = tmp_path / "data", read_model_folder(SHIPPED)
    data.mkdir()
    _own_data(data)
    rows = (data / "manifest.csv").read_text().splitlines()
    rows[0] += ",abuse"
    rows[1:] = [f"{row},{number % 2 if number < 2 else ''}" for number, row in enumerate(rows[1:])]
    (data / "manifest.csv").write_text("\n".join(rows) + "\n")
    assert measurements_in(data) == [("manifest", "test", task) for task in ("emotion", "distress", "abuse")]
    tensors = {**shipped.tensors, "text": {name: tensor.clone() for name, tensor in shipped.tensors["text"].items()}}
    tensors["text"]["english.emotion.bias"][EMOTIONS.index("fear")] = 100.0
    write_model_folder(tmp_path / "own", shipped.manifest.model_copy(update={"name": "own"}), tensors, "")
    text = report(str(tmp_path / "own"), data, tmp_path / "out", "2026-01-31").read_text(encoding="utf-8")
    for part in (
        *("<td>video</td><td>24</td>", "<td>audio</td><td>16</td><td>-</td>", "<td>video+audio+text</td><td>16</td>"),
        *("<th>this model</th>", "manifest test: emotion", "manifest test: distress", "manifest test: abuse"),
        "2 rows are too few to measure; 20 are needed",
    ):
        assert part in text, part
    few = text.partition("manifest test: abuse")[2]
    assert "img" not in few
    assert "confidence" not in few
    assert not list((tmp_path / "out").glob("manifest-abuse*"))
