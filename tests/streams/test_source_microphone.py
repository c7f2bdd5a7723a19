import sys
import threading
from collections import Counter
from collections.abc import Set
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.clock import NS_PER_MS, NS_PER_S, ManualClock
from streams.participants import NamedBy, Participant
from streams.records import Item, Modality, Progress, Record
from streams.sources.base import SourceError
from streams.sources.devices import discovery
from streams.sources.devices.discovery import MicrophoneDevice
from streams.sources.devices.microphone import BlockQueue, Microphone, MicrophoneConfig
from streams.sources.devices.sample_clock import SampleClock
from streams.telemetry import NullTelemetry

pytestmark = pytest.mark.unit

RATE_HZ = 16_000
BLOCK = 1600  # a tenth of a second
FINE, OVERFLOW = SimpleNamespace(input_overflow=False), SimpleNamespace(input_overflow=True)
T0_NS = 1_000 * NS_PER_S


def stamped_ms(arrivals_ms: list[int], gaps: Set[int] = frozenset()) -> list[int | None]:
    """Begin of each block, ms after the first block's begin, for blocks that arrive so; `gaps` are block numbers."""
    times = SampleClock(RATE_HZ)
    stamps: list[int | None] = []
    for number, ms in enumerate(arrivals_ms):
        first_ns = times.accept(BLOCK, T0_NS + ms * NS_PER_MS, after_gap=number in gaps or number == 0)
        stamps.append(None if first_ns is None else (first_ns - T0_NS) // NS_PER_MS + 100)
    return stamps


@pytest.mark.parametrize(
    ("arrivals_ms", "gaps", "begins_ms"),
    [
        pytest.param([0, 100, 200, 300], set(), [0, 100, 200, 300], id="on time"),
        pytest.param([0, 130, 190, 310], set(), [0, 100, 200, 300], id="jitter does not move sound"),
        pytest.param(
            [0, 400, 401, 402, 403, 500], set(), [0, 100, 200, 300, 400, 500], id="a burst is a late delivery"
        ),
        pytest.param([0, 100, 700, 800], {2}, [0, 100, 700, 800], id="a gap leaves its length"),
        pytest.param([0, 100, 120, 220], {2}, [0, 100, 200, 300], id="a gap never moves sound back"),
        pytest.param([0, 100, 1400, 1500], set(), [0, 100, 1400, 1500], id="a pause of a second is a gap"),
        pytest.param([80, 101, 200, 300], set(), [80, 180, 280, 380], id="a late first block"),
        pytest.param([0, 1, 2, 3, 300], set(), [0, 100, None, None, 200], id="what runs ahead of time is refused"),
        pytest.param([0, 1, 2, 3], {1, 2, 3}, [0, 100, None, None], id="a flood with gaps is refused too"),
    ],
)
def test_blocks_are_stamped_by_their_count(arrivals_ms: list[int], gaps: Set[int], begins_ms: list[int | None]) -> None:
    assert stamped_ms(arrivals_ms, gaps) == begins_ms


def test_a_count_that_lags_for_a_second_is_anchored_anew() -> None:
    slow_by_150_ms = [0, *range(250, 2000, 100)]
    stamps = stamped_ms(slow_by_150_ms)
    assert stamps[1:10] == list(range(100, 1000, 100))
    assert stamps[10:13] == [1150, 1250, 1350]


def test_a_wall_clock_that_is_set_back_is_followed() -> None:
    assert stamped_ms([0, 100, -600_000, -599_900]) == [0, 100, -600_000, -599_900]


@given(st.lists(st.tuples(st.integers(0, 3000), st.booleans()), min_size=1, max_size=60))
def test_sound_never_overlaps_and_never_runs_ahead(arrivals: list[tuple[int, bool]]) -> None:
    times = SampleClock(RATE_HZ)
    arrived_ns, end_ns = T0_NS, 0
    for after_ms, after_gap in arrivals:
        arrived_ns += after_ms * NS_PER_MS
        first_ns = times.accept(BLOCK, arrived_ns, after_gap=after_gap)
        if first_ns is not None:
            assert first_ns >= end_ns
            end_ns = first_ns + BLOCK * NS_PER_S // RATE_HZ
            assert times.end_ns == end_ns
            assert end_ns <= arrived_ns + 100 * NS_PER_MS


class Counting(NullTelemetry):
    def __init__(self) -> None:
        self.drops: Counter[str] = Counter()

    def dropped(self, modality: Modality, reason: str, count: int = 1) -> None:
        self.drops[reason] += count


def test_the_callback_copies_since_portaudio_uses_its_buffer_again() -> None:
    blocks = BlockQueue(ManualClock())
    buffer = bytearray(b"ab" * BLOCK)
    blocks.put(memoryview(buffer), BLOCK, None, FINE)
    buffer[:] = bytes(len(buffer))
    block = blocks.get(0)
    assert block is not None
    assert block.pcm == b"ab" * BLOCK


def test_blocks_that_do_not_fit_are_counted_and_the_next_one_knows_of_the_gap() -> None:
    blocks = BlockQueue(ManualClock(), capacity_blocks=2)
    for _ in range(5):
        blocks.put(b"\0\0", 1, None, FINE)
    assert blocks.overflows == 3
    first, second = blocks.get(0), blocks.get(0)
    blocks.put(b"\0\0", 1, None, FINE)
    third = blocks.get(0)
    assert [block.after_gap for block in (first, second, third) if block] == [True, False, True]
    assert blocks.get(0) is None


def test_what_portaudio_lost_is_counted_and_is_a_gap() -> None:
    blocks = BlockQueue(ManualClock())
    blocks.put(b"\0\0", 1, None, FINE)
    blocks.put(b"\0\0", 1, None, OVERFLOW)
    _, second = blocks.get(0), blocks.get(0)
    assert blocks.overflows == 1
    assert second is not None
    assert second.after_gap


class FakeStream:
    """Delivers its blocks when started; `active` until they are all there, if it is to vanish."""

    def __init__(self, vanishes: bool, deliver: Any, **options: Any) -> None:
        self.options = options
        self.active = not vanishes
        self._deliver = deliver
        self.closed = False

    def start(self) -> None:
        self._deliver(self.options["callback"])

    def close(self, ignore_errors: bool) -> None:
        self.closed = True


def fake_sounddevice(monkeypatch: pytest.MonkeyPatch, deliver: Any = None, vanishes: bool = False) -> Any:
    """A PortAudio with one microphone that prefers 44.1 kHz."""

    class PortAudioError(Exception):
        pass

    device = {"index": 3, "name": "USB mic", "max_input_channels": 2, "default_samplerate": 44_100.0, "hostapi": 0}
    module = SimpleNamespace(PortAudioError=PortAudioError, streams=[], listings=0)

    def query_devices(wanted: Any = "all", kind: str | None = None) -> Any:
        if wanted == "all":
            return [device, {"index": 4, "name": "speakers", "max_input_channels": 0}]
        if wanted in (None, 3, "USB"):
            return device
        raise ValueError(f"No input device matching {wanted!r}")

    def open_stream(**options: Any) -> FakeStream:
        if options["channels"] > 2:
            raise PortAudioError("Invalid number of channels")
        module.streams.append(FakeStream(vanishes, deliver or (lambda callback: None), **options))
        return module.streams[-1]  # type: ignore[no-any-return]

    def initialize() -> None:
        module.listings += 1

    module.query_devices, module.RawInputStream = query_devices, open_stream
    module.default = SimpleNamespace(device=(3, 4))
    module.query_hostapis = lambda: [{"name": "ALSA"}]
    module._initialize, module._terminate = initialize, lambda: None
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    return module


def microphone(clock: ManualClock, telemetry: NullTelemetry | None = None, **options: Any) -> Microphone:
    return Microphone(MicrophoneConfig("room", **options), clock, telemetry or NullTelemetry())


def read_items(mic: Microphone, count: int) -> list[Item]:
    stop = threading.Event()
    items: list[Item] = []

    def emit(item: Item) -> None:
        items.append(item)
        if len(items) == count:
            stop.set()

    mic.read(emit, stop)
    return items


def test_sound_is_handed_on_in_tenths_of_a_second_with_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock()
    start_ns = clock.wall_ns()

    def deliver(callback: Any) -> None:
        for _ in range(4):
            clock.advance(0.1)
            callback(b"\1\0" * BLOCK, BLOCK, None, FINE)

    module = fake_sounddevice(monkeypatch, deliver)
    mic = microphone(clock, rate_hz=RATE_HZ)
    mic.open()
    items = read_items(mic, 6)
    mic.close()
    records = [item for item in items if isinstance(item, Record)]
    assert [record.event_time_ns - start_ns for record in records] == [ms * NS_PER_MS for ms in (0, 100, 200, 300)]
    assert {record.content_type for record in records} == {"audio/L16;rate=16000;channels=1"}
    assert items[1] == Progress("room", Modality.AUDIO, start_ns + 100 * NS_PER_MS)
    assert module.streams[0].options["blocksize"] == BLOCK
    assert module.streams[0].closed


def test_the_device_is_asked_for_its_own_rate_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    module = fake_sounddevice(monkeypatch)
    mic = microphone(ManualClock(), device="USB")
    mic.open()
    mic.close()
    options = module.streams[0].options
    assert (options["samplerate"], options["device"], options["dtype"]) == (44_100, 3, "int16")


def test_a_flood_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock()
    telemetry = Counting()

    def flood(callback: Any) -> None:
        for _ in range(100):
            callback(b"\0\0" * BLOCK, BLOCK, None, FINE)
        clock.advance(0.2)

    fake_sounddevice(monkeypatch, flood, vanishes=False)
    mic = microphone(clock, telemetry, rate_hz=RATE_HZ)
    mic.open()
    stop = threading.Event()
    items: list[Item] = []
    reader = threading.Thread(target=mic.read, args=(items.append, stop))
    reader.start()
    while mic._blocks._blocks.qsize():
        stop.wait(0.01)
    stop.set()
    reader.join(10)
    mic.close()
    assert telemetry.drops["overflow"] == 50
    assert telemetry.drops["ahead_of_clock"] == 48
    assert len([item for item in items if isinstance(item, Record)]) == 2


def test_a_microphone_that_is_pulled_out_is_a_fault_naming_it(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_sounddevice(monkeypatch, vanishes=True)
    mic = microphone(ManualClock())
    mic.open()
    with pytest.raises(SourceError, match="microphone default: gives no more sound"):
        mic.read(lambda item: None, threading.Event())
    mic.close()


def test_a_missing_microphone_is_named_with_those_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_sounddevice(monkeypatch)
    with pytest.raises(SourceError, match=r"microphone Sennheiser: there is no such device .*microphones: 3 USB mic$"):
        microphone(ManualClock(), device="Sennheiser").open()


def test_a_form_that_the_device_does_not_have_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_sounddevice(monkeypatch)
    mic = microphone(ManualClock(), channels=8)
    with pytest.raises(SourceError, match="cannot be opened at 44100 Hz, 8 channels: Invalid number"):
        mic.open()
    mic.close()


def test_devices_are_listed_anew_only_while_no_stream_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    module = fake_sounddevice(monkeypatch)
    first, second = microphone(ManualClock()), microphone(ManualClock())
    first.open()
    second.open()
    assert module.listings == 1
    first.close()
    second.close()
    first.open()
    first.close()
    assert module.listings == 2


def test_microphones_are_listed_with_their_form_and_without_the_speakers(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_sounddevice(monkeypatch)
    assert discovery.microphones() == [MicrophoneDevice(3, "USB mic", "ALSA", 2, 44_100, is_default=True)]


def test_a_missing_portaudio_says_which_package_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoLibrary:
        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [NoLibrary(), *sys.meta_path])
    with pytest.raises(SourceError, match=r"libportaudio2.*PortAudio library not found"):
        microphone(ManualClock()).open()


def test_sound_is_of_the_participant_and_the_channels_that_are_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, ann = ManualClock(), Participant("ann", NamedBy.CONFIG)

    def deliver(callback: Any) -> None:
        clock.advance(0.1)
        callback(b"\1\0" * 2 * BLOCK, BLOCK, None, FINE)

    fake_sounddevice(monkeypatch, deliver)
    for named, said in (
        ({"participant": ann}, (ann, ())),
        ({"channels": 2, "channel_names": ("agent", "customer")}, (None, ("agent", "customer"))),
    ):
        mic = microphone(clock, rate_hz=RATE_HZ, **named)
        mic.open()
        [record] = [item for item in read_items(mic, 1) if isinstance(item, Record)]
        mic.close()
        assert (record.participant, record.channels) == said
