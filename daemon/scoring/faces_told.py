"""Tells apart faces that nobody names, and whose voice it is.

Pictures of the window and of its lookback say which faces are of one person (`models.face.tracks`), and those with the
sound that nobody names, whose mouth moves with it (`models.face.voice_match`). The names, face-1, face-2, are theirs
from left to right, but for those that somebody has who is named otherwise.

All of it follows from the units of the window and of its lookback, so that whoever scores the window finds the same. A
name holds for them: in another window, whose lookback is another, somebody else may be the first from the left. What is
found of a second's pictures, and what is told of a unit, is kept with the session, beside the units, and found again
where they are others. So what is kept changes no answer.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, count, groupby, islice

import numpy as np

from daemon.scoring.results import FaceFeatures, UnitFeatures
from models.face.sight import LOOK_PX
from models.face.tracks import CELL_NS, Piece, face_tracks, pieces
from models.face.voice_match import VOICED_HZ, HeardVoice, SeenFace, face_of_voice
from streams.alignment.closed_window import ClosedWindow
from streams.alignment.ordered_units import UnitsByModality
from streams.clock import NS_PER_S
from streams.events import EncodingUnit, Line
from streams.participants import NamedBy, Participant
from streams.records import Modality

_TENTH_NS = NS_PER_S // VOICED_HZ


def faces_told(window: ClosedWindow, most: int) -> ClosedWindow:
    """The window with its faces told apart, `most` people at most.

    Units of pictures have the rows of all these faces, and `UnitFeatures.participants`; where a voice is one's, so are
    the units of sound and the spoken words that nobody names. The same window where no picture shows two people.
    """
    pictures = [unit for unit in _units(window, Modality.VIDEO) if _faces(unit) is not None]
    if not most or not pictures:
        return window
    tracks = face_tracks(_cells(window, pictures), most)
    if not tracks:
        return window
    people = _names(window, len(tracks))
    whose = {
        unit: tuple(
            next((person for person, track in zip(people, tracks, strict=True) if track.get(unit.start_ns) == at), None)
            for at in range(len(_sights(unit)))
        )
        for unit in pictures
    }
    speaker = _speaker(window, pictures, tracks)
    voice = None if speaker is None else people[speaker]
    return replace(
        window, units=_told(window, window.units, whose, voice), lookback=_told(window, window.lookback, whose, voice)
    )


def most_faces(units: UnitsByModality) -> int:
    """How many people faces may make of a window, at most."""
    seen = max((len(_sights(unit)) for unit in units.get(Modality.VIDEO, ())), default=0)
    return seen if seen > 1 else 0


def _units(window: ClosedWindow, modality: Modality) -> Iterator[EncodingUnit]:
    """Units of the lookback and of the window that nobody names."""
    both = chain(window.lookback.get(modality, ()), window.units.get(modality, ()))
    return (unit for unit in both if unit.participant is None)


def _faces(unit: EncodingUnit) -> FaceFeatures | None:
    return unit.result.faces if isinstance(unit.result, UnitFeatures) else None


def _sights(unit: EncodingUnit) -> Sequence[object]:
    faces = _faces(unit)
    return () if faces is None else faces.sights


def _cells(window: ClosedWindow, pictures: Sequence[EncodingUnit]) -> list[list[Piece]]:
    """The pieces of each second with faces."""
    cells = []
    for start_ns, units in groupby(pictures, lambda unit: unit.start_ns // CELL_NS * CELL_NS):
        of_cell, key = tuple(units), ("faces", start_ns)
        known = window.memo.get(key)
        if known is None or known[0] != of_cell:
            sights = [(unit.start_ns, faces.sights) for unit in of_cell if (faces := _faces(unit)) is not None]
            known = window.memo[key] = of_cell, pieces(sights)
        cells.append(known[1])
    return cells


def _names(window: ClosedWindow, people: int) -> list[Participant]:
    both = chain(window.lookback.values(), window.units.values())
    taken = {unit.participant.id for unit in chain.from_iterable(both) if unit.participant is not None}
    free = (name for number in count(1) if (name := f"face-{number}") not in taken)
    return [Participant(name, NamedBy.TRACK) for name in islice(free, people)]


def _told(
    window: ClosedWindow,
    units: UnitsByModality,
    whose: Mapping[EncodingUnit, tuple[Participant | None, ...]],
    voice: Participant | None,
) -> UnitsByModality:
    def told(unit: EncodingUnit) -> EncodingUnit:
        if unit in whose:
            return _kept(window, unit, whose[unit])
        is_voice = unit.modality is Modality.AUDIO or (isinstance(unit.payload, Line) and unit.payload.spoken)
        return _kept(window, unit, (voice,)) if voice is not None and is_voice and unit.participant is None else unit

    return {modality: tuple(map(told, placed)) for modality, placed in units.items()}


def _kept(window: ClosedWindow, unit: EncodingUnit, people: tuple[Participant | None, ...]) -> EncodingUnit:
    """The unit with its people, kept while they are the same."""
    key = (unit, unit.start_ns)
    known = window.memo.get(key)
    if known is None or known[0] != people:
        known = window.memo[key] = people, _with_people(unit, people)
    told: EncodingUnit = known[1]
    return told


def _with_people(unit: EncodingUnit, people: tuple[Participant | None, ...]) -> EncodingUnit:
    faces = _faces(unit)
    if faces is None or not isinstance(unit.result, UnitFeatures):
        return replace(unit, participant=people[0])
    told = replace(unit.result, embedding=faces.embedding, weight=faces.weight, participants=people)
    return replace(unit, result=told)


def _speaker(window: ClosedWindow, pictures: Sequence[EncodingUnit], tracks: Sequence[Mapping[int, int]]) -> int | None:
    """Whose mouth moves with the sound that nobody names."""
    voice = _heard(list(_units(window, Modality.AUDIO)))
    if voice is None:
        return None
    sights = {unit.start_ns: faces.sights for unit in pictures if (faces := _faces(unit)) is not None}
    seen = []
    for track in tracks:
        looks = [sights[time_ns][at].look for time_ns, at in track.items()]
        seen.append(SeenFace(np.array([*track], np.int64), np.stack(looks).reshape(-1, LOOK_PX, LOOK_PX)))
    return face_of_voice(seen, voice)


def _heard(sounds: Sequence[EncodingUnit]) -> HeardVoice | None:
    """The voice in the sound; None where none was listened to.

    Of a tenth in several segments, the mean.
    """
    told = [
        (unit.start_ns, unit.result.voiced)
        for unit in sounds
        if isinstance(unit.result, UnitFeatures) and unit.result.voiced
    ]
    if not told:
        return None
    first_ns = min(start_ns for start_ns, _ in told)
    last_ns = max(start_ns + len(voiced) * _TENTH_NS for start_ns, voiced in told)
    total, listened = np.zeros((2, (last_ns - first_ns) // _TENTH_NS))
    for start_ns, voiced in told:
        at = (start_ns - first_ns) // _TENTH_NS
        total[at : at + len(voiced)] += voiced
        listened[at : at + len(voiced)] += 1
    return HeardVoice(first_ns, np.where(listened > 0, total / np.maximum(listened, 1), np.nan))
