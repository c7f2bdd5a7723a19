"""The calibration of transcripts is fitted to lines that were said and recognised."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import recall_score
from torch.nn import functional

from models.artifact import CARD, SHIPPED, read_manifest
from models.calibration.scaling import TemperatureScaling
from models.labels import EMOTIONS, RISKS
from models.model import AffectModel
from models.text.encoder import ChatLine
from models.training.transcripts.calibrate import plain_letters
from models.training.transcripts.fit import LabelledLogits, fit_transcripts
from models.training.transcripts.lines import EMOTION, as_said, spoken_lines
from models.training.transcripts.recognised import recognised
from tests.models.model_folders import plain_manifest

pytestmark = pytest.mark.unit

FLAT = TemperatureScaling(temperature=1.0, bias=(0.0,) * len(EMOTIONS))
LINES_OF_EACH_EMOTION = 4
LEAST_KEPT = 0.75
"""Of the recall of the lines as written: the card's 0.9, less what so few lines differ by."""

needs_data = pytest.mark.skipif("AFFECTD_DATA" not in os.environ, reason="AFFECTD_DATA names no folder of corpora")


def labelled(rows: int, sureness: float) -> LabelledLogits:
    """Logits that are `sureness` times as sure as they should be; every row has an emotion and each risk or not."""
    rng = np.random.default_rng(0)
    right = rng.normal(size=(rows, len(EMOTIONS) + len(RISKS))) * 2
    emotion = np.array([rng.choice(len(EMOTIONS), p=np.exp(x) / np.exp(x).sum()) for x in right[:, : len(EMOTIONS)]])
    risk = (rng.random((rows, len(RISKS))) < 1 / (1 + np.exp(-right[:, len(EMOTIONS) :]))).astype(np.float32)
    names = np.arange(rows).astype(str)
    return LabelledLogits((right * sureness).astype(np.float32), emotion, risk, np.full(rows, "tiny"), names)


def test_answers_that_are_too_sure_are_cooled() -> None:
    read = labelled(3000, sureness=2.5)
    fitted = fit_transcripts(read, FLAT, plain_manifest().risk)
    assert fitted.emotion.temperature == pytest.approx(2.5, rel=0.1)
    for risk in fitted.risks.values():
        assert risk.slope == pytest.approx(1 / 2.5, rel=0.15)


def test_the_services_own_calibration_is_not_fitted_a_second_time() -> None:
    """What it makes right already is left as it is."""
    read = labelled(3000, sureness=2.5)
    service = TemperatureScaling(temperature=2.5, bias=(0.0,) * len(EMOTIONS))
    fitted = fit_transcripts(read, service, plain_manifest().risk)
    assert fitted.emotion.temperature == pytest.approx(1.0, rel=0.1)


def test_few_lines_change_little() -> None:
    read = labelled(3000, sureness=2.5)
    few, many = (fit_transcripts(read.rows(np.arange(n)), FLAT, plain_manifest().risk) for n in (20, 3000))
    assert abs(np.log(few.emotion.temperature)) < abs(np.log(many.emotion.temperature))


def test_a_fitted_calibration_answers_better_than_none() -> None:
    read = labelled(1000, sureness=2.5)
    fitted = fit_transcripts(read.rows(np.arange(500)), FLAT, plain_manifest().risk)
    held_out, truth = torch.from_numpy(read.logits[500:]), torch.from_numpy(read.emotion[500:])
    losses = [
        float(functional.cross_entropy(logits[:, : len(EMOTIONS)], truth))
        for logits in (held_out, fitted.scaled(held_out))
    ]
    assert losses[1] < losses[0]


def test_a_risk_of_too_few_lines_is_left_as_it_is() -> None:
    fitted = fit_transcripts(labelled(40, sureness=2.5), FLAT, plain_manifest().risk)
    assert all((risk.slope, risk.intercept) == (1.0, 0.0) for risk in fitted.risks.values())


def test_addresses_and_emoji_are_not_said() -> None:
    assert as_said("@user look 😂 https://t.co/x [NAME] won!") == "look Alex won!"
    assert as_said("😂😂") == ""
    assert plain_letters("Look, Alex won't!") == "look alex won't"


def test_the_shipped_model_is_calibrated_for_transcripts_and_its_card_says_how_well() -> None:
    manifest = read_manifest(SHIPPED)
    assert manifest.transcripts is not None
    assert "## Spoken lines" in (SHIPPED / CARD).read_text(encoding="utf-8")
    for corpus in ("goemotions", "meld"):
        by_form = manifest.metrics["transcripts"]["figures"]["tiny"][f"emotion, {corpus}"]
        before, after = (by_form[form] for form in ("transcript", "transcript, calibrated"))
        assert after["nll"][0] < before["nll"][0]
        assert after["ece"][0] < before["ece"][0]


@needs_data
def test_the_same_lines_are_drawn_every_time() -> None:
    data = Path(os.environ["AFFECTD_DATA"])
    assert spoken_lines(data) == spoken_lines(data)


@needs_data
def test_spoken_lines_keep_most_of_what_the_written_ones_say(tmp_path: Path) -> None:
    """Recognised validation lines of every emotion: how often their text alone names it. The card has all of them."""
    drawn = [
        line
        for line in spoken_lines(Path(os.environ["AFFECTD_DATA"]))
        if line.drawn_for == EMOTION and line.corpus == "goemotions" and line.sample.emotion
    ]
    lines = [
        line
        for label in range(len(EMOTIONS))
        for line in [each for each in drawn if each.sample.emotion and each.sample.emotion[label] == 1][
            :LINES_OF_EACH_EMOTION
        ]
    ]
    model = AffectModel.load("default", device="cpu")
    encoder, service = model.encoders["text"], model.manifest.calibration["text"]
    read = recognised(lines, "tiny", tmp_path / "read.jsonl")
    believed = [(line, reading) for line, reading in zip(lines, read, strict=True) if reading and reading.text]
    assert len(believed) > 0.8 * len(lines)
    truth = np.array([int(np.argmax(line.sample.emotion or ())) for line, _ in believed])
    shares = []
    chat = [ChatLine(line.sample.text) for line, _ in believed]
    said = [ChatLine(reading.text, spoken=True) for _, reading in believed]
    for form in (chat, said):
        logits = encoder.encode([encoder.prepare(line) for line in form]).embedding[:, : len(EMOTIONS)]
        predicted = service.log_posterior(logits).argmax(dim=1).numpy()
        shares.append(recall_score(truth, predicted, average="macro", labels=np.unique(truth)))
    written, spoken = shares
    assert spoken >= LEAST_KEPT * written
