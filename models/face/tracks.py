"""Tracks of faces over many pictures: which sights are of one person.

```text
  pictures   | . . . . . | . . . . . |           | . . . . . |     cells of a second
  pieces     |  a-----   |   b------ |           |   c-----  |     within a cell
  tracks        a------------b- - - - - - - - - - - - -c           over cells and absences
```

Rule. The faces of pictures, and then the pieces of cells, are taken in order of time. Tracks and what may continue them
are paired greedily, the cheapest pair first, by the distance from where the track should be (at constant velocity for
up to a second, in sizes of the face) and by the likeness of the looks (normalised correlation). A track that was seen
within a second goes on near by; one that was away for longer only with a face that looks like it, the more so the
farther off. What continues none begins a track. So absences are bridged within the pictures that are given, and two who
cross are told apart by where they were heading and by their looks.

People are told apart only where several are seen: a track counts from three sights on, and only if some picture shows
two of them. Tracks are in order from left to right, by their median place.

A pure function of the pictures: nothing is kept, so any instance finds the same tracks. Pieces are by themselves, so
that those of a cell need be found once only. Left out: identity. Somebody who comes back looking otherwise is another
track, and a double who takes the place is not.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from models.face.sight import LOOK_PX, FaceSight

CELL_NS = 1_000_000_000

_NEAR_S = 1.0  # a track away for longer is known again by its look
_NEAR_SIZES, _NEAR_LIKENESS = 1.0, 0.3
# Of pairs of faces of FER+ valid, 1 in 10 is more alike than 0.4, 1 in 100 than 0.6; of pairs of pictures of the sample
# session, with its changes of light and pose, 97 in 100 are more alike than 0.4.
_AGAIN_LIKENESS, _LIKENESS_PER_SIZE, _FAR_SIZES = 0.4, 0.1, 3.0
_MOST_GROWTH = 1.8  # of the size, between two sights
_AWAY_COST = 0.1  # a second, so that of two tracks the one seen last goes on
_NEW_SHARE = 0.2  # of what continues a track in its look
_LEAST_SIGHTS = 3
_NS_PER_S = 1_000_000_000

FloatArray = NDArray[np.float32]
Picture = tuple[int, Sequence[FaceSight]]
"""Time in ns, and the faces."""


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Sights of one person, in one cell or over several.

    sights: which face of a picture, by the picture's time. places: (x, y) of each. velocity: at the end, a second.
    look: (144,) of length 1.
    """

    sights: dict[int, int]
    places: tuple[tuple[float, float], ...]
    first_ns: int
    last_ns: int
    velocity: tuple[float, float]
    size: float
    look: FloatArray


def pieces(pictures: Sequence[Picture]) -> list[Piece]:
    """The pieces of one cell, whose pictures are in order of time."""
    found: list[Piece] = []
    for (time_ns, faces), looks in zip(pictures, _looks(pictures), strict=True):
        single = [
            Piece({time_ns: at}, (face.centre,), time_ns, time_ns, (0.0, 0.0), face.size, looks[at])
            for at, face in enumerate(faces)
        ]
        found = _continued(found, single)
    return found


def face_tracks(cells: Sequence[Sequence[Piece]], most: int) -> list[dict[int, int]]:
    """The sights of each person, from left to right: see `Piece.sights`.

    cells: in order of time. most: how many people, those who are seen most. None where no picture shows two.
    """
    tracks: list[Piece] = []
    for cell in cells:
        tracks = _continued(tracks, cell)
    lasting = [track for track in tracks if len(track.sights) >= _LEAST_SIGHTS]
    ranked = sorted(lasting, key=lambda track: (-len(track.sights), _place(track)))[:most]
    seen = [time_ns for track in ranked for time_ns in track.sights]
    if len(seen) == len(set(seen)):
        return []
    return [track.sights for track in sorted(ranked, key=_place)]


def _continued(tracks: Sequence[Piece], new: Sequence[Piece]) -> list[Piece]:
    """The tracks, continued by what comes next, and those that it begins."""
    pairs = sorted(
        (cost, old, at)
        for old, track in enumerate(tracks)
        for at, piece in enumerate(new)
        if (cost := _cost(track, piece)) is not None
    )
    joined, taken = dict[int, int](), set[int]()
    for _, old, at in pairs:
        if old not in joined and at not in taken:
            joined[old] = at
            taken.add(at)
    going_on = [
        _joined(track, new[joined[old]]) if old in joined else track
        for old, track in enumerate(tracks)
        if old in joined or not _is_noise(track, new)
    ]
    return [*going_on, *(piece for at, piece in enumerate(new) if at not in taken)]


def _is_noise(track: Piece, new: Sequence[Piece]) -> bool:
    """Whether a track of few sights was left for long: it ends."""
    return bool(new) and len(track.sights) < _LEAST_SIGHTS and _away_s(track, new[0]) > _NEAR_S


def _away_s(track: Piece, piece: Piece) -> float:
    return (piece.first_ns - track.last_ns) / _NS_PER_S


def _cost(track: Piece, piece: Piece) -> float | None:
    """How ill a piece continues a track; None if it cannot."""
    away_s = _away_s(track, piece)
    if away_s <= 0 or not 1 / _MOST_GROWTH <= piece.size / track.size <= _MOST_GROWTH:
        return None
    ahead_s = min(away_s, _NEAR_S)
    (x, y), (new_x, new_y), (right, down) = track.places[-1], piece.places[0], track.velocity
    sizes = math.hypot(x + ahead_s * right - new_x, y + ahead_s * down - new_y) / max(piece.size, track.size)
    near = away_s <= _NEAR_S
    if near and sizes > _NEAR_SIZES:
        return None
    likeness = float(track.look @ piece.look)
    least = _NEAR_LIKENESS if near else _AGAIN_LIKENESS + _LIKENESS_PER_SIZE * min(sizes, _FAR_SIZES)
    return None if likeness < least else sizes + 1 - likeness + _AWAY_COST * away_s


def _joined(track: Piece, piece: Piece) -> Piece:
    away_s, velocity = _away_s(track, piece), piece.velocity
    if len(piece.sights) == 1 and away_s <= _NEAR_S:
        (x, y), (new_x, new_y), (right, down) = track.places[-1], piece.places[0], track.velocity
        velocity = (right + (new_x - x) / away_s) / 2, (down + (new_y - y) / away_s) / 2
    look = (1 - _NEW_SHARE) * track.look + _NEW_SHARE * piece.look
    return Piece(
        track.sights | piece.sights,
        track.places + piece.places,
        track.first_ns,
        piece.last_ns,
        velocity,
        piece.size,
        np.asarray(look / max(math.sqrt(float(look @ look)), 1e-9), np.float32),
    )


def _looks(pictures: Sequence[Picture]) -> list[FloatArray]:
    """The looks of each picture's faces, of length 1: (faces, 144)."""
    counts = [len(faces) for _, faces in pictures]
    looks = [face.look for _, faces in pictures for face in faces]
    if not looks:
        return [np.zeros((0, 0), np.float32)] * len(pictures)
    whole = np.stack(looks).astype(np.float32).reshape(-1, LOOK_PX // 2, 2, LOOK_PX // 2, 2)
    half = whole.mean(axis=(2, 4)).reshape(len(looks), -1)
    half -= half.mean(axis=1, keepdims=True)
    half /= np.maximum(np.linalg.norm(half, axis=1, keepdims=True), 1e-3)
    return np.split(half, np.cumsum(counts)[:-1])


def _place(track: Piece) -> tuple[float, float, int]:
    """Median place from the left, then from the top, then time."""
    return median(x for x, _ in track.places), median(y for _, y in track.places), track.first_ns
