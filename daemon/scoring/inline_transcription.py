"""Transcribes stored sessions in the caller's thread.

The steps are those of the daemon, in the same order: an item is aligned, voice is detected in its sound, and utterances
are transcribed. Utterances of all sessions are gathered into batches; a session's last are not waited with. Left out:
encoding and scoring, so that no window has any result.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from daemon.scoring.preparation import Preparer, prepare_unit
from daemon.scoring.results import UnitRows
from daemon.scoring.transcription import QueuedUtterance, Transcriber
from streams.alignment.driver import AlignmentDriver
from streams.events import EncodingUnit, Task, Transcript, Voice
from streams.participants import name_of
from streams.records import EndOfSession, OfSession

BATCH_UTTERANCES = 16
"""More in one call is hardly quicker for each, and keeps more sound in memory."""


@dataclass(frozen=True, slots=True)
class SessionTranscript:
    """What was said in one utterance of a session.

    participant: who said it, None where nobody is named.
    """

    session: str
    transcript: Transcript
    participant: str | None = None


class InlineTranscriber:
    """Takes the items of stored sessions; returns what is said in them."""

    def __init__(self, driver: AlignmentDriver, preparer: Preparer, transcriber: Transcriber) -> None:
        """The driver's sessions follow speech (`streams.alignment.timeline_config`)."""
        self._driver = driver
        self._preparer = preparer
        self._transcriber = transcriber
        self._queued: list[QueuedUtterance] = []

    def take(self, item: OfSession, source: str) -> list[SessionTranscript]:
        """Takes one item; returns utterances with words, in order within a session."""
        self._advance(self._driver.take(item, source, live=False))
        ends = isinstance(item, EndOfSession)
        transcripts = list[SessionTranscript]()
        while self._queued and (ends or len(self._queued) >= BATCH_UTTERANCES):
            transcripts += self._transcribe()
        for _ in self._driver.ready_windows():
            pass
        if ends:
            self._advance(self._driver.tick())
            self._preparer.forget(item.session)
        return transcripts

    def _advance(self, units: Iterable[EncodingUnit]) -> None:
        """Finishes units, but for utterances, which are queued."""
        waiting = list(units)
        while waiting:
            unit = waiting.pop(0)
            if unit.task is not Task.ENCODE:
                prepared = prepare_unit(self._preparer, unit)
                if isinstance(prepared, UnitRows):
                    self._queued.append(QueuedUtterance(unit, prepared.rows[0]))
                    continue
                unit.result = prepared if isinstance(prepared, Voice) else None
            waiting += self._driver.finish(unit)

    def _transcribe(self) -> list[SessionTranscript]:
        queued, self._queued = self._queued[:BATCH_UTTERANCES], self._queued[BATCH_UTTERANCES:]
        transcripts = list[SessionTranscript]()
        for each, result in zip(queued, self._transcriber.transcribe(queued), strict=True):
            each.unit.result = result
            if isinstance(result, Transcript) and result.words:
                transcripts.append(SessionTranscript(each.unit.session, result, name_of(each.unit.participant) or None))
            self._advance(self._driver.finish(each.unit))
        return transcripts
