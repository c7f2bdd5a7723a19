import click
import pytest
from rich.cells import cell_len

from daemon.commands.window_lines import window_line, window_span_s, words_line
from streams.predictions import Modalities
from tests.daemon.predicting import ABSENT, modality, prediction

pytestmark = pytest.mark.unit

NOTHING = Modalities(video=ABSENT, audio=ABSENT, text=ABSENT)


def shown(line: str) -> str:
    return click.unstyle(line)


def test_a_line_says_when_which_emotion_how_risky_and_what_counted() -> None:
    assert shown(window_line(prediction())) == (
        " 00:12-00:16  sadness   ██████░░░░ 0.61  risk medium    V 0.9  A 0.5  T 1.0"
    )


def test_an_absent_modality_is_a_dash_and_not_a_zero() -> None:
    without_voice = Modalities(video=modality(0.04), audio=ABSENT, text=modality(1.0))
    assert shown(window_line(prediction(modalities=without_voice))).endswith("V 0.0  A  -   T 1.0")


def test_an_abstained_window_says_so_and_names_no_emotion() -> None:
    line = shown(window_line(prediction(modalities=NOTHING, abstained="no_evidence", level="none")))
    assert "abstained: no evidence" in line
    assert not any(word in line for word in ("neutral", "sadness", "█", "░"))


def test_columns_stay_in_line_whatever_they_say() -> None:
    lines = [
        prediction(-3),
        prediction(12),
        prediction(75, level="critical"),
        prediction(9, NOTHING, "none", "no_evidence"),
        prediction(9, abstained="low_confidence"),
    ]
    starts = {shown(window_line(each)).index("  risk ") for each in lines}
    assert len(starts) == 1
    assert len({len(shown(window_line(each))) for each in lines}) == 1


@pytest.mark.parametrize(("start_s", "text"), [(-3, "-00:03-00:01"), (0, " 00:00-00:04"), (58, " 00:58-01:02")])
def test_time_is_told_from_the_start_of_the_session(start_s: float, text: str) -> None:
    assert shown(window_line(prediction(start_s))).startswith(text)
    assert window_span_s(prediction(start_s)) == (start_s, start_s + 4)


@pytest.mark.parametrize(
    ("transcript", "line"),
    [
        (None, None),
        ("Good morning.", " " * 14 + "Good morning."),
        ("Good morning.\nHello", " " * 14 + "Good morning. · Hello"),
        ("word " * 30 + "end", " " * 14 + "…" + ("word " * 30 + "end")[-63:]),
    ],
)
def test_words_stand_on_a_line_of_their_own_the_newest_in_full(transcript: str | None, line: str | None) -> None:
    words = words_line(prediction().model_copy(update={"transcript": transcript}))
    assert (words and shown(words)) == line


def test_words_of_wide_characters_fit_a_terminal_too() -> None:
    words = words_line(prediction().model_copy(update={"transcript": "我很难过,一直在哭。" * 20}))
    assert words is not None
    assert 76 <= cell_len(shown(words)) <= 78
