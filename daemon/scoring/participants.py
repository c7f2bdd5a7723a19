"""Tells the participants of a window apart, and takes what is theirs.

It follows from the units of the window alone, so that whoever scores it finds the same people.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

from daemon.scoring.results import UnitFeatures
from streams.alignment.ordered_units import UnitsByModality
from streams.events import EncodingUnit
from streams.participants import NamedBy, Participant, merged


def participants_of(units: UnitsByModality, most: int) -> tuple[list[Participant], int]:
    """The participants of a window by id, and how many more.

    Of more than `most`, those who are named before faces that were followed, and of these those who come first.
    """
    named: dict[str, list[Participant]] = {}
    first_ns: dict[str, int] = {}
    for unit in chain.from_iterable(units.values()):
        for participant in _named_in(unit):
            named.setdefault(participant.id, []).append(participant)
            first_ns[participant.id] = min(unit.start_ns, first_ns.get(participant.id, unit.start_ns))
    people = {id: merged(same) for id, same in named.items()}
    told = sorted(people, key=lambda id: (people[id].named_by is NamedBy.TRACK, first_ns[id], id))[:most]
    return [people[id] for id in sorted(told)], len(people) - len(told)


def units_of(units: UnitsByModality, participant: str) -> UnitsByModality:
    """What of the units is one participant's, given by id."""
    return {modality: tuple(_theirs(placed, participant)) for modality, placed in units.items()}


def _named_in(unit: EncodingUnit) -> Iterator[Participant]:
    if unit.participant is not None:
        yield unit.participant
    elif isinstance(unit.result, UnitFeatures):
        yield from (participant for participant in unit.result.participants if participant is not None)


def _theirs(units: tuple[EncodingUnit, ...], participant: str) -> Iterator[EncodingUnit]:
    for unit in units:
        if unit.participant is not None:
            if unit.participant.id == participant:
                yield unit
        elif isinstance(unit.result, UnitFeatures):
            rows = [at for at, of in enumerate(unit.result.participants) if of is not None and of.id == participant]
            if rows:
                yield replace(unit, result=_rows(unit.result, rows))


def _rows(features: UnitFeatures, rows: list[int]) -> UnitFeatures:
    quality = features.quality if features.faces is None else features.faces.quality[rows[0]]
    return replace(
        features,
        embedding=features.embedding[rows],
        weight=features.weight[rows],
        quality=quality,
        faces=None,
        participants=(),
    )
