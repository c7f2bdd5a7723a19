"""`affectd transcribe`: what is said in stored sessions, and when.

Sound takes the way that it takes in the daemon, from the file to words; pictures and chat are not opened, and no
encoder is loaded. What is found is handed on as soon as it is known. Who speaks is said where the channels of sound
have names.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.commands.progress import OnProgress, counted
from daemon.config import Config
from daemon.config.errors import ConfigurationError
from daemon.scoring.inline_transcription import InlineTranscriber, SessionTranscript
from daemon.scoring.preparer import UnitPreparer
from daemon.scoring.recognizer import build_transcriber, load_recognizer
from daemon.telemetry.instruments import Instruments
from daemon.wiring import limits, timeline_config
from streams.alignment.driver import AlignmentDriver, RecordCounts
from streams.alignment.sessions import Sessions
from streams.clock import NS_PER_S
from streams.delivery.ledger import Ledger
from streams.records import Modality, OfSession
from streams.sources.stored.discovery import StoredOptions, stored_sessions
from streams.sources.stored.playback import Playback, StoredSession


@dataclass(frozen=True, slots=True)
class Spoken:
    """An utterance, and when its session begins: zero_ns."""

    utterance: SessionTranscript
    zero_ns: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """How much was heard and found, and what became of the records.

    refused: how many records were, by reason.
    """

    heard_s: float
    utterances: int
    counts: RecordCounts
    refused: Mapping[str, int]


def sound_sessions(
    paths: Sequence[Path], instruments: Instruments, channels: tuple[str, ...] = ()
) -> list[StoredSession]:
    """The sessions in `paths`, of which only sound is read.

    channels: who speaks on each channel of sound. SourceError where a name is that of two, or a folder holds none.
    """
    wanted = frozenset({Modality.AUDIO})
    return stored_sessions(paths, StoredOptions(telemetry=instruments.metrics, wanted=wanted, channels=channels))


def transcribe(
    config: Config,
    sessions: Sequence[StoredSession],
    on_utterance: Callable[[Spoken], None],
    instruments: Instruments,
    progress: OnProgress = lambda _: None,
) -> Outcome:
    """Transcribes sessions, and calls `on_utterance` with each utterance.

    In order within a session. SourceError where something cannot be read, when the rest is transcribed;
    models.artifact.ModelError for a recogniser that cannot be used; ConfigurationError where it is switched off.
    """
    recognizer = load_recognizer(config)
    transcriber = build_transcriber(config, recognizer, warm_up=False, instruments=instruments)
    if recognizer is None or transcriber is None:
        raise ConfigurationError(["transcription.enabled: must be true for this (is false)"])
    timeline, clock, metrics = timeline_config(config), instruments.clock, instruments.metrics
    followed = Sessions(timeline, config.windows.session_timeout_ns, clock, metrics, Ledger(timeline.grid))
    driver = AlignmentDriver(followed, limits(config), clock, metrics)
    inline = InlineTranscriber(driver, UnitPreparer.of_speech(recognizer), transcriber)
    playback = Playback(sessions, clock)
    begins_ns = {each.session: each.start_ns for each in sessions}
    utterances = 0

    def take(item: OfSession) -> None:
        nonlocal utterances
        for found in inline.take(item, playback.name):
            utterances += 1
            on_utterance(Spoken(found, begins_ns[found.session]))
        progress(f"{playback.played_ns / NS_PER_S:.0f} s heard: {counted(utterances, 'utterance')}")

    playback.open()
    try:
        playback.read(take, threading.Event())
    finally:
        playback.close()
    return Outcome(playback.played_ns / NS_PER_S, utterances, driver.counts, metrics.refused())
