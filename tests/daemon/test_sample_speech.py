"""What is said in the sample: its words are recognised at their times, and count as text."""

import difflib
import re
import statistics
from dataclasses import dataclass

import pytest

from daemon.commands.transcribe import Spoken, sound_sessions, transcribe
from daemon.config import Config
from daemon.config.source import load
from daemon.sample import SAMPLE
from daemon.scoring.inline import InlineScorer
from daemon.scoring.preparer import build_preparer
from daemon.scoring.recognizer import build_transcriber, load_recognizer
from daemon.scoring.results import BadRow
from daemon.telemetry.instruments import Instruments
from daemon.wiring import limits, timeline_config
from models.model import AffectModel
from streams.alignment.driver import AlignmentDriver
from streams.alignment.sessions import Sessions
from streams.clock import NS_PER_S
from streams.delivery.ledger import Ledger
from streams.records import EndOfSession, Modality, OfSession, Record
from streams.sources.stored.media_session import START_NS, MediaSession
from tests.sample.script import UTTERANCES, Utterance

pytestmark = pytest.mark.unit

ENGLISH = [utterance for utterance in UTTERANCES if utterance.text.isascii()]
START_ERROR_S = 0.3
SETTINGS = ("transcription.model=base", "transcription.language=en", "windows.step_s=2")


@dataclass(frozen=True)
class Word:
    text: str
    start_s: float


@pytest.fixture(scope="module")
def heard() -> list[Word]:
    """The words of the sample, in order."""
    found, instruments = list[Spoken](), Instruments()
    transcribe(load(None, {}, SETTINGS), sound_sessions([SAMPLE], instruments), found.append, instruments)
    words = [word for each in found for word in each.utterance.transcript.words]
    return [Word(plain(word.text), (word.start_ns - START_NS) / NS_PER_S) for word in words]


def plain(text: str) -> str:
    return " ".join(re.findall(r"[a-z']+", text.lower().replace("colour", "color")))


def heard_of(utterance: Utterance, heard: list[Word]) -> list[Word]:
    """The words heard from the beginning of an utterance until the next one."""
    later = [each.at_s for each in UTTERANCES if each.at_s > utterance.at_s]
    from_s, until_s = utterance.at_s - START_ERROR_S, min(later, default=99.0) - START_ERROR_S
    return [word for word in heard if from_s <= word.start_s < until_s]


@pytest.mark.parametrize("utterance", ENGLISH, ids=lambda each: f"{each.at_s:g}")
def test_most_words_of_an_utterance_are_recognised_from_where_it_begins(
    utterance: Utterance, heard: list[Word]
) -> None:
    found, said = heard_of(utterance, heard), plain(utterance.text).split()
    matcher = difflib.SequenceMatcher(a=said, b=[word.text for word in found], autojunk=False)
    assert sum(block.size for block in matcher.get_matching_blocks()) > len(said) / 2, [w.text for w in found]
    assert abs(found[0].start_s - utterance.at_s) < START_ERROR_S


def test_utterances_begin_where_the_script_says(heard: list[Word]) -> None:
    errors_s = [abs(heard_of(each, heard)[0].start_s - each.at_s) for each in ENGLISH]
    assert statistics.median(errors_s) < 0.1


def test_speech_alone_gives_text_and_moves_its_contribution() -> None:
    config = load(None, {}, SETTINGS)
    off = config.model_copy(update={"transcription": config.transcription.model_copy(update={"enabled": False})})
    model = AffectModel.load("default", "cpu", 1)
    with_words, without = text_contributions(config, model), text_contributions(off, model)
    assert with_words.keys() == without.keys()
    assert len(with_words) >= 3
    assert set(without.values()) == {0.0}, "nothing is written here"
    moved = [value for value in with_words.values() if abs(value) > 0.02]
    assert len(moved) > len(with_words) / 2


def text_contributions(config: Config, model: AffectModel) -> dict[int, float]:
    """The contribution of text in windows of one sentence of the sample, by their start."""
    instruments, timeline = Instruments(), timeline_config(config)
    clock, metrics = instruments.clock, instruments.metrics
    sessions = Sessions(timeline, config.windows.session_timeout_ns, clock, metrics, Ledger(timeline.grid))
    recognizer = load_recognizer(config)
    scorer = InlineScorer(
        AlignmentDriver(sessions, limits(config), clock, metrics),
        build_preparer(config, model, recognizer),
        model,
        transcriber=build_transcriber(config, recognizer, False, instruments),
    )
    items: list[OfSession] = [*sound_between(4.5, 8.5), EndOfSession("sample")]
    windows = [window for item in items for window in scorer.take(item, "test")]
    scores = [scored.session for scored in scorer.scores(windows) if not isinstance(scored, BadRow)]
    return {window.start_ns: score.modality["text"].contribution for window, score in zip(windows, scores, strict=True)}


def sound_between(from_s: float, until_s: float) -> list[Record]:
    session = MediaSession("sample", SAMPLE, wanted=frozenset({Modality.AUDIO}))
    session.open()
    try:
        records = list(session.records())
    finally:
        session.close()
    return [each for each in records if from_s <= (each.event_time_ns - START_NS) / NS_PER_S < until_s]
