"""A prediction as one line for a person.

When, which emotion, how risky, and which modalities counted.

A window without a label says so in the emotion's place, and a modality that is not there is a dash: neither is ever
shown as neutral or as zero. Colours are for terminals; `click.echo` drops them elsewhere.
"""

import click
from rich.cells import cell_len

from streams.clock import NS_PER_S
from streams.formats import rfc3339
from streams.predictions import ModalityReport, Prediction
from streams.sources.stored.media_session import START_NS

_BAR_CELLS = 10
_WORDS_INDENT, _WORDS_COLUMNS = 14, 64
_SPAN_CHARACTERS = len("-00:03-00:01")
_LEVEL_COLOURS = {"low": "green", "medium": "yellow", "high": "red", "critical": "magenta"}


def window_line(prediction: Prediction) -> str:
    """One line about a prediction.

    For example ` 00:12-00:16  sadness   ██████░░░░ 0.61  risk medium    V 0.9  A  -   T 1.0`.
    """
    start_s, end_s = window_span_s(prediction)
    modalities = prediction.modalities
    counted = "  ".join(
        _coverage(letter, report)
        for letter, report in (("V", modalities.video), ("A", modalities.audio), ("T", modalities.text))
    )
    level = prediction.risk.level
    risk = click.style(f"{level:<8}", fg=_LEVEL_COLOURS.get(level))
    span = f"{_clock(start_s)}-{_clock(end_s)}"
    return f"{span:>{_SPAN_CHARACTERS}}  {_emotion(prediction)}  risk {risk}  {counted}"


def words_line(prediction: Prediction) -> str | None:
    """The words of the window; their end, if they are many.

    None without any, or where the privacy policy keeps it.
    """
    words = " · ".join((prediction.transcript or "").splitlines())
    if not words:
        return None
    if cell_len(words) > _WORDS_COLUMNS:
        ends = (words[first:] for first in range(len(words)))
        words = "…" + next(end for end in ends if cell_len(end) < _WORDS_COLUMNS)
    return click.style(" " * _WORDS_INDENT + words, dim=True)


def window_span_s(prediction: Prediction) -> tuple[float, float]:
    """Start and end of the window, in seconds since stored sessions begin."""
    window = prediction.window
    start_ns, end_ns = rfc3339.parse(window.start), rfc3339.parse(window.end)
    return (start_ns - START_NS) / NS_PER_S, (end_ns - START_NS) / NS_PER_S


def _emotion(prediction: Prediction) -> str:
    label = prediction.emotion.label
    if prediction.abstained or label is None:
        reason = prediction.abstained.reason.replace("_", " ") if prediction.abstained else "no label"
        return click.style(f"{'abstained: ' + reason:<25}", dim=True)
    probability = float(getattr(prediction.emotion.probabilities, label))
    filled = round(probability * _BAR_CELLS)
    return f"{label:<9} {'█' * filled}{'░' * (_BAR_CELLS - filled)} {probability:.2f}"


def _coverage(letter: str, report: ModalityReport) -> str:
    if not report.present:
        return click.style(f"{letter}  - ", dim=True)
    return f"{letter} {report.coverage:.1f}"


def _clock(at_s: float) -> str:
    """Minutes and seconds from the start of the session.

    The first windows may begin before it.
    """
    minutes, seconds = divmod(abs(round(at_s)), 60)
    return f"{'-' if at_s < 0 else ''}{minutes:02}:{seconds:02}"
