"""Assemblers of one session: one for each modality and participant.

Problem: two people of one session must not compete for a place in the sample of pictures, nor be mixed into one sound.
Rule: what somebody's is, of pictures and sound, is assembled as a stream of its own, and so is each channel of a sound
whose channels have names. What nobody names is one stream. Lines need none, since each is a unit by itself.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

from streams.alignment.assembly import Assembler
from streams.alignment.sequence import SequenceCheck
from streams.events import EncodingUnit, Event, Sound
from streams.participants import NamedBy, Participant, ParticipantRules
from streams.reasons import UntoldReason
from streams.records import Modality
from streams.telemetry import Telemetry

_Stream = tuple[Modality, str | None]
"""Modality, and the participant's id; None is nobody's."""


class SessionStreams:
    """Assemblers of one session. Owned by the timeline thread; no lock."""

    def __init__(self, new_assembler: Callable[[Modality], Assembler]) -> None:
        self._new_assembler = new_assembler
        self._assemblers: dict[_Stream, Assembler] = {
            (modality, None): new_assembler(modality) for modality in Modality
        }
        self._sequences: defaultdict[_Stream, SequenceCheck] = defaultdict(SequenceCheck)

    def add(self, event: Event) -> None:
        """Takes one event of one participant, in any order."""
        stream = _stream(event)
        assembler = self._assemblers.get(stream)
        if assembler is None:
            assembler = self._assemblers[stream] = self._new_assembler(event.modality)
        assembler.add(event)

    def reaches_ns(self, event: Event) -> int:
        """The latest start of a unit that the event can change."""
        return self._assemblers[event.modality, None].reaches_ns(event)

    def repeats(self, event: Event, telemetry: Telemetry) -> bool:
        """Whether the event is a repeat; counts gaps and repeats.

        Who is named by the record or its source numbers by themselves; authors are written down by somebody else.
        """
        named = event.participant
        number_of = None if named is None or named.named_by is NamedBy.AUTHOR else named.id
        return self._sequences[event.modality, number_of].repeats(event, telemetry)

    def release(self, watermark_ns: int) -> list[EncodingUnit]:
        """The units that are final at the watermark."""
        return [unit for assembler in self._assemblers.values() for unit in assembler.release(watermark_ns)]

    def forget(self, before_ns: int) -> None:
        """Frees what no window after `before_ns` needs."""
        for stream, assembler in list(self._assemblers.items()):
            assembler.forget(before_ns)
            if stream[1] is not None and assembler.empty:
                del self._assemblers[stream]
        for stream, check in list(self._sequences.items()):
            check.forget(before_ns)
            if stream[1] is not None and check.empty:
                del self._sequences[stream]


def by_participant(event: Event, rules: ParticipantRules, telemetry: Telemetry) -> tuple[list[Event], int]:
    """What of an event is scored, each part of one participant.

    A sound with a name for each channel has a part for each. The second value is how many parts are not to be scored.
    """
    parts = _channels(event, telemetry)
    told = [replace(part, participant=rules.with_role(part.participant)) for part in parts] if rules.roles else parts
    scored = [part for part in told if rules.scores(part.participant)]
    return scored, len(parts) - len(scored)


def _channels(event: Event, telemetry: Telemetry) -> list[Event]:
    """The event, or one for each channel where these have names."""
    names, sound = event.channels, event.payload
    if not names or not isinstance(sound, Sound):
        return [event]
    if sound.samples.ndim != 2 or sound.samples.shape[1] != len(names):
        telemetry.untold(UntoldReason.CHANNELS)
        return [event]
    return [
        replace(
            event,
            participant=Participant(name, NamedBy.CHANNEL, name),
            payload=sound.channel(at),
        )
        for at, name in enumerate(names)
    ]


def _stream(event: Event) -> _Stream:
    """Which assembler an event goes to; lines share one, and signals."""
    if event.participant is None or event.modality in (Modality.TEXT, Modality.SIGNALS):
        return event.modality, None
    return event.modality, event.participant.id
