"""Participants of a session: who they are, and whom to score.

A participant is one person in a session. An id holds within its session only: whatever bears the same id there is the
same person, be it named by a header, by the author of a line or by a channel. What nobody names is nobody's: it counts
in the session's own row, and in no participant's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

MOST_CHANNELS = 64  # as many as are read of one sound
NAME_RULE = "a participant's name has 1 to 256 printable characters"
CHANNEL_RULE = f"1 to {MOST_CHANNELS} names, each another, of 1 to 256 printable characters without a comma"

_LONGEST_CHARACTERS = 256
_PART_OF_NAMES = dict.fromkeys((0xA0, 0x200C, 0x200D, 0x200E, 0x200F, 0x3000, *range(0xE0020, 0xE0080)))
"""Spaces, joiners and marks that names and emoji of some scripts are written with, though they are not printable."""


class NamedBy(StrEnum):
    """What named a participant, the surest first."""

    HEADER = "header"
    """The record says it."""
    CONFIG = "config"
    """The configuration of its source."""
    AUTHOR = "author"
    """The author of a line."""
    CHANNEL = "channel"
    """The name of a channel of sound."""
    TRACK = "track"
    """A face that was followed."""


@dataclass(frozen=True, slots=True)
class Participant:
    """One person of a session. id: 1 to 256 printable characters."""

    id: str
    named_by: NamedBy
    role: str | None = None


def is_participant_name(name: str) -> bool:
    """Whether it has 1 to 256 printable characters."""
    printed = name.translate(_PART_OF_NAMES)
    return 0 < len(name) <= _LONGEST_CHARACTERS and bool(printed.strip()) and printed.isprintable()


def are_channel_names(names: Sequence[str]) -> bool:
    """Whether they can name the channels of one sound: see `CHANNEL_RULE`."""
    return (
        0 < len(names) <= MOST_CHANNELS
        and len(set(names)) == len(names)
        and all(is_participant_name(name) and "," not in name for name in names)
    )


def name_of(participant: Participant | None) -> str:
    """The id, or nothing for nobody."""
    return "" if participant is None else participant.id


def merged(same: Iterable[Participant]) -> Participant:
    """The participant that several of one id are: named by the surest.

    The role is that of the surest that has one. ValueError without any.
    """
    ranked = sorted(same, key=lambda each: (list(NamedBy).index(each.named_by), each.role or ""))
    if not ranked:
        raise ValueError("nobody is no participant")
    return replace(ranked[0], role=next((each.role for each in ranked if each.role is not None), None))


@dataclass(frozen=True, slots=True)
class ParticipantRules:
    """Roles of participants, and whom to score.

    roles: by id. score: ids and roles; all others, and what nobody names, are left out; everybody where it is empty.
    """

    roles: Mapping[str, str] = field(default_factory=dict)
    score: frozenset[str] = frozenset()

    def with_role(self, participant: Participant | None) -> Participant | None:
        """Gives a participant the role that is configured for the id."""
        if participant is None or participant.id not in self.roles:
            return participant
        return replace(participant, role=self.roles[participant.id])

    def scores(self, participant: Participant | None) -> bool:
        """Whether what is a participant's, or nobody's (None), is scored."""
        if not self.score:
            return True
        return participant is not None and (participant.id in self.score or participant.role in self.score)


EVERYBODY = ParticipantRules()
"""Scores everybody, in the roles that records say."""
