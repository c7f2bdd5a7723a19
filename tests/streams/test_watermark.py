import pytest

from streams.alignment.origin import DEVICE, STORED
from streams.alignment.watermark import NEVER_NS, Watermark, WatermarkConfig

pytestmark = pytest.mark.unit

BOUND, IDLE_AFTER = 5, 30
FACE, MIC, CHAT = ("camera", "video"), ("microphone", "audio"), ("chat", "text")


@pytest.fixture
def watermark() -> Watermark:
    return Watermark(WatermarkConfig(BOUND, IDLE_AFTER))


def test_before_anything_is_heard_nothing_is_complete(watermark: Watermark) -> None:
    assert watermark.advance(1_000) == NEVER_NS


def test_an_event_proves_time_has_come_to_it_less_the_disorder_bound(watermark: Watermark) -> None:
    watermark.event(FACE, 100, now_ns=0, origin=DEVICE)
    assert watermark.advance(0) == 95


def test_a_promise_needs_no_bound(watermark: Watermark) -> None:
    watermark.progress(FACE, 100, now_ns=0, origin=DEVICE)
    assert watermark.advance(0) == 100


def test_an_older_event_or_promise_takes_nothing_back(watermark: Watermark) -> None:
    watermark.event(FACE, 100, now_ns=0, origin=DEVICE)
    watermark.event(FACE, 97, now_ns=0, origin=DEVICE)
    watermark.progress(FACE, 20, now_ns=0, origin=DEVICE)
    assert watermark.advance(0) == 95


def test_the_slowest_stream_holds_it(watermark: Watermark) -> None:
    watermark.event(FACE, 100, now_ns=0, origin=DEVICE)
    watermark.event(MIC, 60, now_ns=0, origin=DEVICE)
    assert watermark.advance(0) == 55


def test_two_sources_of_one_modality_are_two_streams(watermark: Watermark) -> None:
    watermark.event(("door", "video"), 100, now_ns=0, origin=DEVICE)
    watermark.event(("window", "video"), 40, now_ns=0, origin=DEVICE)
    assert watermark.advance(0) == 35


def test_a_silent_stream_leaves_the_minimum_after_idle_after_and_not_before(watermark: Watermark) -> None:
    watermark.event(CHAT, 60, now_ns=0, origin=DEVICE)
    watermark.event(FACE, 100, now_ns=IDLE_AFTER - 1, origin=DEVICE)
    assert watermark.advance(IDLE_AFTER - 1) == 55
    assert watermark.advance(IDLE_AFTER) == 95
    assert not watermark.by_idleness


def test_when_all_are_idle_it_runs_with_the_clock(watermark: Watermark) -> None:
    watermark.event(FACE, 100, now_ns=0, origin=DEVICE)
    assert watermark.advance(IDLE_AFTER - 1) == 95
    assert watermark.advance(IDLE_AFTER) == 95 + IDLE_AFTER
    assert watermark.advance(IDLE_AFTER + 7) == 95 + IDLE_AFTER + 7
    assert watermark.by_idleness


def test_a_stream_with_a_backlog_is_never_idle(watermark: Watermark) -> None:
    watermark.event(FACE, 100, now_ns=0, origin=STORED)
    assert watermark.advance(10_000_000) == 95
    assert not watermark.timed_out(10_000_000, timeout_ns=0)


def test_a_session_times_out_by_silence_even_if_it_is_told_of(watermark: Watermark) -> None:
    watermark.event(CHAT, 100, now_ns=0, origin=DEVICE)
    watermark.progress(CHAT, 100 + IDLE_AFTER, now_ns=IDLE_AFTER, origin=DEVICE)
    assert not watermark.timed_out(IDLE_AFTER + 6, timeout_ns=7)
    assert watermark.timed_out(IDLE_AFTER + 7, timeout_ns=7)


def test_a_stream_that_wakes_with_older_events_does_not_move_it_back(watermark: Watermark) -> None:
    watermark.event(CHAT, 60, now_ns=0, origin=DEVICE)
    watermark.event(FACE, 200, now_ns=IDLE_AFTER, origin=DEVICE)
    assert watermark.advance(IDLE_AFTER) == 195
    watermark.event(CHAT, 70, now_ns=IDLE_AFTER + 1, origin=DEVICE)
    assert watermark.advance(IDLE_AFTER + 1) == 195


def test_a_stream_that_wakes_is_waited_for_again(watermark: Watermark) -> None:
    watermark.event(CHAT, 60, now_ns=0, origin=DEVICE)
    watermark.event(FACE, 200, now_ns=IDLE_AFTER, origin=DEVICE)
    watermark.event(CHAT, 210, now_ns=IDLE_AFTER + 1, origin=DEVICE)
    watermark.event(FACE, 300, now_ns=IDLE_AFTER + 1, origin=DEVICE)
    assert watermark.advance(IDLE_AFTER + 1) == 205


def test_a_source_that_ends_is_waited_for_no_more_and_the_others_are(watermark: Watermark) -> None:
    watermark.event(("file", "video"), 50, now_ns=0, origin=STORED)
    watermark.event(("file", "audio"), 40, now_ns=0, origin=STORED)
    watermark.event(FACE, 100, now_ns=0, origin=DEVICE)
    watermark.end("file")
    assert watermark.advance(0) == 95
    assert not watermark.ended
    watermark.end("camera")
    assert watermark.ended


def test_a_stream_that_speaks_after_its_end_has_not_ended(watermark: Watermark) -> None:
    watermark.event(FACE, 100, now_ns=0, origin=DEVICE)
    watermark.end("camera")
    watermark.event(FACE, 120, now_ns=1, origin=DEVICE)
    assert not watermark.ended
    assert watermark.advance(1) == 115
