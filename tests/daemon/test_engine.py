"""Rows of many units in one device call, and windows from what was encoded."""

import math
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from daemon.scoring.engine import BatchLimits, ScoringEngine
from daemon.scoring.features import encode_units, window_features
from daemon.scoring.fusing import Lookback, WindowFusion
from daemon.scoring.results import BadRow, ScoredWindow, UnitFeatures, UnitRows, WindowScores
from models.encoder import Encoded, Encoder, Pooled
from models.face.crop import Face, given_face
from models.face.network import CROP_PX
from models.fusion.smoothed_scores import Course
from models.labels import EMOTIONS, RISKS
from models.model import AffectModel, WindowFeatures
from models.scores import NO_RISK, Abstention, ModalityScores, Scores
from models.speech.segment import SpeechSegment
from streams.alignment.closed_window import ClosedWindow
from streams.clock import NS_PER_S
from streams.events import EncodingUnit
from streams.records import MEDIA, Modality
from tests.daemon.making import NoSound, Told, counted, deadline, evidence, instruments, unit, window
from tests.models.model_folders import plain_manifest
from tests.streams.making import ns

pytestmark = pytest.mark.unit

_DRAWN = np.random.default_rng(7)


class FakeEncoder(Encoder):
    """Embeds a row as its sum and its length, and weighs it by the sum; counts its calls."""

    width = 2

    def __init__(self) -> None:
        self.calls: list[int] = []

    def prepare(self, event: Any) -> Any:
        return event

    def example(self) -> list[float]:
        return [0.0]

    def encode(self, prepared: Sequence[Any]) -> Encoded:
        self.calls.append(len(prepared))
        content = [_content(row) for row in prepared]
        embedding = torch.tensor([[float(values.sum()), float(values.size)] for values in content])
        return Encoded(embedding, embedding[:, 0].sigmoid())

    def pool(self, embedding: torch.Tensor, weight: torch.Tensor) -> Pooled:
        return Pooled(torch.zeros(len(embedding), 7))


def _content(row: Any) -> Any:
    match row:
        case Face():
            return row.crop
        case SpeechSegment():
            return row.mel
        case _:
            return np.asarray(row)


def encoded_together(units: Sequence[Sequence[Any]], encoder: FakeEncoder | None = None) -> list[Encoded]:
    answers = encode_units(encoder or FakeEncoder(), units)
    return [answer for answer in answers if not isinstance(answer, BadRow)]


def face() -> Face:
    return given_face(_DRAWN.integers(0, 255, (CROP_PX, CROP_PX), np.uint8))


def segment() -> SpeechSegment:
    mel = _DRAWN.normal(size=(80, 100)).astype(np.float32)
    return SpeechSegment(mel, np.ones(50, bool), 1.0, -20.0, 30.0)


def tokens() -> list[int]:
    return [int(token) for token in _DRAWN.integers(0, 1000, _DRAWN.integers(1, 20))]


@pytest.mark.parametrize("row", [face, segment, tokens])
def test_the_rows_of_a_unit_are_encoded_in_a_batch_as_alone(row: Any) -> None:
    units = [[row() for _ in range(rows)] for rows in (1, 3, 1, 2)]
    encoder = FakeEncoder()
    together = encoded_together(units, encoder)
    assert encoder.calls == [7]
    for rows, encoded in zip(units, together, strict=True):
        [alone] = encoded_together([rows])
        assert encoded.embedding.shape == (len(rows), 2)
        torch.testing.assert_close(encoded.embedding, alone.embedding, atol=0, rtol=0)
        torch.testing.assert_close(encoded.weight, alone.weight, atol=0, rtol=0)


@pytest.mark.parametrize("row", [face, segment, tokens])
def test_a_window_has_the_same_features_whichever_batch_its_units_were_in(row: Any) -> None:
    units = [[row()], [row(), row()], [row()]]

    def features(encoded: Sequence[Encoded]) -> Encoded:
        results = [UnitFeatures(rows.embedding, rows.weight, {}, 0.0) for rows in encoded]
        made = [unit(at_s=i, result=result) for i, result in enumerate(results)]
        return window_features(window(*made).units).events["text"]

    together = features(encoded_together(units))
    alone = features([encoded_together([rows])[0] for rows in units])
    torch.testing.assert_close(together.embedding, alone.embedding, atol=0, rtol=0)
    torch.testing.assert_close(together.weight, alone.weight, atol=0, rtol=0)


def test_the_events_of_a_window_keep_their_order() -> None:
    units = [unit(at_s=at_s, result=evidence(weight)) for at_s, weight in ((0.0, 0.1), (1.0, 0.2), (2.0, 0.3))]
    assert window_features(window(*units).units).events["text"].weight.tolist() == pytest.approx([0.1, 0.2, 0.3])


def test_units_without_rows_or_without_a_result_add_nothing() -> None:
    heard = unit(Modality.AUDIO, 0, 1, result=evidence(0.5))
    silent = unit(Modality.AUDIO, 1, 1, result=evidence())
    lost = unit(Modality.AUDIO, 2, 1)
    nobody = unit(Modality.VIDEO, result=evidence())
    features = window_features(window(heard, silent, lost, nobody).units)
    assert set(features.events) == {"audio"}
    assert features.events["audio"].weight.tolist() == [0.5]


def test_a_window_in_which_nothing_was_encoded_has_no_events() -> None:
    assert window_features(window(unit(Modality.VIDEO)).units).events == {}


class FakeModel(AffectModel):
    """Answers each window with the number of its rows of text, as its entropy."""

    def __init__(self, broken: bool = False, poison_rows: int = 0) -> None:
        """poison_rows: a window with so many rows of text is answered by what is no number."""
        self.encoders = {modality.value: FakeEncoder() for modality in MEDIA}
        self.batches: list[int] = []
        self.manifest: Any = SimpleNamespace(least_confidence=0.0)
        self._broken = broken
        self._poison_rows = poison_rows

    def score_examples(self, rows: int = 1) -> list[Scores]:
        return self.fuse([WindowFeatures({"text": Encoded(torch.zeros(1, 2), torch.ones(1))})])

    def fuse(self, windows: Sequence[WindowFeatures]) -> list[Scores]:
        self.batches.append(len(windows))
        if self._broken:
            raise ArithmeticError("cannot be fused")
        return [self._answer(len(features.events["text"].weight)) for features in windows]

    def _answer(self, rows: int) -> Scores:
        answer = scores(rows)
        return replace(answer, emotion=(math.nan,) * 7) if rows == self._poison_rows else answer


def scores(entropy: float) -> Scores:
    flat = tuple([1 / 7] * 7)
    absent = ModalityScores(False, 0.0, None)
    assert set(NO_RISK.categories) == set(RISKS)
    return Scores(flat, "fear", 0.0, 0.0, entropy, {m.value: absent for m in MEDIA}, NO_RISK, None)


class Characters(NoSound):
    def prepare(self, unit: EncodingUnit) -> UnitRows:
        return UnitRows([[1, 2], [3]], {})

    def forget(self, session: str) -> None:
        """Nothing is remembered."""


def engine(model: AffectModel, encoded: Told[EncodingUnit], scored: Told[ScoredWindow]) -> ScoringEngine:
    of = instruments()
    return ScoringEngine(model, Characters(), BatchLimits(8, 0.0), encoded, scored, of)


def test_a_unit_is_encoded_once_and_the_windows_with_it_are_scored_from_that() -> None:
    model, encoded, scored = FakeModel(), Told[EncodingUnit](), Told[ScoredWindow]()
    made = engine(model, encoded, scored)
    made.start()
    made.encode(unit())
    done = encoded.next()
    windows = [window(done, at_s=-1.0), window(done, at_s=0.0)]
    for each in windows:
        made.score(each)
    answers = scored.many(2)
    made.stop(deadline())
    assert [answer.window for answer in answers] == windows
    assert [answer.scores.entropy for answer in answers if isinstance(answer.scores, Scores)] == [2, 2]
    assert isinstance(text := model.encoders["text"], FakeEncoder)
    assert text.calls == [2]


def test_windows_that_wait_together_are_fused_in_one_call() -> None:
    model, scored = FakeModel(), Told[ScoredWindow]()
    made = engine(model, Told[EncodingUnit](), scored)
    encoded = unit(result=evidence(1.0))
    for at_s in range(3):
        made.score(window(encoded, at_s=at_s))
    made.start()
    scored.many(3)
    made.stop(deadline())
    assert model.batches == [3]


def test_a_window_whose_answer_is_no_number_costs_itself_and_its_neighbours_are_scored() -> None:
    scored = Told[ScoredWindow]()
    made = ScoringEngine(
        FakeModel(poison_rows=2), Characters(), BatchLimits(8, 0.0), Told[EncodingUnit](), scored, instruments()
    )
    for rows in (1, 2, 3):
        made.score(window(unit(result=evidence(*[1.0] * rows))))
    made.start()
    first, poison, last = (answer.scores for answer in scored.many(3))
    made.stop(deadline())
    assert poison == BadRow("not_finite")
    assert isinstance(first, Scores)
    assert isinstance(last, Scores)


def test_a_row_whose_embedding_is_no_number_costs_its_unit_only() -> None:
    answers = encode_units(FakeEncoder(), [[[1.0]], [[1.0], [math.inf]], [[2.0]]])
    assert [isinstance(answer, BadRow) for answer in answers] == [False, True, False]


def test_a_window_that_a_broken_device_cannot_fuse_is_answered_without_scores() -> None:
    of, scored = instruments(), Told[ScoredWindow]()
    made = ScoringEngine(FakeModel(broken=True), Characters(), BatchLimits(8, 0.0), Told[EncodingUnit](), scored, of)
    made.start()
    made.score(window(unit(result=evidence(1.0))))
    assert scored.next().scores is None
    made.stop(deadline())
    assert counted(of, "inference_failures_total", reason="ArithmeticError") > 0


def test_an_ended_session_is_forgotten_by_its_preparers() -> None:
    forgotten = Told[str]()

    class Remembering(Characters):
        def forget(self, session: str) -> None:
            forgotten(session)

    told = (Told[EncodingUnit](), Told[ScoredWindow]())
    made = ScoringEngine(FakeModel(), Remembering(), BatchLimits(8, 0.0), *told, instruments())
    made.start()
    made.forget("room")
    assert forgotten.next() == "room"
    made.stop(deadline())


class Moody(FakeModel):
    """A window is anger where it holds three lines, happiness otherwise; it has no evidence without a line."""

    def fuse(self, windows: Sequence[WindowFeatures]) -> list[Scores]:
        self.batches.append(len(windows))
        return [self._mood(len(features.events["text"].weight) if features.events else 0) for features in windows]

    def _mood(self, lines: int) -> Scores:
        label = "anger" if lines == 3 else "happiness"
        likely = tuple(0.6 if name == label and lines else 0.4 / 6 for name in EMOTIONS)
        return replace(
            scores(float(lines)), emotion=likely, label=label, abstained=None if lines else Abstention.NO_EVIDENCE
        )


def answered(*windows: ClosedWindow, lookback_windows: int, model: FakeModel | None = None) -> list[Scores]:
    """How an engine answers windows that wait together."""
    scored = Told[ScoredWindow]()
    course = Course.of_windows(4, 1, plain_manifest().risk)
    lookback = Lookback(lookback_windows, NS_PER_S, course) if lookback_windows else None
    of, model = instruments(), model or Moody()
    fusion = WindowFusion(model, of.metrics, lookback)
    made = ScoringEngine(model, Characters(), BatchLimits(64, 0.0), Told[EncodingUnit](), scored, of, fusion)
    for each in windows:
        made.score(each)
    made.start()
    answers = [answer.scores for answer in scored.many(len(windows)) if isinstance(answer.scores, Scores)]
    made.stop(deadline())
    return answers


def lines_at(*seconds: float) -> tuple[EncodingUnit, ...]:
    return tuple(unit(at_s=at_s, text=f"at {at_s}", result=evidence(1.0)) for at_s in seconds)


def test_a_window_is_answered_in_the_light_of_those_before_it() -> None:
    contrary = window(*lines_at(4, 5, 6), at_s=4, lookback=lines_at(*range(-4, 4)))
    [alone], [smoothed] = answered(contrary, lookback_windows=0), answered(contrary, lookback_windows=8)
    assert alone
    assert smoothed
    assert (alone.label, smoothed.label) == ("anger", "happiness")
    assert smoothed.modality == alone.modality
    assert sum(smoothed.emotion) == pytest.approx(1)


def test_windows_are_fused_in_one_call_with_those_they_look_back_on() -> None:
    model = Moody()
    first, second = (window(*lines_at(at_s), at_s=at_s, lookback=lines_at(at_s - 1)) for at_s in (4, 8))
    answered(first, second, lookback_windows=2, model=model)
    assert model.batches == [6]


def test_a_window_without_a_past_or_without_evidence_is_answered_as_it_is() -> None:
    first = window(*lines_at(7, 7.3, 7.6), at_s=4)
    silent = window(unit(at_s=4), at_s=4, lookback=lines_at(0, 1, 2, 3))
    assert answered(first, silent, lookback_windows=4) == answered(first, silent, lookback_windows=0)


def fused(fusion: WindowFusion, *windows: ClosedWindow) -> list[Scores]:
    return [answer.session for answer in fusion.fuse(windows) if isinstance(answer, WindowScores)]


def four_windows_back() -> Lookback:
    return Lookback(4, NS_PER_S, Course.of_windows(4, 1, plain_manifest().risk))


def in_turn(*lines: EncodingUnit, memo: dict[Any, Any] | None = None) -> list[ClosedWindow]:
    """The windows of a session one step after another, each with four seconds of lookback."""
    windows = []
    for at_s in range(4, 9):
        units, before = (
            [u for u in lines if from_s * NS_PER_S <= u.start_ns - ns(0) < until_s * NS_PER_S]
            for from_s, until_s in ((at_s, at_s + 4), (at_s - 4, at_s))
        )
        made = window(*units, at_s=at_s, lookback=tuple(before))
        windows.append(made if memo is None else replace(made, memo=memo))
    return windows


def test_a_window_is_fused_once_however_many_look_back_on_it_and_scored_as_if_it_were_the_first() -> None:
    lines = lines_at(0, 1, 3, 4, 5, 6, 8, 9, 11)
    model, of = Moody(), instruments()
    course = four_windows_back()
    kept = [fused(WindowFusion(model, of.metrics, course), each)[0] for each in in_turn(*lines, memo={})]
    assert model.batches == [5, 1, 1, 1, 1]
    together = fused(WindowFusion(model, of.metrics, course), *in_turn(*lines, memo={}))
    assert model.batches[5:] == [9]
    restarted = [fused(WindowFusion(model, of.metrics, course), each)[0] for each in in_turn(*lines)]
    assert kept == together == restarted


def test_a_window_whose_units_have_changed_is_fused_again() -> None:
    model, memo = Moody(), dict[Any, Any]()
    fusion = WindowFusion(model, instruments().metrics, four_windows_back())
    lines = lines_at(4, 5)
    fused(fusion, in_turn(*lines, memo=memo)[0])
    fused(fusion, in_turn(*lines, *lines_at(6), memo=memo)[0])
    assert model.batches == [5, 2]  # the third line lies in the newest window and the one before


def test_an_earlier_window_that_is_no_number_costs_itself_only() -> None:
    class Poisoned(Moody):
        def _mood(self, lines: int) -> Scores:
            answer = super()._mood(lines)
            return replace(answer, emotion=(math.nan,) * len(EMOTIONS)) if lines == 2 else answer

    fusion = WindowFusion(Poisoned(), instruments().metrics, four_windows_back())
    [answer] = fused(fusion, window(*lines_at(8), at_s=8, lookback=lines_at(4, 7.5)))
    assert answer.label == "happiness"
    assert all(map(math.isfinite, answer.emotion))
