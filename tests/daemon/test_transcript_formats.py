"""Transcripts as JSON, as subtitles that other programs read, and as lines for a person."""

import io
import json

import av
import pytest

from daemon.commands.transcript_formats import Cue, cues, json_line, subrip, text_line
from daemon.scoring.inline_transcription import SessionTranscript
from streams.clock import NS_PER_MS, NS_PER_S
from streams.events import SpokenWord, Transcript

pytestmark = pytest.mark.unit

ZERO_NS = 946_684_800 * NS_PER_S


def said(*words: str, at_s: float = 1.0, each_s: float = 0.5, language: str = "en") -> SessionTranscript:
    """Words one after another, each of `each_s`."""
    starts = [ZERO_NS + round((at_s + number * each_s) * NS_PER_S) for number in range(len(words))]
    spoken = tuple(
        SpokenWord(word, start_ns, start_ns + round(each_s * NS_PER_S))
        for word, start_ns in zip(words, starts, strict=True)
    )
    return SessionTranscript("room", Transcript(spoken, " ".join(words), language, 0.81236))


def read_by_pyav(found: list[Cue]) -> list[tuple[int, int, list[str]]]:
    """Start and length in ms, and lines, of each subtitle as a media library reads them."""
    written = "".join(f"{each}\n" for each in subrip(found)).encode()
    with av.open(io.BytesIO(written), "r", format="srt") as container:
        packets = [packet for packet in container.demux() if packet.size]
        return [(packet.pts or 0, packet.duration or 0, bytes(packet).decode().splitlines()) for packet in packets]


def test_a_json_line_says_who_when_and_how_sure_with_the_times_of_words() -> None:
    assert json.loads(json_line(said("Good", "morning."))) == {
        "schema": "affectd.transcript/1",
        "session": "room",
        "participant": None,
        "start": "2000-01-01T00:00:01Z",
        "end": "2000-01-01T00:00:02Z",
        "language": "en",
        "confidence": 0.8124,
        "text": "Good morning.",
        "words": [
            {"text": "Good", "start": "2000-01-01T00:00:01Z", "end": "2000-01-01T00:00:01.500Z"},
            {"text": "morning.", "start": "2000-01-01T00:00:01.500Z", "end": "2000-01-01T00:00:02Z"},
        ],
    }


@pytest.mark.parametrize(("at_s", "shown"), [(1.9, "00:01"), (61, "01:01"), (3661, "1:01:01"), (-0.1, "00:00")])
def test_a_line_of_text_tells_the_time_since_the_session_began(at_s: float, shown: str) -> None:
    assert text_line(said("Yes.", at_s=at_s), ZERO_NS) == f"room {shown} Yes."


def test_a_name_with_line_breaks_stays_on_one_line() -> None:
    named = SessionTranscript("a\nb", said("Yes.").transcript, "c\nd")
    assert text_line(named, ZERO_NS).count("\n") == 0
    assert all("\n" not in line for cue in cues(named, ZERO_NS, several=True) for line in cue.lines)


def test_a_media_library_reads_the_subtitles_with_their_times() -> None:
    found = [*cues(said("I", "am", "here."), ZERO_NS), *cues(said("And", "you?", at_s=3725.25), ZERO_NS)]
    assert read_by_pyav(found) == [(1000, 1500, ["I am here."]), (3_725_250, 1000, ["And you?"])]


def test_long_speech_is_cut_into_cues_of_two_short_lines_at_the_times_of_their_words() -> None:
    words = [f"word{number}" for number in range(40)]
    found = list(cues(said(*words, each_s=0.25), ZERO_NS))
    assert [word for cue in found for line in cue.lines for word in line.split()] == words
    assert all(len(cue.lines) <= 2 and all(0 < len(line) <= 42 for line in cue.lines) for cue in found)
    assert len(found) > 2
    assert [cue.start_ms for cue in found[1:]] == [cue.end_ms for cue in found[:-1]]
    assert (found[0].start_ms, found[-1].end_ms) == (1000, 11_000)


def test_chinese_characters_take_two_columns() -> None:
    found = list(cues(said(*"我们今天去看电影好吗" * 5, language="zh"), ZERO_NS))
    assert all(len(line) <= 21 for cue in found for line in cue.lines)
    assert "".join(line for cue in found for line in cue.lines) == "我们今天去看电影好吗" * 5


def test_a_word_longer_than_a_line_is_shown_whole() -> None:
    (cue,) = cues(said("o" * 60), ZERO_NS)
    assert cue.lines == ("o" * 60,)


def test_who_speaks_stands_before_the_words_in_every_format() -> None:
    named = SessionTranscript("room", said("Yes.").transcript, "anna")
    assert json.loads(json_line(named))["participant"] == "anna"
    assert text_line(named, ZERO_NS) == "room 00:01 anna: Yes."
    assert [cue.lines for several in (False, True) for cue in cues(named, ZERO_NS, several)] == [("anna: Yes.",)] * 2


def test_where_nobody_is_named_the_session_is_if_there_are_others() -> None:
    assert [cue.lines for cue in cues(said("Yes."), ZERO_NS, several=True)] == [("room: Yes.",)]


def test_cues_of_several_sessions_are_numbered_in_order_of_time() -> None:
    found = [Cue(5000, 6000, ("b",)), Cue(1000, 2000, ("a",)), Cue(7000, 8000, ("c",))]
    assert [each.split("\n")[0::2][:2] for each in subrip(found)] == [["1", "a"], ["2", "b"], ["3", "c"]]


def test_a_short_cue_stays_long_enough_to_be_read_unless_the_next_one_comes() -> None:
    found = [Cue(0, 200, ("a",)), Cue(500, 600, ("b",))]
    assert [(start, length) for start, length, _ in read_by_pyav(found)] == [(0, 500), (500, 1000)]


def test_nothing_said_makes_an_empty_file() -> None:
    assert list(subrip([])) == []


def test_a_word_that_takes_no_time_is_still_shown() -> None:
    at_ns = ZERO_NS + 10 * NS_PER_MS
    spoken = SessionTranscript("room", Transcript((SpokenWord("a", at_ns, at_ns),), "a", "en", 1.0))
    (cue,) = cues(spoken, ZERO_NS)
    assert cue.end_ms > cue.start_ms
