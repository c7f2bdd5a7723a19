"""Spoken lines are calibrated for recognition errors, and lines of chat are read as they always were."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from models.artifact import ModelError, read_manifest, write_model_folder
from models.calibration.scaling import TemperatureScaling
from models.calibration.transcripts import RiskScaling, TranscriptCalibration
from models.labels import RISKS
from models.text.encoder import ChatLine, TextEncoder
from tests.models.model_folders import plain_manifest
from tests.models.unigram import untrained_reader

pytestmark = pytest.mark.unit

BIAS = (0.5, 0.0, -0.5, 0.0, 0.25, 0.0, -0.25)
CALIBRATION = TranscriptCalibration(
    emotion=TemperatureScaling(temperature=2.0, bias=BIAS),
    risks={name: RiskScaling(slope=0.5, intercept=-1.0) for name in RISKS},
)


@pytest.fixture
def encoder() -> TextEncoder:
    torch.manual_seed(0)
    encoder = TextEncoder(untrained_reader())
    encoder.transcripts = CALIBRATION
    return encoder


def logits(encoder: TextEncoder, *lines: str | ChatLine) -> torch.Tensor:
    return encoder.encode([encoder.prepare(line) for line in lines]).embedding


def test_a_spoken_lines_logits_are_scaled_and_shifted(encoder: TextEncoder) -> None:
    chat, spoken = logits(encoder, "i am so glad"), logits(encoder, ChatLine("i am so glad", spoken=True))
    torch.testing.assert_close(spoken[:, :7], chat[:, :7] / 2 + torch.tensor(BIAS))
    torch.testing.assert_close(spoken[:, 7:], chat[:, 7:] / 2 - 1)


def test_a_line_of_chat_among_spoken_ones_stays_as_it_is_bit_by_bit(encoder: TextEncoder) -> None:
    said = ["i am so glad", "what is this", "leave me alone"]
    mixed = logits(encoder, said[0], ChatLine(said[1], spoken=True), said[2])
    encoder.transcripts = None
    before = logits(encoder, *said)
    assert mixed[[0, 2]].equal(before[[0, 2]])
    assert not mixed[1].equal(before[1])


def test_without_a_calibration_a_spoken_line_is_read_as_chat(encoder: TextEncoder) -> None:
    encoder.transcripts = None
    assert logits(encoder, ChatLine("so it goes", spoken=True)).equal(logits(encoder, "so it goes"))


def test_a_folder_from_before_there_was_a_calibration_is_read_and_keeps_its_digest(tmp_path: Path) -> None:
    write_model_folder(tmp_path, plain_manifest(), {"text": {"bias": torch.zeros(1)}}, "")
    digest = read_manifest(tmp_path).digest()
    content = json.loads((tmp_path / "model.json").read_text())
    del content["transcripts"]
    (tmp_path / "model.json").write_text(json.dumps(content))
    assert read_manifest(tmp_path).transcripts is None
    assert read_manifest(tmp_path).digest() == digest
    content["transcripts"] = CALIBRATION.model_dump(mode="json")
    (tmp_path / "model.json").write_text(json.dumps(content))
    assert read_manifest(tmp_path).transcripts == CALIBRATION
    assert read_manifest(tmp_path).digest() != digest


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"risks": {}}, "transcripts: risks must be given for distress, self_harm, abuse"),
        ({"risks": {name: {"slope": 0.0, "intercept": 0.0} for name in RISKS}}, "transcripts.risks.distress.slope"),
        ({"emotion": {"temperature": 1.0, "bias": [0.0]}}, "transcripts.emotion.bias"),
        ({"emotion": {"temperature": 0.0, "bias": [0.0] * 7}}, "transcripts.emotion.temperature"),
        ({"language": "en"}, "transcripts.language: Extra inputs"),
    ],
)
def test_a_calibration_that_means_nothing_is_refused_by_key(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    write_model_folder(tmp_path, plain_manifest(), {"text": {"bias": torch.zeros(1)}}, "")
    content = json.loads((tmp_path / "model.json").read_text())
    content["transcripts"] = CALIBRATION.model_dump(mode="json") | changes
    (tmp_path / "model.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match=message):
        read_manifest(tmp_path)
