"""What of an error may leave the process."""

import errno

import pytest

from streams.reasons import BadRecord, DeadLetterReason
from streams.redaction import redacted, redacted_error, redacted_traceback
from streams.sources.base import SourceError

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://me:secret@camera/1", "rtsp://...@camera/1"),
        ("rtsp://me:se/cr@et@camera:554/1?q=1", "rtsp://...@camera:554/1?..."),
        ("'http://secret@host' and rtsp://a:b@c", "'http://...@host' and rtsp://...@c"),
        ("http://host/path", "http://host/path"),
        ("me@host.example", "me@host.example"),
    ],
)
def test_the_log_in_of_an_address_is_left_out(address: str, shown: str) -> None:
    assert redacted(address) == shown


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (SourceError("camera rtsp://me:secret@host: is away"), "camera rtsp://...@host: is away"),
        (BadRecord(DeadLetterReason.EMPTY, "a line without text"), "a line without text"),
        (SourceError(), "SourceError"),
        (ValueError("what was said"), "ValueError"),
        (OSError("what was said"), "OSError"),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), "No space left on device: /x"),
        (MemoryError(), "not enough memory"),
    ],
)
def test_our_own_errors_are_told_in_full_and_those_of_others_by_their_type(error: Exception, shown: str) -> None:
    assert redacted_error(error) == shown


def test_an_error_of_others_is_told_with_its_place_in_our_code() -> None:
    with pytest.raises(TypeError) as caught:
        redacted(None)  # type: ignore[arg-type]
    assert redacted_error(caught.value).startswith("TypeError at streams/redaction.py:")


def test_a_traceback_tells_of_every_cause_and_ends_where_causes_go_in_a_circle() -> None:
    first, second = KeyError("what was said"), SourceError("is away")
    first.__context__, second.__cause__ = second, first
    told = redacted_traceback(second)
    assert (told.count("SourceError: is away"), told.count("KeyError")) == (1, 1)
    assert "what was said" not in told
