"""Formats of transcripts: JSON lines, SubRip and plain text.

A SubRip file has one line of time, from the beginning of each session. A cue is at most two lines of 42 columns
(a Chinese character takes two), so that an utterance may be several; it is shown from its first word until its last.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from daemon.scoring.inline_transcription import SessionTranscript
from models.transcription.recognition import join
from streams.clock import NS_PER_MS, NS_PER_S
from streams.events import SpokenWord
from streams.formats.rfc3339 import format_ns

SCHEMA = "affectd.transcript/1"
_COLUMNS, _LINES = 42, 2  # what fits under a picture and is read at a glance
_LEAST_MS = 1000  # a shorter cue cannot be read, if the next one leaves it the time
_DIGITS = 4


def json_line(spoken: SessionTranscript) -> str:
    """One utterance as a JSON object."""
    transcript = spoken.transcript
    return json.dumps(
        {
            "schema": SCHEMA,
            "session": spoken.session,
            "participant": spoken.participant,
            "start": format_ns(transcript.words[0].start_ns),
            "end": format_ns(_end_ns(transcript.words)),
            "language": transcript.language,
            "confidence": round(transcript.confidence, _DIGITS),
            "text": transcript.text,
            "words": [
                {"text": word.text, "start": format_ns(word.start_ns), "end": format_ns(word.end_ns)}
                for word in transcript.words
            ],
        },
        ensure_ascii=False,
    )


def text_line(spoken: SessionTranscript, zero_ns: int) -> str:
    """One utterance as `session [h:]mm:ss [participant:] text`.

    zero_ns: when the session begins.
    """
    seconds = max(0, spoken.transcript.words[0].start_ns - zero_ns) // NS_PER_S
    hours, minutes = divmod(seconds // 60, 60)
    at = f"{hours}:{minutes:02}" if hours else f"{minutes:02}"
    speaker = "" if spoken.participant is None else f"{_one_line(spoken.participant)}: "
    return f"{_one_line(spoken.session)} {at}:{seconds % 60:02} {speaker}{spoken.transcript.text}"


@dataclass(frozen=True, slots=True)
class Cue:
    """A subtitle: milliseconds from the beginning, one or two lines."""

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]


def cues(spoken: SessionTranscript, zero_ns: int, several: bool = False) -> Iterator[Cue]:
    """Cuts an utterance into subtitles.

    zero_ns: when the session begins. several: whether there are other sessions, so that the session is named where
    nobody else is.
    """
    speaker = spoken.participant or (spoken.session if several else "")
    words = list(spoken.transcript.words)
    while words:
        count, lines = _lines_of(words, f"{_one_line(speaker)}:" if speaker else "")
        shown, words = words[:count], words[count:]
        start_ms = max(0, shown[0].start_ns - zero_ns) // NS_PER_MS
        end_ms = -(-max(0, _end_ns(shown) - zero_ns) // NS_PER_MS)
        yield Cue(start_ms, max(end_ms, start_ms + 1), lines)


def subrip(found: Iterable[Cue]) -> Iterator[str]:
    """A SubRip file, cue by cue, in order of time."""
    ordered = sorted(found, key=lambda cue: (cue.start_ms, cue.end_ms))
    for number, cue in enumerate(ordered, start=1):
        legible_ms = cue.start_ms + _LEAST_MS
        if number < len(ordered):
            legible_ms = min(legible_ms, ordered[number].start_ms)
        end_ms = max(cue.end_ms, legible_ms)
        yield "\n".join([str(number), f"{_clock(cue.start_ms)} --> {_clock(end_ms)}", *cue.lines, ""])


def _end_ns(words: Sequence[SpokenWord]) -> int:
    return max(word.end_ns for word in words)


def _lines_of(words: Sequence[SpokenWord], before: str) -> tuple[int, tuple[str, ...]]:
    """Fills the lines of one cue; says how many words they hold."""
    lines, line = list[str](), [before] if before else []
    for count, word in enumerate(words):
        longer = join([*line, word.text])
        if count and cell_len(longer) > _COLUMNS:
            lines.append(join(line))
            if len(lines) == _LINES:
                return count, tuple(lines)
            line = []
        line.append(word.text)
    return len(words), (*lines, join(line))


def _one_line(name: str) -> str:
    """A name of a session, which may hold anything, on one line."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in name)


def _clock(at_ms: int) -> str:
    seconds, milliseconds = divmod(at_ms, 1000)
    minutes, hours = seconds // 60 % 60, seconds // 3600
    return f"{hours:02}:{minutes:02}:{seconds % 60:02},{milliseconds:03}"
