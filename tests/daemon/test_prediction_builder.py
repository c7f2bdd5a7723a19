"""From a scored window to what consumers read: the prediction, and the thread that publishes groups of them."""

import json
from dataclasses import replace
from importlib.resources import files
from typing import Any

import jsonschema
import pytest

from daemon.scoring.prediction_builder import PredictionSettings, build_prediction
from daemon.scoring.results import ScoredWindow
from models.labels import EMOTIONS
from models.scores import NO_RISK, Abstention, ModalityScores, RiskCode, RiskLevel, RiskReason, RiskScores, Scores
from streams.alignment.timeline_config import SEGMENTS
from streams.events import EncodingUnit
from streams.predictions import ModelRef
from streams.records import MEDIA, Modality
from tests.daemon.making import evidence, unit, window

pytestmark = pytest.mark.unit

PEAKED = (0.1, 0.4, 0.1, 0.1, 0.1, 0.1, 0.1)
ABSENT = ModalityScores(False, 0.0, None)
PRESENT = ModalityScores(True, 0.25, PEAKED)
PUBLICATION = PredictionSettings(
    ModelRef(name="test", version="1", digest="sha256:aa"), "call-centre", False, 5.0, SEGMENTS
)
WORDS = RiskScores(
    0.8,
    RiskLevel.HIGH,
    {"distress": 0.8, "self_harm": 0.2, "abuse": 0.0},
    (RiskReason(RiskCode.WORDS_OF_DISTRESS, "text", 0.8),),
)


def scores(*present: Modality, risk: RiskScores = NO_RISK, abstained: Abstention | None = None) -> Scores:
    modality = {m.value: PRESENT if m in present else ABSENT for m in MEDIA}
    label = None if abstained else "happiness"
    return Scores(PEAKED, label, 0.3, 0.2, 1.7, modality, risk, abstained)


def everything() -> list[EncodingUnit]:
    face = unit(Modality.VIDEO, 0.2, result=evidence(0.9, encode_ms=4.0, size_px=100.0))
    voice = unit(Modality.AUDIO, 1.0, 1.0, result=evidence(0.5, encode_ms=9.0, level_db=-20.0))
    return [face, voice, unit(text="hello", result=evidence(1.0, encode_ms=2.0, characters=5.0))]


def published(
    *units: EncodingUnit,
    answer: Scores | None = None,
    publication: PredictionSettings = PUBLICATION,
    **of_window: Any,
) -> dict[str, Any]:
    """The object as consumers read it."""
    made = everything() if not units else list(units)
    scored = ScoredWindow(window(*made, **of_window), None, 3.0, 1.0)
    present = answer or scores(*{each.modality for each in made})
    parsed: dict[str, Any] = json.loads(build_prediction(scored, present, publication, 0.05).json_line())
    return parsed


SCHEMA = json.loads(files("streams").joinpath("schemas/prediction-1.json").read_text())


@pytest.mark.parametrize(
    "published_as",
    [
        {},
        {"answer": scores(*MEDIA, risk=WORDS)},
        {"answer": scores(abstained=Abstention.NO_EVIDENCE)},
        {"answer": scores(Modality.TEXT, abstained=Abstention.LOW_CONFIDENCE)},
        {"publication": replace(PUBLICATION, transcript=True)},
        {"revision": 3},
        {"answer": replace(scores(*MEDIA), label_set=EMOTIONS)},
    ],
    ids=["all there", "risky", "nothing there", "not sure", "with its words", "revised", "with its set"],
)
def test_what_is_published_is_of_the_published_schema(published_as: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(published(**published_as))


def test_a_window_whose_emotion_is_abstained_from_keeps_its_risk() -> None:
    told = published(
        answer=scores(Modality.TEXT, abstained=Abstention.LOW_CONFIDENCE, risk=replace(WORDS, level=RiskLevel.CRITICAL))
    )
    assert (told["emotion"]["label"], told["abstained"]) == (None, {"reason": "low_confidence"})
    assert (told["risk"]["level"], told["risk"]["score"]) == ("critical", WORDS.score)


def test_the_window_the_session_the_model_and_the_profile_are_told() -> None:
    told = published(at_s=0.5)
    assert told["schema"] == "affectd.prediction/1"
    assert told["session"] == "room"
    assert told["window"] == {
        "start": "2000-01-01T00:00:00.500Z",
        "end": "2000-01-01T00:00:04.500Z",
        "closed_by": "watermark",
    }
    assert told["model"] == {"name": "test", "version": "1", "digest": "sha256:aa"}
    assert told["profile"] == "call-centre"
    assert told["alignment"] == {"audio_video_offset_ms": None, "watermark_lag_ms": 250.0}


def test_the_emotion_is_told_by_name() -> None:
    emotion = published()["emotion"]
    assert emotion["label"] == "happiness"
    assert emotion["probabilities"] == dict(zip(EMOTIONS, PEAKED, strict=True))
    assert (emotion["valence"], emotion["arousal"], emotion["entropy"]) == (0.3, 0.2, 1.7)


def test_the_risk_is_told_with_its_reasons() -> None:
    assert published(answer=scores(Modality.TEXT, risk=WORDS))["risk"] == {
        "score": 0.8,
        "level": "high",
        "categories": {"distress": 0.8, "self_harm": 0.2, "abuse": 0.0},
        "reasons": [{"code": "words_of_distress", "modality": "text", "weight": 0.8}],
    }


def test_an_abstention_has_a_reason_and_no_label() -> None:
    told = published(answer=scores(Modality.TEXT, abstained=Abstention.LOW_CONFIDENCE))
    assert told["abstained"] == {"reason": "low_confidence"}
    assert told["emotion"]["label"] is None
    assert published()["abstained"] is False


def test_a_set_is_told_where_there_is_one_and_otherwise_left_out() -> None:
    sure = scores(Modality.TEXT)
    assert published(answer=replace(sure, label_set=("happiness", "neutral")))["emotion"]["set"] == [
        *("happiness", "neutral"),
    ]
    assert "set" not in published(answer=sure)["emotion"]


# The id.


def test_the_same_window_scored_by_the_same_model_has_the_same_id_whatever_is_in_it() -> None:
    one = published(unit(text="hello", result=evidence(1.0)), revision=0)
    two = published(*everything(), revision=1)
    assert one["id"] == two["id"]
    assert (one["revision"], two["revision"]) == (0, 1)


@pytest.mark.parametrize(
    "other",
    [
        {"at_s": 1.0},
        {"size_s": 2.0},
        {"publication": replace(PUBLICATION, model=ModelRef(name="test", version="1", digest="sha256:bb"))},
    ],
    ids=["another start", "another end", "another model"],
)
def test_another_window_or_model_gives_another_id(other: dict[str, Any]) -> None:
    assert published(**other)["id"] != published()["id"]


def test_another_session_gives_another_id() -> None:
    elsewhere = unit(session="elsewhere", result=evidence(1.0))
    assert published(elsewhere)["id"] != published()["id"]


# Modalities.


@pytest.mark.parametrize("absent", list(MEDIA))
def test_an_absent_modality_is_told_to_be_absent_and_never_neutral(absent: Modality) -> None:
    units = [each for each in everything() if each.modality is not absent]
    told = published(*units)["modalities"]
    assert told[absent] == {
        "present": False,
        "coverage": 0.0,
        "events": 0,
        "quality": {"received": 0.0},
        "contribution": 0.0,
        "probabilities": None,
    }
    assert all(told[other]["present"] for other in MEDIA if other is not absent)
    assert all(told[other]["probabilities"] for other in MEDIA if other is not absent)


def test_a_modality_that_was_received_but_held_no_evidence_is_absent() -> None:
    silent = unit(Modality.AUDIO, 0, 1, result=evidence(level_db=-60.0))
    told = published(silent, answer=scores())["modalities"]["audio"]
    assert (told["present"], told["coverage"], told["events"]) == (False, 0.0, 1)
    assert told["quality"] == {"received": 1.0}


def test_too_little_of_a_modality_to_count_covers_nothing() -> None:
    breath = unit(Modality.AUDIO, 0, 1, result=evidence(0.05))
    told = published(breath, answer=scores())["modalities"]["audio"]
    assert (told["present"], told["coverage"]) == (False, 0.0)


def pictures(faces: int, others: int = 0) -> list[EncodingUnit]:
    seen = [unit(Modality.VIDEO, i / 5, result=evidence(0.9)) for i in range(faces)]
    return seen + [unit(Modality.VIDEO, (faces + i) / 5, result=evidence()) for i in range(others)]


def voices(*weights: float) -> list[EncodingUnit]:
    return [unit(Modality.AUDIO, i, 1, result=evidence(weight)) for i, weight in enumerate(weights)]


@pytest.mark.parametrize(
    ("modality", "units", "coverage"),
    [
        (Modality.VIDEO, pictures(10), 0.5),  # of the 20 that 5 Hz give in 4 s
        (Modality.VIDEO, pictures(5, 5), 0.25),
        (Modality.VIDEO, pictures(20), 1.0),
        (Modality.VIDEO, pictures(21), 1.0),
        (Modality.VIDEO, [unit(Modality.VIDEO, result=evidence(0.9, 0.8, 0.7))], 0.05),  # one picture, three faces
        (Modality.AUDIO, voices(1.0, 1.0), 0.5),
        (Modality.AUDIO, voices(0.5, 0.25), 0.1875),
        (Modality.AUDIO, [*voices(1.0), unit(Modality.AUDIO, 1, 1)], 0.25),  # one could not be encoded
        (Modality.TEXT, [unit(result=evidence(1.0))], 1.0),
    ],
    ids=str,
)
def test_coverage_is_the_part_of_the_window_with_evidence(
    modality: Modality, units: list[EncodingUnit], coverage: float
) -> None:
    told = published(*units)["modalities"][modality]
    assert told["coverage"] == pytest.approx(coverage)
    assert told["events"] == len(units)


def test_quality_is_the_mean_over_units_with_evidence() -> None:
    first = unit(Modality.VIDEO, 0.0, result=evidence(0.9, size_px=100.0, faces=1.0))
    second = unit(Modality.VIDEO, 0.2, result=evidence(0.9, size_px=50.0))
    nobody = unit(Modality.VIDEO, 0.4, result=evidence(size_px=0.0))
    quality = published(first, second, nobody)["modalities"]["video"]["quality"]
    assert quality == {"faces": 1.0, "size_px": 75.0, "received": 1.0}


def test_a_quality_that_is_no_number_is_told_as_null() -> None:
    silent = unit(Modality.AUDIO, 0, 1, result=evidence(0.1, snr_db=float("inf")))
    told = published(silent)
    assert told["modalities"]["audio"]["quality"]["snr_db"] is None
    jsonschema.Draft202012Validator(SCHEMA).validate(told)


def test_timing_is_of_the_slowest_unit_and_of_this_window() -> None:
    timing = published()["timing"]
    assert timing == {"processing_ms": 50.0, "queue_ms": 3.0, "encode_ms": 9.0, "fuse_ms": 1.0}


# Privacy.


def test_words_are_published_only_where_that_is_allowed() -> None:
    lines = [unit(at_s=i, text=text, result=evidence(1.0)) for i, text in enumerate(("one", "two"))]
    assert published(*lines)["transcript"] is None
    assert published(*lines, publication=replace(PUBLICATION, transcript=True))["transcript"] == "one\ntwo"


def test_a_window_without_words_has_no_transcript() -> None:
    seen = unit(Modality.VIDEO, result=evidence(0.9))
    assert published(seen, publication=replace(PUBLICATION, transcript=True))["transcript"] is None
