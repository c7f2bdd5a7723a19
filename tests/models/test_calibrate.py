"""Calibrating on a user's own rows: a model folder with the same weights whose probabilities mean what they say."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from daemon.cli.main import main
from daemon.exit_codes import ExitCode
from models import components
from models.artifact import CARD, MANIFEST, WEIGHTS, read_manifest, write_model_folder
from models.calibration.prediction_sets import SUBSETS, ConformalSets
from models.calibration.scaling import TemperatureScaling
from models.fusion.pool import LogLinearPool
from models.labels import EMOTIONS, MODALITIES
from models.text.encoder import ChatLine
from models.training.calibration.user_calibration import (
    LEAST_OF_LABEL,
    FusionCalibration,
    UserEvidence,
    cross_validated,
    fit_user_calibration,
)
from tests.models.model_folders import Repeater, plain_manifest

pytestmark = pytest.mark.unit

PLAIN = TemperatureScaling(temperature=1.0, bias=(0.0,) * len(EMOTIONS))
BEFORE = FusionCalibration(dict.fromkeys(MODALITIES, PLAIN), LogLinearPool(weights=dict.fromkeys(MODALITIES, 1.0)))
OVERSURE = 4.0
"""How much surer the answers of these tests are than they should be."""


def answers(
    rows: int, modalities: Sequence[str] = ("text",), labels: int = len(EMOTIONS), seed: int = 0
) -> UserEvidence:
    """Answers whose logits would be right if they were divided by OVERSURE."""
    rng = np.random.default_rng(seed)
    truth = np.arange(rows) % labels
    logits, amount = torch.zeros(3, rows, len(EMOTIONS), dtype=torch.float64), torch.zeros(3, rows, dtype=torch.float64)
    for name in modalities:
        said = rng.normal(0, 1, (rows, len(EMOTIONS)))
        said[np.arange(rows), truth] += 1
        logits[MODALITIES.index(name)] = torch.from_numpy(OVERSURE * said)
        amount[MODALITIES.index(name)] = 1
    return UserEvidence(logits, amount, truth, np.arange(rows).astype(str))


def nll(posterior: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    return float(-np.log(posterior[np.arange(len(truth)), truth]).mean())


def test_answers_that_are_too_sure_are_made_less_sure_and_predict_others_better() -> None:
    asked, new = answers(700), answers(700, seed=1)
    after = fit_user_calibration(BEFORE, asked)
    assert after.calibration["text"].temperature == pytest.approx(OVERSURE, rel=0.25)
    assert nll(after.posterior(new), new.truth) < nll(BEFORE.posterior(new), new.truth) - 0.5


def test_a_modality_without_enough_rows_keeps_what_the_model_had_and_is_named() -> None:
    after = fit_user_calibration(BEFORE, answers(210))
    assert (after.calibration["video"], after.calibration["audio"]) == (PLAIN, PLAIN)
    assert after.pool == BEFORE.pool
    assert after.unfitted[0] == "video: temperature and biases are kept; no row shows it"
    few = fit_user_calibration(BEFORE, answers(9)).unfitted
    assert any(sentence.startswith("text: ") and "(there are 9 rows; 14 are missing)" in sentence for sentence in few)
    assert [sentence.partition(":")[0] for sentence in after.unfitted] == ["video", "audio", "fusion"]


def test_a_label_with_few_rows_keeps_its_bias_and_is_as_likely_as_it_was() -> None:
    own = PLAIN.model_copy(update={"bias": (0.0, 0.2, -0.2, 0.1, -0.1, 0.3, -0.3)})
    before = FusionCalibration({**BEFORE.calibration, "text": own}, BEFORE.pool)
    after = fit_user_calibration(before, answers(210, labels=5))
    fitted = after.calibration["text"]
    assert fitted.bias[5:] == own.bias[5:]
    assert fitted.bias[:5] != own.bias[:5]
    assert sum(fitted.bias) == pytest.approx(sum(own.bias))
    assert f"text: the bias of disgust, fear is kept, with fewer than {LEAST_OF_LABEL} rows each" in after.unfitted


def test_few_rows_change_less_than_many() -> None:
    few, many = (fit_user_calibration(BEFORE, answers(rows)).calibration["text"].temperature for rows in (35, 700))
    assert 1 < few < many


def test_a_modality_that_says_nothing_loses_weight_beside_one_that_does() -> None:
    asked = answers(350, ("video", "text"))
    asked.logits[0] = torch.from_numpy(np.random.default_rng(2).normal(0, 3, (350, len(EMOTIONS))))
    weights = fit_user_calibration(BEFORE, asked).pool.weights
    assert weights["video"] < weights["text"]
    assert weights["audio"] == 1


def test_rows_that_cannot_be_dealt_out_are_not_cross_validated() -> None:
    asked = answers(70)
    alike = UserEvidence(asked.logits, asked.amount, asked.truth, np.full(70, "one person"))
    assert cross_validated(BEFORE, alike) is None
    found = cross_validated(BEFORE, asked)
    assert found is not None
    assert found.sum(axis=1) == pytest.approx(1)


# By command, from a manifest to a model folder.


class Readings(Repeater):
    """Reads logits out of what it is shown: an emotion's name and a number, or how loud a sound is."""

    def prepare(self, unit: ChatLine | NDArray[np.float32]) -> list[float]:
        if isinstance(unit, ChatLine):
            name, strength = unit.text.split()
            return [float(strength) * (name == emotion) for emotion in EMOTIONS]
        loud = round(float(np.abs(unit).max()) * 10) - 1
        return [3.0 * (index == loud) for index in range(len(EMOTIONS))]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*_: object) -> Readings:
        return Readings()

    made = {
        modality: components.Component(component.name, build)
        for modality, component in components.COMPONENTS.items()
        if modality != "video"
    }
    monkeypatch.setattr(components, "COMPONENTS", made)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    sets = ConformalSets(coverages=(0.9,), least=dict.fromkeys(SUBSETS, (0.25,)))
    manifest = plain_manifest(parts={"speech": {}, "text": {}}, conformal=sets, version="1.2")
    write_model_folder(tmp_path / "model", manifest, {"text": {"bias": torch.ones(3)}}, "# small 1.2\n")
    return tmp_path / "model"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Lines that are right six times in seven and far too sure, half of them with sound that is always right."""
    folder = tmp_path / "data"
    folder.mkdir()
    rows = ["id,split,group,audio,text,emotion"]
    for n in range(84):
        truth = n % len(EMOTIONS)
        said = EMOTIONS[(truth + (n % 6 == 0)) % len(EMOTIONS)]
        sound = f"{n}.wav" if n % 2 else ""
        if sound:
            wave = np.sin(np.arange(16_000) * 0.2) * (truth + 1) / 10
            soundfile.write(folder / sound, wave.astype(np.float32), 16_000, subtype="FLOAT")
        rows.append(f"{n},valid,person{n // 2},{sound},{said} 9,{EMOTIONS[truth]}")
    rows.append("not-fitted-to,test,somebody,,fear 9,neutral")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder


def calibrated(model: Path, data: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], str]:
    assert main(["calibrate", "--model", str(model), "--data", str(data), "--out", str(out)]) == ExitCode.OK
    heard = capsys.readouterr()
    return json.loads(heard.out), heard.err


def test_a_manifest_makes_a_model_folder_whose_probabilities_are_better(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures, said = calibrated(model, data, tmp_path / "out", capsys)
    assert (figures["n"], figures["split"], figures["after_is_of"]) == (84, "valid", "cross-validation by group")
    assert figures["after"]["nll"] < figures["before"]["nll"] - 0.1
    assert figures["after"]["label_nll"] < figures["before"]["label_nll"]
    assert figures["after"]["ece"] < figures["before"]["ece"]
    assert figures["after"]["accuracy"] >= figures["before"]["accuracy"]
    assert figures["after"]["coverage_accuracy"][0]["coverage"] == 1
    assert figures["fitted"]["text"]["temperature"] > 2
    assert "video: temperature and biases are kept" in said
    assert "Sets are dropped" in said

    before, after = read_manifest(model), read_manifest(tmp_path / "out")
    assert (tmp_path / "out" / WEIGHTS).read_bytes() == (model / WEIGHTS).read_bytes()
    assert figures["model"] == {"name": "small", "version": "1.2+own", "digest": after.digest()}
    assert after.digest() != before.digest()
    assert after.calibration["video"] == before.calibration["video"]
    assert after.fusion.weights != before.fusion.weights
    assert after.conformal is None
    assert after.metrics["calibrated"]["n"] == 84
    assert after.data[-1]["corpus"] == "manifest"
    card = (tmp_path / "out" / CARD).read_text()
    assert card.startswith("# small 1.2+own\n")
    assert card.endswith("# small 1.2\n")


def test_what_was_calibrated_can_be_calibrated_again(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calibrated(model, data, tmp_path / "one", capsys)
    figures, _ = calibrated(tmp_path / "one", data, tmp_path / "two", capsys)
    assert figures["model"]["version"] == "1.2+own"
    assert (tmp_path / "two" / CARD).read_text().count("# small 1.2\n") == 1


def refused(arguments: list[str], code: ExitCode, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["calibrate", *arguments]) == code
    heard = capsys.readouterr()
    assert heard.out == ""
    return heard.err


def test_too_few_rows_are_bad_data_and_nothing_is_written(
    model: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (data / "manifest.csv").read_text().splitlines()
    (data / "manifest.csv").write_text("\n".join(lines[:9]) + "\n")
    out = tmp_path / "out"
    asked = ["--model", str(model), "--data", str(data), "--out", str(out)]
    assert "nothing can be calibrated: video: " in refused(asked, ExitCode.BAD_DATA, capsys)
    assert not out.exists()
    (data / "manifest.csv").write_text("id,split,text\n1,valid,fear 9\n")
    assert "no row of the split valid is labelled" in refused(asked, ExitCode.BAD_DATA, capsys)


def test_the_model_itself_is_never_overwritten(model: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (model / MANIFEST).read_bytes()
    asked = ["--model", str(model), "--data", str(data), "--out", str(model)]
    assert "name another" in refused(asked, ExitCode.CONFIGURATION, capsys)
    assert (model / MANIFEST).read_bytes() == before
