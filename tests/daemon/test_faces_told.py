"""Faces that nobody names: told apart in a window, from its units and lookback alone, and never beyond."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from daemon.scoring.faces_told import faces_told, most_faces
from daemon.scoring.fusing import Lookback, WindowFusion
from daemon.scoring.participants import participants_of, units_of
from daemon.scoring.prediction_builder import build_prediction
from daemon.scoring.results import BadRow, FaceFeatures, ScoredWindow, UnitFeatures, WindowScores
from models.face.sight import LOOK_PX, FaceSight
from models.fusion.smoothed_scores import Course
from models.labels import EMOTIONS
from models.model import WindowFeatures
from models.scores import Abstention, Scores
from streams.alignment.closed_window import ClosedWindow
from streams.clock import NS_PER_S
from streams.events import EncodingUnit, Line
from streams.participants import NamedBy, Participant
from streams.records import Modality
from tests.daemon.making import counted, evidence, instruments, unit, window
from tests.daemon.test_engine import FakeModel, scores
from tests.daemon.test_prediction_builder import PUBLICATION
from tests.models.model_folders import plain_manifest
from tests.models.test_voice_match import face as moving_face
from tests.models.test_voice_match import speech

pytestmark = pytest.mark.unit

LOOKS = tuple(np.random.default_rng(1).integers(0, 255, (3, LOOK_PX, LOOK_PX)).astype(np.uint8))
LEFT, RIGHT = (0, 0.2), (1, 0.7)
COURSE = Course.of_windows(4, 1, plain_manifest().risk)
Shown = tuple[int, float]
"""Who, which is their row's embedding too, and where from left to right."""


class Faces(FakeModel):
    """The mood of a window follows from all of its rows."""

    def fuse(self, windows: Sequence[WindowFeatures]) -> list[Scores]:
        self.batches.append(len(windows))
        return [self._mood(features) for features in windows]

    def _mood(self, features: WindowFeatures) -> Scores:
        rows = [float(row) for each in features.events.values() for row in each.embedding[:, 0]]
        share = 0.5 + 0.4 * sum(rows) / max(1, 2 * len(rows))
        likely = (share, *[(1 - share) / 6] * 6)
        abstained = None if rows else Abstention.NO_EVIDENCE
        return replace(scores(float(len(rows))), emotion=likely, label=EMOTIONS[0], abstained=abstained)


def picture(at_s: float, *faces: Shown, looks: Sequence[NDArray[np.uint8]] = LOOKS) -> EncodingUnit:
    """A picture of faces; the first one is the largest, and the session's."""
    rows = torch.tensor([[float(who)] * 2 for who, _ in faces]).reshape(-1, 2)
    weight = torch.ones(len(faces))
    sights = tuple(FaceSight((x, 0.4), 0.1, looks[who]) for who, x in faces)
    seen = FaceFeatures(rows, weight, sights, tuple({"size_px": 100.0 + who} for who, _ in faces))
    result = UnitFeatures(rows[:1], weight[:1], {"size_px": 100.0}, 0.0, faces=seen if faces else None)
    return unit(Modality.VIDEO, at_s, result=result)


def filmed(first_s: float, last_s: float, *faces: Shown) -> list[EncodingUnit]:
    return [picture(at / 5, *faces) for at in range(round(first_s * 5), round(last_s * 5))]


def closed(units: Iterable[EncodingUnit], at_s: float = 0.0, back_s: float = 50.0) -> ClosedWindow:
    """The window of 4 s at `at_s`, with what it looks back on."""
    ordered = sorted(units, key=lambda each: each.order)
    plain = window(at_s=at_s)
    of_window = [each for each in ordered if plain.start_ns <= each.start_ns < plain.end_ns]
    before = [each for each in ordered if plain.start_ns - back_s * NS_PER_S <= each.start_ns < plain.start_ns]
    return window(*of_window, at_s=at_s, lookback=tuple(before))


def told(of: ClosedWindow, most: int = 8) -> dict[str, list[float]]:
    """Whose rows each person has in the window."""
    view = faces_told(of, most)
    people, _ = participants_of(view.units, most)
    return {
        person.id: [row for each in units_of(view.units, person.id)[Modality.VIDEO] for row in rows_of(each)]
        for person in people
    }


def rows_of(picture: EncodingUnit) -> list[float]:
    assert isinstance(picture.result, UnitFeatures)
    rows: list[float] = picture.result.embedding[:, 0].tolist()
    return rows


def test_two_faces_of_a_picture_are_two_people_each_with_rows_of_their_own() -> None:
    assert told(closed(filmed(0, 4, RIGHT, LEFT))) == {"face-1": [0.0] * 20, "face-2": [1.0] * 20}


def test_a_face_alone_is_the_sessions_and_nobody_is_told() -> None:
    alone = closed(filmed(0, 4, LEFT))
    assert faces_told(alone, 8) is alone
    assert most_faces(alone.units) == 0


def test_who_was_seen_with_another_in_the_lookback_keeps_the_name_while_alone() -> None:
    seen = [*filmed(0, 4, LEFT, RIGHT), *filmed(4, 30, RIGHT)]
    assert told(closed(seen, 20)) == {"face-2": [1.0] * 20}
    assert told(closed(seen, 20, back_s=10)) == {}


def test_the_sessions_own_row_is_what_it_is_without_names() -> None:
    several, single = closed(filmed(0, 4, RIGHT, LEFT)), closed(filmed(0, 4, RIGHT))
    fusion = WindowFusion(Faces(), instruments().metrics)
    with_names, alone = fusion.fuse([several, single])
    assert isinstance(with_names, WindowScores)
    assert isinstance(alone, WindowScores)
    assert with_names.session == alone.session
    assert len({each.scores.emotion for each in with_names.participants}) == 2
    assert [each.participant for each in with_names.participants] == [
        Participant("face-1", NamedBy.TRACK),
        Participant("face-2", NamedBy.TRACK),
    ]
    assert alone.participants == ()


def test_everybody_is_fused_in_one_call_and_counted_in_the_rows() -> None:
    model, crowd = Faces(), closed(filmed(0, 4, RIGHT, LEFT))
    fusion = WindowFusion(model, instruments().metrics)
    assert fusion.rows(crowd) == 3
    fusion.fuse([crowd])
    assert model.batches == [3]


def scored(of: ClosedWindow, fusion: WindowFusion) -> WindowScores:
    [answer] = fusion.fuse([of])
    assert not isinstance(answer, BadRow)
    return answer


@pytest.mark.parametrize("order", ["forward", "backward", "shuffled"])
def test_a_window_scored_again_from_its_units_and_lookback_alone_is_the_same(order: str) -> None:
    """Somebody comes, two change places, one leaves: windows scored one after the other are as each by itself."""
    seen = [
        *filmed(0, 6, LEFT),
        *filmed(6, 12, LEFT, RIGHT),
        *(picture(12 + at / 5, (0, 0.2 + 0.02 * at), (1, 0.7 - 0.02 * at)) for at in range(25)),
        *filmed(17, 24, (1, 0.2), (0, 0.7), (2, 0.9)),
        *filmed(24, 30, (0, 0.7)),
    ]
    fusion = WindowFusion(Faces(), instruments().metrics, Lookback(10, NS_PER_S, COURSE))
    memo: dict[object, object] = {}
    starts = list(range(26))
    if order == "backward":
        starts.reverse()
    elif order == "shuffled":
        np.random.default_rng(1).shuffle(starts)
    people = set()
    for at_s in starts:
        of = closed(seen, at_s, back_s=10)
        kept = replace(of, memo=memo)
        undisturbed, again = scored(kept, fusion), scored(of, fusion)
        assert [each[:2] for each in undisturbed.participants] == [each[:2] for each in again.participants], at_s
        assert undisturbed.session == again.session
        people |= {each.participant.id for each in again.participants}
    assert people == {"face-1", "face-2", "face-3"}


def test_what_is_kept_is_found_again_where_a_late_picture_came() -> None:
    seen, memo = filmed(0, 4, LEFT, RIGHT), dict[object, object]()
    assert told(replace(closed(seen[:-1]), memo=memo)) == {"face-1": [0.0] * 19, "face-2": [1.0] * 19}
    assert told(replace(closed(seen), memo=memo)) == {"face-1": [0.0] * 20, "face-2": [1.0] * 20}


def test_a_name_that_somebody_has_is_given_to_no_face() -> None:
    line = unit(Modality.TEXT, 1.0, result=evidence(1.0))
    line.participant = Participant("face-1", NamedBy.AUTHOR)
    view = faces_told(closed([line, *filmed(0, 4, LEFT, RIGHT)]), 8)
    people, _ = participants_of(view.units, 8)
    assert [(each.id, each.named_by) for each in people] == [
        ("face-1", NamedBy.AUTHOR),
        ("face-2", NamedBy.TRACK),
        ("face-3", NamedBy.TRACK),
    ]


def test_people_who_are_named_come_before_faces_where_there_are_too_many() -> None:
    line = unit(Modality.TEXT, 3.0, result=evidence(1.0))
    line.participant = Participant("zoe", NamedBy.AUTHOR)
    on = instruments()
    answer = scored(closed([line, *filmed(0, 4, LEFT, RIGHT)]), WindowFusion(Faces(), on.metrics, None, 2))
    assert [each.participant.id for each in answer.participants] == ["face-1", "zoe"]
    assert counted(on, "participants_untold_total", reason="too_many") == 1


def test_faces_before_somebodys_camera_are_theirs() -> None:
    pictures = filmed(0, 4, LEFT)
    for each in pictures:
        each.participant = Participant("ann", NamedBy.CONFIG)
        assert isinstance(each.result, UnitFeatures)
        each.result = replace(each.result, faces=None)
    of = closed(pictures)
    assert faces_told(of, 8) is of


def test_a_prediction_tells_of_a_face_what_is_its_own() -> None:
    of = closed([*filmed(0, 2, RIGHT, LEFT), *filmed(2, 4, RIGHT)])
    answer = scored(of, WindowFusion(Faces(), instruments().metrics))
    published = build_prediction(
        ScoredWindow(of, answer.session, 0.0, 0.0, answer.participants), answer.session, PUBLICATION, 0.0
    )
    assert published.participants is not None
    left, right = published.participants
    assert (left.id, left.named_by, left.modalities.video.events) == ("face-1", "track", 10)
    assert left.modalities.video.quality["size_px"] == 100
    assert right.modalities.video.quality["size_px"] == 101
    assert right.modalities.video.events == 20
    assert published.modalities.video.quality["size_px"] == 100


def talking(seed: int, speakers: tuple[bool, bool]) -> list[EncodingUnit]:
    """Fifty seconds of two faces and a voice, with words: whose mouths move with it."""
    voice = speech(seed)
    left, right = (moving_face(voice if speaks else voice * 0, 7 + at) for at, speaks in enumerate(speakers))
    made = [
        picture(at / 5, LEFT, RIGHT, looks=(a, np.ascontiguousarray(b[:, ::-1])))
        for at, (a, b) in enumerate(zip(left.looks, right.looks, strict=True))
    ]
    for second in range(49):
        result = replace(evidence(1.0), voiced=tuple(voice[second * 10 : second * 10 + 20].tolist()))
        made.append(unit(Modality.AUDIO, second, 2, text=str(second), result=result))
    word = unit(Modality.TEXT, 47.0, 0.5, result=evidence(1.0))
    word.payload = Line("hello", spoken=True)
    return [*made, word, unit(Modality.TEXT, 47.2, text="written", result=evidence(1.0))]


def events(of: ClosedWindow) -> dict[str, tuple[int, int, int]]:
    """Pictures, segments of sound and lines of each person."""
    view = faces_told(of, 8)
    theirs = {each.id: units_of(view.units, each.id) for each in participants_of(view.units, 8)[0]}
    return {
        name: (len(units[Modality.VIDEO]), len(units[Modality.AUDIO]), len(units[Modality.TEXT]))
        for name, units in theirs.items()
    }


@pytest.mark.parametrize(("speakers", "voices"), [((True, False), (3, 0)), ((False, True), (0, 3))])
def test_a_voice_and_its_words_are_theirs_whose_mouth_moves_with_it(
    speakers: tuple[bool, bool], voices: tuple[int, int]
) -> None:
    of = closed(talking(1, speakers), 46)
    assert events(of) == {
        name: (20, voice, int(voice > 0)) for name, voice in zip(("face-1", "face-2"), voices, strict=True)
    }


@pytest.mark.parametrize("speakers", [(False, False), (True, True)])
def test_a_voice_that_is_surely_nobodys_stays_the_sessions(speakers: tuple[bool, bool]) -> None:
    assert events(closed(talking(1, speakers), 46)) == {"face-1": (20, 0, 0), "face-2": (20, 0, 0)}


def test_the_sound_of_a_channel_is_not_given_to_a_face() -> None:
    seen = talking(1, (True, False))
    for each in seen:
        if each.modality is Modality.AUDIO:
            each.participant = Participant("agent", NamedBy.CHANNEL)
    assert events(closed(seen, 46))["face-1"] == (20, 0, 0)
