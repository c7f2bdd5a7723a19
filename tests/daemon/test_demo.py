import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from daemon.commands.window_lines import window_span_s
from streams.predictions import Prediction
from tests.sample.script import ANGRY, FACE_COVERED, HAPPY, LENGTH_S, NO_CHAT, NO_FACE, NO_VOICE, RELIEVED, SAD, Span

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def ended(out: Path) -> subprocess.CompletedProcess[str]:
    (out / "predictions.jsonl").write_text("left over from before\n")
    command = [sys.executable, "-m", "daemon", "demo", "--speed", "max", "--out", str(out)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", timeout=240)


@pytest.fixture(scope="module")
def predictions(ended: subprocess.CompletedProcess[str], out: Path) -> list[Prediction]:
    assert ended.returncode == 0, ended.stderr
    lines = (out / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    return [Prediction.model_validate_json(line) for line in lines]


def inside(predictions: list[Prediction], span: Span) -> list[Prediction]:
    """Those whose window lies wholly in the span."""
    found = [p for p in predictions if span[0] <= window_span_s(p)[0] and window_span_s(p)[1] <= span[1]]
    assert len(found) >= 3
    return found


def score(predictions: list[Prediction], span: Span, *emotions: str) -> float:
    """The mean probability of the emotions together, over the windows in the span."""
    each = [sum(getattr(p.emotion.probabilities, e) for e in emotions) for p in inside(predictions, span)]
    return float(sum(each) / len(each))


def test_it_ends_by_itself_and_names_what_it_wrote(ended: subprocess.CompletedProcess[str], out: Path) -> None:
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == ""
    assert str(out / "predictions.jsonl") in ended.stderr.splitlines()[-1]
    assert str(out / "timeline.png") in ended.stderr.splitlines()[-1]


def test_a_line_is_shown_for_every_window(
    ended: subprocess.CompletedProcess[str], predictions: list[Prediction]
) -> None:
    assert len([line for line in ended.stderr.splitlines() if "  risk " in line]) == len(predictions)


def test_every_second_of_the_sample_is_in_a_window_and_no_window_comes_twice(predictions: list[Prediction]) -> None:
    spans = [window_span_s(p) for p in predictions]
    assert all(any(start <= at_s < end for start, end in spans) for at_s in range(int(LENGTH_S)))
    assert len({p.id for p in predictions}) == len(predictions)


@pytest.mark.parametrize(
    ("modality", "span"),
    [("video", NO_FACE), ("audio", NO_VOICE), ("video", FACE_COVERED)],
)
def test_a_missing_modality_is_absent_and_the_others_are_there(
    predictions: list[Prediction], modality: str, span: Span
) -> None:
    for each in inside(predictions, span):
        reports = {name: getattr(each.modalities, name) for name in ("video", "audio", "text")}
        absent = reports.pop(modality)
        assert (absent.present, absent.coverage, absent.contribution, absent.probabilities) == (False, 0, 0, None)
        assert all(report.present for report in reports.values())


def test_without_chat_the_words_are_those_that_are_said(predictions: list[Prediction]) -> None:
    for each in inside(predictions, NO_CHAT):
        text = each.modalities.text
        assert text.present
        assert text.quality["transcribed"] == 1
        assert text.contribution != 0


def test_the_mood_of_the_chat_shows_in_the_scores(predictions: list[Prediction]) -> None:
    assert score(predictions, HAPPY, "happiness") > score(predictions, SAD, "happiness") + 0.3
    assert score(predictions, SAD, "sadness", "fear") > score(predictions, HAPPY, "sadness", "fear") + 0.2
    assert score(predictions, ANGRY, "anger") > score(predictions, HAPPY, "anger")
    assert score(predictions, RELIEVED, "happiness") > score(predictions, ANGRY, "happiness") + 0.3


def test_the_call_for_help_is_where_the_risk_is_higher(predictions: list[Prediction]) -> None:
    helpless = min(p.risk.score for p in inside(predictions, SAD))
    assert helpless > max(p.risk.score for p in inside(predictions, HAPPY))


def test_the_picture_is_written(ended: subprocess.CompletedProcess[str], out: Path) -> None:
    assert ended.returncode == 0, ended.stderr
    with Image.open(out / "timeline.png") as picture:
        assert picture.width > 1000
        assert len(set(picture.convert("RGB").tobytes())) > 50


def test_the_picture_in_the_documents_is_the_one_that_is_drawn(
    ended: subprocess.CompletedProcess[str], out: Path
) -> None:
    assert ended.returncode == 0, ended.stderr
    with Image.open(out / "timeline.png") as drawn, Image.open(ROOT / "daemon/sample/timeline.png") as printed:
        assert drawn.size == printed.size
        shown, expected = (np.asarray(picture.convert("RGB"), np.float32) for picture in (drawn, printed))
    assert np.abs(shown - expected).mean() < 1  # of 255: the last digits of probabilities depend on the batch
