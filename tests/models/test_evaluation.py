"""`evaluate` gives the contract's object, and says what it left out and what the model has seen before."""

import gzip
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from rich.console import Console

from models.evaluation.corpus_rows import EvaluationError, read_rows
from models.evaluation.evaluate import evaluate
from models.evaluation.predictions import predict
from models.evaluation.progress import progress_bars
from models.labels import EMOTIONS
from models.metrics.classification import classification_figures, expected_calibration_error
from models.metrics.glossary import explained
from models.model import AffectModel
from models.text.encoder import TextEncoder
from models.text.transformer import Transformer

pytestmark = pytest.mark.unit

KEYS = {
    *("corpus", "split", "task", "n", "labels", "accuracy", "uar", "macro_f1", "weighted_f1", "auroc", "ece"),
    *("brier", "nll", "confusion", "per_label", "rows_per_second", "model", "note"),
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for folder in ("faces", "speech/emodb", "text"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def write_lines(data: Path, name: str, rows: list[dict[str, object]]) -> None:
    with gzip.open(data / "text" / f"{name}.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps({"id": str(i), "lang": "en", **row}) + "\n" for i, row in enumerate(rows))


def measured(corpus: str, data: Path, split: str, task: str | None = None) -> dict[str, object]:
    return json.loads(json.dumps(evaluate("default", corpus, data, split, task, None)))  # type: ignore[no-any-return]


def test_lines_with_emotions_give_the_contracts_object(data: Path) -> None:
    rows: list[dict[str, object]] = [
        {"text": "I got the job!! I'm so happy", "ekman": ["joy"]},
        {"text": "I'm terrified of the surgery tomorrow", "ekman": ["fear"]},
        {"text": "the meeting is at three, room 204", "ekman": ["neutral"]},
        {"text": "oh no", "ekman": ["fear", "sadness"]},
    ]
    write_lines(data, "goemotions_test", rows)
    figures = measured("goemotions", data, "test")
    assert set(figures) == KEYS
    assert (figures["n"], figures["accuracy"], figures["task"]) == (3, 1.0, "emotion")
    assert figures["labels"] == list(EMOTIONS)
    assert np.array(figures["confusion"]).shape == (7, 7)
    note = str(figures["note"])
    assert "1 rows with several labels are left out" in note
    assert "several labels allowed: macro-F1" in note
    assert "all labels equally likely: accuracy 1.0000" in note
    assert "trained on" not in note


def test_lines_with_a_risk_are_measured_on_it_and_training_splits_are_called_so(data: Path) -> None:
    lines = [("I can't cope any more, everything is falling apart", 1), ("see you at lunch", 0)] * 12
    write_lines(data, "dreaddit_train", [{"text": text, "stress": stress} for text, stress in lines])
    figures = measured("dreaddit", data, "train")
    assert set(figures) == KEYS | {"alarms"}
    assert (figures["task"], figures["labels"]) == ("distress", ["no distress", "distress"])
    assert figures["auroc"] == 1
    assert "The model was trained on this split." in str(figures["note"])


def test_faces_are_measured_on_eight_expressions_or_seven_emotions(data: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (8, 48, 48), dtype=np.uint8)
    votes = np.pad(np.eye(8, dtype=np.uint8) * 10, ((0, 0), (0, 2)))
    np.savez(
        data / "faces" / "ferplus_test.npz", images=images, votes=votes, names=np.array([f"f{i}" for i in range(8)])
    )
    assert measured("ferplus", data, "test")["n"] == 8
    seven = measured("ferplus", data, "test", "emotion")
    assert (seven["n"], seven["labels"]) == (7, list(EMOTIONS))


def test_clips_of_other_speakers_are_the_test_part_of_emodb(data: Path) -> None:
    voice = (0.1 * np.random.default_rng(0).standard_normal(24_000)).astype(np.float32)
    for name in ("a", "b"):
        soundfile.write(data / "speech" / "emodb" / f"{name}.flac", voice, 16_000)
    rows = ["emodb/a.flac,14,female,anger,a01", "emodb/b.flac,03,male,fear,a01"]
    (data / "speech" / "emodb.csv").write_text("\n".join(["file,speaker,gender,emotion,sentence", *rows]) + "\n")
    test, every = measured("emodb", data, "test"), measured("emodb", data, "all")
    assert (test["n"], every["n"]) == (1, 2)
    assert "surprise" in str(test["note"])
    assert "trained on these clips" in str(every["note"])
    assert "trained on these clips" not in str(test["note"])


@pytest.mark.parametrize(
    ("corpus", "split", "task", "drop", "message"),
    [
        (
            "imagenet",
            "test",
            None,
            None,
            "corpus 'imagenet' is not known; known are manifest, ferplus, ravdess, emodb, goemotions",
        ),
        ("ferplus", "test", None, None, r"ferplus_test\.npz: no such split of FER\+"),
        ("goemotions", "test", None, None, r"goemotions_test\.jsonl\.gz: no such file"),
        ("emodb", "dev", None, None, "emodb has no split 'dev'; it has train, test and all"),
        ("ravdess", "all", "risk", None, "ravdess has no task 'risk'; it has emotion"),
    ],
)
def test_what_is_not_there_is_named(
    data: Path, corpus: str, split: str, task: str | None, drop: str | None, message: str
) -> None:
    with pytest.raises(EvaluationError, match=message):
        evaluate("default", corpus, data, split, task, drop)


def test_a_file_that_cannot_be_read_is_named(data: Path) -> None:
    (data / "text" / "goemotions_test.jsonl.gz").write_bytes(gzip.compress(b'{"id": "1", "text": "hello"}\n'))
    with pytest.raises(EvaluationError, match=r"goemotions_test\.jsonl\.gz:1: KeyError"):
        evaluate("default", "goemotions", data, "test", None, None)
    np.savez(data / "faces" / "ferplus_test.npz", images=np.zeros(1))
    with pytest.raises(EvaluationError, match=r"ferplus_test\.npz: lacks the arrays"):
        evaluate("default", "ferplus", data, "test", None, None)


def test_a_corpus_without_its_only_modality_cannot_be_measured(data: Path) -> None:
    write_lines(data, "goemotions_test", [{"text": "hello", "ekman": ["neutral"]}])
    with pytest.raises(EvaluationError, match="goemotions has text alone"):
        evaluate("default", "goemotions", data, "test", None, "text")


def test_figures_count_every_label_that_occurs_alike() -> None:
    probabilities = np.array([[0.9, 0.1, 0.0], [0.8, 0.2, 0.0], [0.7, 0.3, 0.0], [0.6, 0.4, 0.0]])
    figures = classification_figures(probabilities, np.array([0, 0, 0, 1]), ("a", "b", "c"))
    assert (figures["accuracy"], figures["uar"]) == (0.75, 0.5)
    assert figures["auroc"] == 1
    assert figures["confusion"] == [[3, 0, 0], [1, 0, 0], [0, 0, 0]]
    assert figures["per_label"]["b"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "n": 1}


def test_a_model_as_often_right_as_it_says_has_no_calibration_error() -> None:
    correct = np.array([True, True, True, False])
    assert expected_calibration_error(np.full(4, 0.75), correct) == pytest.approx(0)
    assert expected_calibration_error(np.full(4, 1.0), correct) == pytest.approx(0.25)


def test_no_rows_have_no_figures() -> None:
    with pytest.raises(ValueError, match="no rows"):
        classification_figures(np.zeros((0, 2)), np.zeros(0, np.int64), ("a", "b"))


def test_lines_are_read_once_for_the_service_and_the_corpus_and_in_their_order(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nearly all the time goes into the networks, and only their last layer differs."""
    said = ["so happy today " * length for length in (12, 1, 6, 3)] * 20
    write_lines(data, "goemotions_test", [{"text": f"{n} {text}", "ekman": ["joy"]} for n, text in enumerate(said)])
    rows, model = read_rows("goemotions", data, "test", None), AffectModel.load("default")
    read: list[int] = []
    forward = Transformer.forward

    def counted(self: Transformer, lines: Sequence[Sequence[int]], *more: torch.Tensor) -> torch.Tensor:
        read.extend(map(len, lines))
        return forward(self, lines, *more)

    monkeypatch.setattr(Transformer, "forward", counted)
    steps: list[tuple[str, int, int]] = []
    found = predict(model, "goemotions", rows, lambda *step: steps.append(step))
    assert len(read) == len(said)
    assert steps == [("text", 64, 80), ("text", 80, 80)]
    assert not np.allclose(found.corpus_posterior, found.service_posterior)

    encoder = model.encoders["text"]
    assert isinstance(encoder, TextEncoder)
    lines = [encoder.prepare(line) for (line,) in rows.units["text"]]
    _, own = encoder.encode_for_corpus(lines, "goemotions")
    ours = torch.cat([row.embedding for row in found.encoded["text"] if row is not None])
    torch.testing.assert_close(ours, own.embedding, atol=1e-4, rtol=0)


def test_a_terminal_shows_how_many_rows_are_done_and_a_file_stays_empty() -> None:
    terminal, file = io.StringIO(), io.StringIO()
    for written, is_terminal in ((terminal, True), (file, False)):
        with progress_bars(Console(file=written, force_terminal=is_terminal, width=80)) as progress:
            progress("reading", 3, 3)
            progress("text", 64, 4936)
    assert "64/4936" in terminal.getvalue()
    assert file.getvalue() == ""


def test_every_figure_that_evaluate_gives_is_explained() -> None:
    figures = classification_figures(np.array([[0.9, 0.1]]), np.array([0]), ("a", "b"))
    names = {*figures, "n", "rows_per_second", *figures["per_label"]["a"]} - {"per_label"}
    assert not [name for name in names if not explained(name)]
    assert explained("goemotions/uar") == explained("uar")
