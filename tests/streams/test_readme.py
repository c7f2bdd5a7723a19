"""The README of streams lists every closed set in full, and its glossary is in order."""

from enum import StrEnum
from types import SimpleNamespace
from typing import Any, cast

import pytest

from models.face.encoder import FaceEncoder
from models.speech.segment import SegmentEncoder
from models.text.encoder import TextEncoder
from streams.reasons import ClosedBy, DeadLetterReason, DropReason, UntoldReason, UtteranceOutcome
from streams.source_state import SourceState
from streams.telemetry import CommitOutcome, OffsetResetReason, SequenceFault, SoundFault
from tests.documents import text

pytestmark = pytest.mark.unit

README = "streams/README.md"
NOBODY = cast(Any, None)


def table(heading: str) -> list[str]:
    """The first column of the table whose first column has this heading, without backticks."""
    lines = text(README).splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith(f"| {heading} |")) + 2
    rows = lines[start:]
    end = next((at for at, line in enumerate(rows) if not line.startswith("|")), len(rows))
    return [row.split("|")[1].strip().strip("`") for row in rows[:end]]


@pytest.mark.parametrize(
    ("heading", "closed_set"),
    [
        ("`closed_by`", ClosedBy),
        ("drop reason", DropReason),
        ("dead-letter reason", DeadLetterReason),
        ("source state", SourceState),
        ("sound fault", SoundFault),
        ("sequence fault", SequenceFault),
        ("commit outcome", CommitOutcome),
        ("offset reset", OffsetResetReason),
        ("utterance", UtteranceOutcome),
        ("untold", UntoldReason),
    ],
)
def test_a_table_has_one_row_for_each_value_of_its_closed_set(heading: str, closed_set: type[StrEnum]) -> None:
    assert sorted(table(heading)) == sorted(closed_set)


def test_every_measure_of_quality_has_its_row() -> None:
    face = SimpleNamespace(size_px=100.0, sharpness=50.0, brightness=0.5, eyes_open=0.9, pitch_degrees=5.0)
    line = SimpleNamespace(characters=3, read=3)
    voice = SimpleNamespace(level_db=-20.0, snr_db=30.0)
    measured = {
        *FaceEncoder.quality(NOBODY, [cast(Any, face)]),
        *TextEncoder.quality(NOBODY, [cast(Any, line)]),
        *SegmentEncoder.quality(NOBODY, [cast(Any, voice)]),
    }
    assert sorted(table("quality key")) == sorted({"received", "transcribed", *measured})


def test_the_glossary_is_alphabetical_and_names_a_term_once() -> None:
    terms = table("term")
    assert terms == sorted(set(terms), key=str.lower)
    assert {"record", "event", "watermark", "window", "ledger", "checkpoint", "lookback", "abstention"} <= set(terms)
