"""Faces over many pictures: who is who, over absences and crossings, from left to right."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import pytest

from models.face.sight import LOOK_PX, FaceSight
from models.face.tracks import CELL_NS, Picture, face_tracks, pieces

pytestmark = pytest.mark.unit

_HZ = 5
_SIZE = 0.1
_LOOKS = np.random.default_rng(1).integers(0, 255, (4, LOOK_PX, LOOK_PX)).astype(np.uint8)
ANN, BEN, EVE = range(3)
Shown = tuple[int, float]
"""Who, and where from left to right."""


def sight(who: int, x: float, at: int = 0, size: float = _SIZE) -> FaceSight:
    noise = np.random.default_rng([who, at]).normal(0, 25, (LOOK_PX, LOOK_PX))
    return FaceSight((x, 0.4), size, np.clip(_LOOKS[who] + noise, 0, 255).astype(np.uint8))


def filmed(pictures: Sequence[Sequence[Shown]]) -> list[Picture]:
    return [(at * 1_000_000_000 // _HZ, [sight(who, x, at) for who, x in shown]) for at, shown in enumerate(pictures)]


def told(pictures: Sequence[Sequence[Shown]], most: int = 8) -> list[list[int]]:
    """Whose the sights of each track are."""
    whole = filmed(pictures)
    cells = [pieces(list(cell)) for _, cell in groupby(whole, lambda picture: picture[0] // CELL_NS)]
    shown = {time_ns: [who for who, _ in pictures[at]] for at, (time_ns, _) in enumerate(whole)}
    return [[shown[time_ns][face] for time_ns, face in track.items()] for track in face_tracks(cells, most)]


def test_two_faces_are_two_tracks_from_left_to_right_whatever_order_they_are_found_in() -> None:
    still = [[(ANN, 0.7), (BEN, 0.2)] if at % 2 else [(BEN, 0.2), (ANN, 0.7)] for at in range(20)]
    assert told(still) == [[BEN] * 20, [ANN] * 20]


def test_a_face_alone_is_told_from_nobody() -> None:
    assert told([[(ANN, 0.5)]] * 20) == []


def test_two_who_are_never_seen_together_are_not_told_apart() -> None:
    assert told([[(ANN, 0.3)]] * 10 + [[(BEN, 0.7)]] * 10) == []


@pytest.mark.parametrize("away_s", [0.4, 1, 5, 40])
def test_who_is_away_for_a_while_is_the_same_afterwards(away_s: float) -> None:
    both, alone = [(ANN, 0.3), (BEN, 0.7)], [(ANN, 0.3)]
    away = round(away_s * _HZ)
    assert told([both] * 10 + [alone] * away + [both] * 10) == [[ANN] * (20 + away), [BEN] * 20]


def test_who_comes_back_elsewhere_is_known_by_the_look() -> None:
    before, away, after = [[(ANN, 0.3), (BEN, 0.7)]], [[(ANN, 0.3)]], [[(ANN, 0.3), (BEN, 0.5)]]
    assert told(before * 10 + away * 15 + after * 10) == [[ANN] * 35, [BEN] * 20]


def test_who_takes_the_place_of_another_is_another() -> None:
    before, away, after = [[(ANN, 0.3), (BEN, 0.7)]], [[(ANN, 0.3)]], [[(ANN, 0.3), (EVE, 0.7)]]
    assert sorted(told(before * 10 + away * 15 + after * 10)) == [[ANN] * 35, [BEN] * 10, [EVE] * 10]


def test_two_who_cross_stay_themselves() -> None:
    walk = [[(ANN, 0.2 + 0.02 * at), (BEN, 0.8 - 0.02 * at)] for at in range(31)]
    assert sorted(told(walk)) == [[ANN] * 31, [BEN] * 31]


def test_who_is_hidden_while_another_passes_is_the_same_afterwards() -> None:
    walk = [[(ANN, 0.2 + 0.02 * at), *([(BEN, 0.5)] if abs(0.2 + 0.02 * at - 0.5) > _SIZE else [])] for at in range(31)]
    ann, ben = sorted(told(walk))
    assert set(ann) == {ANN}
    assert set(ben) == {BEN}


def test_a_face_that_is_hardly_seen_is_nobody() -> None:
    flicker = [[(ANN, 0.3), (BEN, 0.7)] if at in (5, 6) else [(ANN, 0.3)] for at in range(20)]
    assert told(flicker) == []
    assert told(flicker + [[(ANN, 0.3), (EVE, 0.5)]] * 5) == [[ANN] * 25, [EVE] * 5]


def test_of_too_many_those_who_are_seen_most_are_told() -> None:
    crowd = [[(ANN, 0.2), (BEN, 0.4), *([(EVE, 0.6)] if at < 15 else [])] for at in range(20)]
    assert told(crowd, most=2) == [[ANN] * 20, [BEN] * 20]
    assert told(crowd, most=1) == []
    assert len(told(crowd, most=3)) == 3


def test_a_face_that_grows_at_once_is_another() -> None:
    whole = filmed([[(ANN, 0.3), (BEN, 0.7)]] * 10)
    near = [(2_000_000_000 + time_ns, [sight(ANN, 0.3), sight(BEN, 0.7, size=3 * _SIZE)]) for time_ns, _ in whole]
    cells = [pieces(list(cell)) for _, cell in groupby([*whole, *near], lambda picture: picture[0] // CELL_NS)]
    assert sorted(len(track) for track in face_tracks(cells, 8)) == [10, 10, 20]


def test_pictures_without_faces_tell_nobody() -> None:
    assert told([[]] * 10) == []
    assert face_tracks([], 8) == []
