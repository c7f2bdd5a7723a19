"""The people of a window: who they are, what is theirs, and that they are scored beside the session."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files

import jsonschema
import pytest

from daemon.scoring.fusing import Lookback, WindowFusion
from daemon.scoring.participants import participants_of, units_of
from daemon.scoring.prediction_builder import build_prediction
from daemon.scoring.results import BadRow, ScoredWindow, WindowScores
from models.fusion.smoothed_scores import Course
from models.model import WindowFeatures
from models.scores import Scores
from streams.alignment.closed_window import ClosedWindow
from streams.clock import NS_PER_S
from streams.events import EncodingUnit
from streams.participants import NamedBy, Participant
from streams.records import Modality
from tests.daemon.making import counted, evidence, instruments, unit, window
from tests.daemon.test_engine import FakeModel, Moody
from tests.daemon.test_prediction_builder import PUBLICATION, SCHEMA
from tests.models.model_folders import plain_manifest

pytestmark = pytest.mark.unit

COURSE = Course.of_windows(4, 1, plain_manifest().risk)
ANN, BEN, EVE = (Participant(name, NamedBy.AUTHOR) for name in ("ann", "ben", "eve"))


def of(
    participant: Participant | None, *at_s: float, rows: int = 1, modality: Modality = Modality.TEXT
) -> list[EncodingUnit]:
    made = [unit(modality, at, text=f"{participant} {at}", result=evidence(*[1.0] * rows)) for at in at_s]
    for each in made:
        each.participant = participant
    return made


def names(found: Sequence[Participant]) -> list[str]:
    return [participant.id for participant in found]


def fused(
    *windows: ClosedWindow, model: FakeModel | None = None, lookback: int = 0, most: int = 8
) -> list[WindowScores]:
    smoothing = Lookback(lookback, NS_PER_S, COURSE) if lookback else None
    answers = WindowFusion(model or FakeModel(), instruments().metrics, smoothing, most).fuse(windows)
    return [answer for answer in answers if not isinstance(answer, BadRow)]


def test_participants_are_told_in_order_of_id_whatever_they_are_named_by() -> None:
    found, more = participants_of(
        window(*of(EVE, 0), *of(ANN, 1), *of(None, 2), *of(BEN, 3, modality=Modality.VIDEO)).units, 8
    )
    assert (names(found), more) == (["ann", "ben", "eve"], 0)


def test_of_too_many_those_who_come_first_are_told() -> None:
    units = window(*of(EVE, 0), *of(BEN, 1), *of(ANN, 1, 2)).units
    assert [names(participants_of(units, most)[0]) for most in (0, 1, 2, 3)] == [
        [],
        ["eve"],
        ["ann", "eve"],
        ["ann", "ben", "eve"],
    ]
    assert participants_of(units, 1)[1] == 2


def test_a_person_who_is_named_in_two_ways_is_one() -> None:
    voice = of(Participant("ann", NamedBy.CHANNEL, "customer"), 0, modality=Modality.AUDIO)
    [ann], _ = participants_of(window(*voice, *of(ANN, 1)).units, 8)
    assert ann == Participant("ann", NamedBy.AUTHOR, "customer")
    theirs = units_of(window(*voice, *of(ANN, 1), *of(BEN, 2)).units, "ann")
    assert {modality: len(units) for modality, units in theirs.items() if units} == {"audio": 1, "text": 1}


def test_each_person_is_scored_from_what_is_theirs_in_one_call_with_all_sessions() -> None:
    model = FakeModel()
    first = window(*of(ANN, 0, 1, 2), *of(BEN, 1.5), *of(None, 3))
    second = window(*of(None, 0, 1))
    one, other = fused(first, second, model=model)
    assert model.batches == [4]
    assert (one.session.entropy, other.session.entropy) == (5, 2)
    assert [(each.participant.id, each.scores.entropy) for each in one.participants] == [("ann", 3), ("ben", 1)]
    assert other.participants == ()


def test_somebody_who_is_alone_has_the_sessions_scores_and_costs_nothing() -> None:
    model = FakeModel()
    [alone] = fused(window(*of(ANN, 0, 1)), model=model)
    assert model.batches == [1]
    assert [each.scores for each in alone.participants] == [alone.session]


def test_each_person_is_smoothed_by_their_own_past() -> None:
    """The session says three lines a second, ben one: he is happy throughout, though it was anger before."""
    past = [*of(ANN, *(at + part for at in range(-4, 4) for part in (0.0, 0.4))), *of(BEN, *range(-4, 4))]
    contrary = window(*of(ANN, 4, 5, 6), *of(BEN, 7), at_s=4, lookback=tuple(past))
    [plain], [smoothed] = fused(contrary, model=Moody()), fused(contrary, model=Moody(), lookback=8)
    alone = window(*of(ANN, 4, 5, 6), at_s=4, lookback=tuple(each for each in past if each.participant == ANN))
    [by_herself] = fused(alone, model=Moody(), lookback=8)
    ann, ben = (each.scores for each in smoothed.participants)
    assert plain.participants[0].scores.label == "anger"
    assert ann.emotion == pytest.approx(by_herself.session.emotion)
    assert ben.label == "happiness"


def test_rows_of_a_window_are_counted_with_those_of_its_people() -> None:
    model, smoothing = Moody(), Lookback(3, NS_PER_S, COURSE)
    fusion = WindowFusion(model, instruments().metrics, smoothing, 2)
    crowd = window(*of(ANN, 0), *of(BEN, 1), *of(EVE, 2), at_s=0, lookback=tuple(of(None, -1)))
    assert fusion.rows(crowd) == 3
    fusion.fuse([crowd])
    assert model.batches == [3 * 4]


def test_more_people_than_are_told_are_counted_and_stay_in_the_sessions_row() -> None:
    on = instruments()
    [answer] = WindowFusion(FakeModel(), on.metrics, None, 1).fuse([window(*of(ANN, 0), *of(BEN, 1), *of(EVE, 2))])
    assert isinstance(answer, WindowScores)
    assert (answer.session.entropy, [each.participant.id for each in answer.participants]) == (3, ["ann"])
    assert counted(on, "participants_untold_total", reason="too_many") == 2


def test_a_person_whose_scores_are_no_number_costs_nobody_else() -> None:
    on = instruments()
    fusion = WindowFusion(FakeModel(poison_rows=2), on.metrics)
    [answer] = fusion.fuse([window(*of(ANN, 0, 1), *of(BEN, 1))])
    assert isinstance(answer, WindowScores)
    assert not math.isnan(answer.session.emotion[0])
    assert [each.participant.id for each in answer.participants] == ["ben"]
    assert counted(on, "participants_untold_total", reason="not_finite") == 1


class Spoken(FakeModel):
    """Says which modalities are there."""

    def fuse(self, windows: Sequence[WindowFeatures]) -> list[Scores]:
        return [self._of(features) for features in windows]

    def _of(self, features: WindowFeatures) -> Scores:
        answer = self._answer(1)
        return replace(
            answer,
            modality={name: replace(each, present=name in features.events) for name, each in answer.modality.items()},
        )


def test_a_prediction_tells_of_each_person_what_is_theirs_and_is_of_the_schema() -> None:
    voice = of(Participant("ben", NamedBy.CHANNEL, "agent"), 0, 1, modality=Modality.AUDIO)
    for each in voice:
        each.end_ns += NS_PER_S
    both = window(*of(ANN, 1.0), *of(None, 2.0), *voice)
    [answer] = fused(both, model=Spoken())
    scored = ScoredWindow(both, answer.session, 0.0, 0.0, answer.participants)
    published = json.loads(build_prediction(scored, answer.session, PUBLICATION, 0.0).json_line())
    jsonschema.Draft202012Validator(SCHEMA).validate(published)
    ann, ben = published["participants"]
    assert [(each["id"], each["role"], each["named_by"]) for each in (ann, ben)] == [
        ("ann", None, "author"),
        ("ben", "agent", "channel"),
    ]
    assert {name: each["events"] for name, each in ann["modalities"].items()} == {"video": 0, "audio": 0, "text": 1}
    assert ben["modalities"]["audio"]["present"]
    assert ben["modalities"]["audio"]["quality"]["received"] == pytest.approx(0.5)
    assert not ben["modalities"]["text"]["present"]
    assert published["modalities"]["text"]["events"] == 2


def test_where_nobody_is_told_apart_a_prediction_says_nothing_of_participants() -> None:
    alone = window(*of(None, 0))
    [answer] = fused(alone)
    published = build_prediction(ScoredWindow(alone, answer.session, 0.0, 0.0), answer.session, PUBLICATION, 0.0)
    assert "participants" not in json.loads(published.json_line())
    assert (
        "participants" not in json.loads(files("streams").joinpath("schemas/prediction-1.json").read_text())["required"]
    )
