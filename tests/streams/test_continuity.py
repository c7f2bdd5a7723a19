"""A continuous sound comes out whole, however its frames are stamped and sent; what is missing stays missing."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from streams.alignment.assembly import FOREVER_NS, SoundSegmenter
from streams.alignment.continuity import coverage, dejitter
from streams.alignment.windows import SegmentGrid
from streams.clock import NS_PER_MS, NS_PER_S
from streams.coordinates import Coordinates, Partition
from streams.decoding.sound import RATE_HZ, render_segment
from streams.events import EncodingUnit, Event, Sound, SoundPieces
from streams.records import Modality, Record
from tests.streams.making import Counts, ns, span_ns

pytestmark = pytest.mark.unit

PAIRS = SegmentGrid(NS_PER_S * 2, NS_PER_S)
SECONDS = 8
VOICE = (np.random.default_rng(5).uniform(-1, 1, SECONDS * RATE_HZ) * 20_000).astype(np.int16)
RANDOM = np.random.default_rng(6)


class Faults(Counts):
    def discontinuity(self, fault: str) -> None:
        self.of["sound", fault] += 1


def frames(length_s: float = 0.02, rate_hz: int = RATE_HZ) -> list[Event]:
    """The voice in frames, stamped exactly, as they are read of a log in the order in which they were written."""
    length = round(length_s * rate_hz)
    return [
        Event(
            session="room",
            modality=Modality.AUDIO,
            time_ns=ns(0) + first * NS_PER_S // rate_hz,
            duration_ns=length * NS_PER_S // rate_hz,
            received_ns=0,
            payload=Sound(VOICE[first : first + length], rate_hz),
            record=Record(
                "room",
                Modality.AUDIO,
                "audio/L16",
                b"",
                0,
                0,
                coordinates=Coordinates(Partition("audio", 0), first // length, 0),
            ),
        )
        for first in range(0, len(VOICE) - length + 1, length)
    ]


def stamped(events: Iterable[Event], stamp_ns: Callable[[int, int], int]) -> list[Event]:
    """The same with other stamps; stamp_ns: of the frame's place and its right stamp, from the start of the voice."""
    return [replace(e, time_ns=ns(0) + stamp_ns(at, e.time_ns - ns(0))) for at, e in enumerate(events)]


def numbered(events: Iterable[Event], first: int = 0, most: int = 2**31) -> list[Event]:
    return [replace(event, sequence=(first + at) % most, record=None) for at, event in enumerate(events)]


def segments(events: Iterable[Event], counts: Faults | None = None) -> list[EncodingUnit]:
    segmenter = SoundSegmenter(PAIRS, counts or Faults())
    for event in events:
        segmenter.add(event)
    return segmenter.release(FOREVER_NS)


def heard(unit: EncodingUnit) -> NDArray[np.float32]:
    assert isinstance(unit.payload, SoundPieces)
    return render_segment(unit.payload, unit.start_ns, unit.end_ns)


def share_of_voice(unit: EncodingUnit, most_shift_s: float) -> float:
    """How much of a segment is the voice itself in one piece, moved by at most so much."""
    sound, first = heard(unit), (unit.start_ns - ns(0)) * RATE_HZ // NS_PER_S
    most = round(most_shift_s * RATE_HZ)
    right = np.zeros(len(sound) + 2 * most, np.float32)
    begin, end = max(0, first - most), min(len(VOICE), first + len(sound) + most)
    right[begin - first + most : end - first + most] = VOICE[begin:end] / np.float32(32_768)
    spectrum = np.fft.rfft(right, 2 * len(right)) * np.conj(np.fft.rfft(sound, 2 * len(right)))
    shift = int(np.fft.irfft(spectrum)[: 2 * most + 1].argmax())
    return float(np.isclose(sound, right[shift : shift + len(sound)], atol=1e-6).mean())


JITTER_NS = [round(x) for x in RANDOM.uniform(-15, 15, 1_000) * NS_PER_MS]
LENGTH_NS = 20 * NS_PER_MS


@pytest.mark.parametrize(
    ("length_s", "stamp_ns", "share"),
    [
        pytest.param(0.02, lambda at, right_ns: right_ns + JITTER_NS[at] * 8 // 15, 0.98, id="8 ms of jitter"),
        pytest.param(0.02, lambda at, right_ns: right_ns + JITTER_NS[at], 0.97, id="15 ms of jitter"),
        pytest.param(0.01, lambda at, right_ns: right_ns + JITTER_NS[at], 0.97, id="15 ms of jitter, 10 ms frames"),
        pytest.param(0.1, lambda at, right_ns: right_ns + JITTER_NS[at], 0.97, id="15 ms of jitter, 100 ms frames"),
        pytest.param(0.02, lambda at, _: at // 3 * 3 * LENGTH_NS, 0.97, id="three at a time, one stamp"),
        pytest.param(0.02, lambda at, _: at // 5 * 5 * LENGTH_NS, 0.95, id="five at a time, one stamp"),
        pytest.param(0.02, lambda at, _: at // 5 * 5 * LENGTH_NS + at % 5 * 50_000, 0.95, id="five within a moment"),
        pytest.param(0.02, lambda at, _: (at // 5 + 1) * 5 * LENGTH_NS, 0.9, id="five when the last is there"),
        pytest.param(1024 / 48_000, lambda at, right_ns: right_ns // NS_PER_MS * NS_PER_MS, 0.99, id="milliseconds"),
        pytest.param(0.02, lambda at, right_ns: right_ns // NS_PER_S * NS_PER_S, 0.95, id="whole seconds"),
        pytest.param(0.02, lambda at, right_ns: right_ns * 1_010 // 1_000, 0.97, id="a clock 1 % slow"),
        pytest.param(0.02, lambda at, right_ns: right_ns * 990 // 1_000, 0.97, id="a clock 1 % fast"),
        pytest.param(0.02, lambda at, right_ns: right_ns * 10_001 // 10_000, 0.99, id="a clock 100 ppm slow"),
        pytest.param(0.02, lambda at, right_ns: right_ns - (right_ns > 3 * NS_PER_S) * 60 * NS_PER_MS, 0.95, id="set"),
    ],
)
@pytest.mark.parametrize("numbers", [False, True], ids=["by offset", "by number"])
def test_frames_that_follow_one_another_come_out_whole_whatever_their_stamps(
    length_s: float, stamp_ns: Callable[[int, int], int], share: float, numbers: bool
) -> None:
    events = stamped(frames(length_s), stamp_ns)
    units = segments(numbered(events) if numbers else events)
    whole = [unit for unit in units if ns(1) <= unit.start_ns and unit.end_ns <= ns(SECONDS - 1)]
    assert len(whole) >= 4
    for unit in whole:
        assert share_of_voice(unit, 0.2) >= share
        assert unit.received_fraction >= share - 0.01
        assert unit.unbroken_s > 1.8


def test_frames_stamped_exactly_come_out_bit_for_bit() -> None:
    for unit in segments(frames()):
        first = (unit.start_ns - ns(0)) * RATE_HZ // NS_PER_S
        right = np.zeros(2 * RATE_HZ, np.float32)
        begin, end = max(0, first), min(len(VOICE), first + 2 * RATE_HZ)
        right[begin - first : end - first] = VOICE[begin:end] / np.float32(32_768)
        assert np.array_equal(heard(unit), right)


@pytest.mark.parametrize("numbers", [False, True])
def test_any_arrival_gives_the_same_sound(numbers: bool) -> None:
    events = stamped(frames(), lambda at, right_ns: right_ns + JITTER_NS[at])
    events = numbered(events) if numbers else events
    shuffled = [events[at] for at in np.random.default_rng(1).permutation(len(events))]
    for one, other in zip(segments(events), segments(shuffled), strict=True):
        assert np.array_equal(heard(one), heard(other))
        assert one.received_fraction == other.received_fraction


def test_whoever_begins_to_read_before_a_segment_makes_the_same_of_it() -> None:
    events = stamped(frames(), lambda at, right_ns: right_ns + JITTER_NS[at])
    later = segments(event for event in events if event.time_ns + event.duration_ns > ns(3))
    found = {unit.start_ns: heard(unit) for unit in later}
    for unit in segments(events):
        if unit.start_ns >= ns(3):
            assert np.array_equal(found[unit.start_ns], heard(unit))


@pytest.mark.parametrize("jitter_share", [0, 1])
def test_a_pause_of_the_sender_stays_a_pause(jitter_share: int) -> None:
    """Silence suppression: of every second the last 400 ms are not sent."""
    spoken = [e for e in numbered(frames()) if (e.time_ns - ns(0)) % NS_PER_S < span_ns(0.6)]
    counts = Faults()
    units = segments(stamped(spoken, lambda at, right_ns: right_ns + JITTER_NS[at] * jitter_share), counts)
    for unit in units[1:-1]:
        assert unit.received_fraction == pytest.approx(0.6, abs=0.02)
        sound, edge = heard(unit), round(0.05 * RATE_HZ)
        for second in range(2):
            at = second * RATE_HZ
            assert sound[at + edge : at + round(0.6 * RATE_HZ) - edge].any()
            assert not sound[at + round(0.6 * RATE_HZ) + edge : at + RATE_HZ - edge].any()
    assert counts.of["sound", "gap"] == pytest.approx(SECONDS, abs=2)


def test_frames_out_of_order_are_heard_in_the_order_of_their_stamps() -> None:
    events = frames()
    for at in range(0, len(events) - 1, 2):
        first, second = events[at].record, events[at + 1].record
        events[at], events[at + 1] = replace(events[at], record=second), replace(events[at + 1], record=first)
    assert all(share_of_voice(unit, 0) == 1 for unit in segments(events)[1:-1])


def test_frames_out_of_order_with_jitter_are_heard_in_the_order_of_their_numbers() -> None:
    events = numbered(stamped(frames(), lambda at, right_ns: right_ns + 2 * JITTER_NS[at]))
    assert all(share_of_voice(unit, 0.2) > 0.95 for unit in segments(events)[1:-2])


@pytest.mark.parametrize("first", [2**16 - 200, 2**32 - 200])
def test_numbers_may_wrap(first: int) -> None:
    wrap = 2**16 if first < 2**16 else 2**32
    events = stamped(frames(), lambda at, right_ns: right_ns + JITTER_NS[at])
    assert all(share_of_voice(unit, 0.2) > 0.96 for unit in segments(numbered(events, first, wrap))[1:-2])


def test_numbers_may_begin_anew() -> None:
    events = numbered(stamped(frames(), lambda at, right_ns: right_ns + JITTER_NS[at]))
    events[200:] = numbered(events[200:])
    assert all(share_of_voice(unit, 0.2) > 0.96 for unit in segments(events)[1:-2])


@pytest.mark.parametrize("numbers", [False, True])
def test_frames_sent_twice_are_heard_once_and_counted(numbers: bool) -> None:
    events = numbered(frames()) if numbers else frames()
    again = [replace(e, time_ns=e.time_ns + numbers * span_ns(0.01)) for e in events[100:110]]
    counts = Faults()
    units = segments([*events, *again], counts)
    assert all(share_of_voice(unit, 0) == 1 for unit in units[1:-1])
    assert counts.of["sound", "repeat"] == 10
    assert not counts.of["sound", "overlap"]


def test_sound_that_was_lost_stays_missing_and_shows_how_broken_it_is() -> None:
    kept = [event for at, event in enumerate(frames()) if at % 3 == 0]
    for unit in segments(kept)[1:-1]:
        assert unit.received_fraction == pytest.approx(0.33, abs=0.02)
        assert unit.unbroken_s == pytest.approx(0.02)


def test_sound_is_heard_where_it_was_laid_between_losses_too() -> None:
    arrived = RANDOM.random(1_000) > 0.1
    events = stamped(frames(), lambda at, right_ns: right_ns + JITTER_NS[at])
    for unit in segments(event for at, event in enumerate(events) if arrived[at]):
        assert isinstance(unit.payload, SoundPieces)
        laid = np.zeros(2 * RATE_HZ, bool)
        for start_ns, piece in unit.payload.pieces:
            first = round((start_ns - unit.start_ns) * RATE_HZ / NS_PER_S)
            laid[max(0, first) : max(0, first + len(piece.samples))] = True
        assert np.count_nonzero((heard(unit) != 0) != laid) <= len(unit.payload.pieces)  # samples of silence, rounding


def test_two_sounds_sent_as_one_lie_where_their_stamps_say_and_are_counted() -> None:
    counts = Faults()
    voices = [(event, event.payload) for event in frames() if isinstance(event.payload, Sound)]
    both = [e for event, sound in voices for e in (event, replace(event, payload=Sound(-sound.samples, RATE_HZ)))]
    units = segments(both, counts)
    assert counts.of["sound", "overlap"] > 300
    assert units[2].received_fraction == pytest.approx(1)


@pytest.mark.parametrize("length_s", [0.01, 0.02, 0.03])
def test_a_sound_may_change_between_mono_and_stereo_with_every_frame(length_s: float) -> None:
    events = frames(length_s)
    for at in range(1, len(events), 2):
        first = (events[at].time_ns - ns(0)) * RATE_HZ // NS_PER_S
        stereo = np.stack([VOICE[first : first + round(length_s * RATE_HZ)]] * 2, axis=1)
        events[at] = replace(events[at], payload=Sound(stereo, RATE_HZ))
    counts = Faults()
    for unit in segments(events, counts):
        first = (unit.start_ns - ns(0)) * RATE_HZ // NS_PER_S
        right = np.zeros(2 * RATE_HZ, np.float32)
        voice = VOICE[max(0, first) : first + 2 * RATE_HZ] / np.float32(32_768)
        right[max(0, -first) : max(0, -first) + len(voice)] = voice
        assert np.isclose(heard(unit), right, atol=0.01).mean() > 0.98
    assert not counts.of


def test_a_rate_of_its_own_is_laid_by_itself() -> None:
    voice = [(e.time_ns, e.payload) for e in frames() if isinstance(e.payload, Sound)]
    other = [(time_ns, Sound(sound.samples, 8_000)) for time_ns, sound in voice[::2]]
    assert dejitter(sorted(voice + other, key=lambda piece: piece[0])).faults == {}


def test_the_unbroken_stretch_is_that_of_the_mean_instant() -> None:
    pieces = [(ns(0), Sound(VOICE[: RATE_HZ // 2], RATE_HZ)), (ns(1), Sound(VOICE[: RATE_HZ // 10], RATE_HZ))]
    found = coverage(pieces, ns(0), ns(2))
    assert found.fraction == pytest.approx(0.3)
    assert found.unbroken_s == pytest.approx((0.5 * 0.5 + 0.1 * 0.1) / 0.6)
