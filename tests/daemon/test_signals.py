"""Risk weighs what other systems say beside the words of a window, and says so."""

import pytest
import torch

from daemon.config.errors import ConfigurationError
from daemon.config.source import load
from daemon.scoring.fusing import WindowFusion
from daemon.scoring.prediction_builder import build_prediction
from daemon.scoring.results import ScoredWindow, WindowScores
from models.artifact import SHIPPED, read_model_folder
from models.labels import EMOTIONS, RISKS
from models.model import AffectModel
from models.risk_signals import strength
from models.scores import RiskCode
from streams.events import EncodingUnit, Signal
from streams.records import Modality
from streams.telemetry import NullTelemetry
from tests.daemon.making import unit, window
from tests.daemon.test_prediction_builder import PUBLICATION

pytestmark = pytest.mark.unit

MODEL = AffectModel(read_model_folder(SHIPPED).manifest, {}, torch.device("cpu"))
LEVELS = MODEL.manifest.risk.levels


def signal(value: float, name: str = "pulse", confidence: float = 1.0, at_s: float = 1.0) -> EncodingUnit:
    made = unit(Modality.SIGNALS, at_s)
    made.payload = Signal(name, value, confidence)
    made.finish()
    return made


def scored(*signals: EncodingUnit, weights: dict[str, float]) -> WindowScores:
    fusion = WindowFusion(MODEL, NullTelemetry(), signal_weights=weights)
    (scores,) = fusion.fuse([window(*signals)])
    assert isinstance(scores, WindowScores)
    return scores


def test_the_strongest_signal_counts_by_weight_value_and_confidence() -> None:
    signals = [("pulse", 1.0, 0.5), ("fraud", 0.8, 1.0), ("unknown", 1.0, 1.0)]
    assert strength(signals, {"pulse": 1.0, "fraud": 0.5}) == 0.5
    assert strength(signals, {"pulse": 1.0, "fraud": 1.0}) == 0.8
    assert strength([], {"pulse": 1.0}) is None


def test_a_strong_signal_raises_the_level_and_is_a_reason_though_nothing_was_said() -> None:
    risk = scored(signal(0.99), weights={"pulse": 1.0}).session.risk
    assert risk.level == "critical"
    assert [(reason.code, reason.modality, reason.weight) for reason in risk.reasons] == [
        (RiskCode.SIGNAL, "signals", 0.99)
    ]
    assert risk.categories == dict.fromkeys(RISKS, 0.0)


def test_a_signal_below_the_lowest_level_is_no_reason() -> None:
    risk = scored(signal(LEVELS["low"] / 2), weights={"pulse": 1.0}).session.risk
    assert (risk.level, risk.reasons, risk.score) == ("none", (), LEVELS["low"] / 2)


def test_a_signal_without_a_weight_changes_nothing_but_is_told() -> None:
    scores = scored(signal(1.0, "unknown"), weights={"pulse": 1.0})
    assert (scores.session.risk.score, scores.session.signals) == (0.0, 0.0)


def test_a_signal_leaves_the_emotion_as_it_is() -> None:
    session = scored(signal(1.0), weights={"pulse": 1.0}).session
    assert session.abstained == "no_evidence"
    assert session.emotion == pytest.approx([1 / len(EMOTIONS)] * len(EMOTIONS))


def test_a_prediction_has_signals_only_where_some_came() -> None:
    signals = [signal(0.5), signal(1.0, at_s=2.0), signal(0.2, "fraud")]
    told = window(*signals)
    scores = scored(*signals, weights={"pulse": 0.9}).session
    report = build_prediction(ScoredWindow(told, scores, 0, 0), scores, PUBLICATION, 0.0).modalities.signals
    assert report is not None
    assert (report.events, report.quality, report.probabilities) == (3, {"fraud": 0.2, "pulse": 0.75}, None)
    assert report.contribution == pytest.approx(0.9)
    silent = scored(weights={}).session
    without = build_prediction(ScoredWindow(window(), silent, 0, 0), silent, PUBLICATION, 0.0)
    assert b"signals" not in without.json_line()


def test_weights_are_from_0_to_1_by_name() -> None:
    assert load(None, {}, ['risk.signals={"heart-rate" = 0.5}']).risk.signals == {"heart-rate": 0.5}
    with pytest.raises(ConfigurationError, match=r"risk\.signals\.pulse: must be at most 1 \(is 2"):
        load(None, {}, ["risk.signals.pulse=2.0"])
