"""Follows the speech of a session, that of each participant by itself.

Two people who speak at once would be one utterance, and none of their words right. So the sound of each participant
is followed as a session of one would be, and what nobody names is followed as one more. Windows wait for all of them.
"""

from dataclasses import dataclass, field

from streams.alignment.assembly import FOREVER_NS
from streams.alignment.watermark import NEVER_NS
from streams.events import EncodingUnit, Event
from streams.speech.session_speech import SessionSpeech, SpeechConfig, released_until_ns


@dataclass(slots=True)
class SpeechByParticipant:
    """Speech of one session's participants.

    Owned by the timeline thread; no lock. Its methods are those of `SessionSpeech`, for all of them.
    """

    config: SpeechConfig
    _speech: dict[str | None, SessionSpeech] = field(default_factory=dict)
    """By participant; None is what nobody names."""
    _released_until_ns: int = NEVER_NS
    """Blocks before this were released, of whomever."""

    def accepts(self, event: Event) -> bool:
        """Whether some of a sound lies in blocks to come."""
        speech = self._speech.get(_id(event))
        return event.time_ns + event.duration_ns > self._released_until_ns if speech is None else speech.accepts(event)

    def add(self, event: Event) -> None:
        """Takes a sound."""
        speech = self._speech.get(_id(event))
        if speech is None:
            speech = SessionSpeech(self.config, _released_until_ns=self._released_until_ns)
            self._speech[_id(event)] = speech
        speech.add(event)

    @property
    def hold_ns(self) -> int:
        """Words of before this time are known; FOREVER_NS where none are awaited."""
        return min((speech.hold_ns for speech in self._speech.values()), default=FOREVER_NS)

    def advance(self, watermark_ns: int, live: bool, needed_from_ns: int) -> list[EncodingUnit]:
        """Moves on to the watermark; returns blocks and utterances."""
        self._released_until_ns = max(self._released_until_ns, released_until_ns(watermark_ns))
        return [unit for each in self._speech.values() for unit in each.advance(watermark_ns, live, needed_from_ns)]

    def finish(self, unit: EncodingUnit, live: bool, needed_from_ns: int) -> list[EncodingUnit]:
        """Takes a finished unit; returns what follows from it."""
        speech = self._speech.get(_id(unit))
        return [] if speech is None else speech.finish(unit, live, needed_from_ns)

    def take_words(self) -> list[EncodingUnit]:
        """Takes the words that are known since the last call."""
        words: list[EncodingUnit] = []
        for speech in self._speech.values():
            words += speech.words
            speech.words = []
        return words

    def transcribed_fraction(self, start_ns: int, end_ns: int) -> float | None:
        """How much of the speech in [start, end) has become words.

        0..1; None without speech.
        """
        spans = [speech.voiced_ns(start_ns, end_ns) for speech in self._speech.values()]
        total_ns = sum(total for total, _ in spans)
        return 1.0 - sum(missed for _, missed in spans) / total_ns if total_ns else None

    def forget(self, before_ns: int) -> None:
        """Frees what no window after `before_ns` needs."""
        for participant, speech in list(self._speech.items()):
            speech.forget(before_ns)
            if participant is not None and speech.empty:
                del self._speech[participant]


def _id(of: Event | EncodingUnit) -> str | None:
    return None if of.participant is None else of.participant.id
