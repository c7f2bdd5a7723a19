"""Microphone read through PortAudio, in records of a tenth of a second.

Sound is s16le. Problem: PortAudio's callback runs under a deadline, and what it misses is lost.
Rule: the callback only copies into a bounded queue. What does not fit, or what PortAudio lost, is counted and leaves a
gap in event time (`sample_clock`); sound that is there is never moved. A microphone that delivers nothing for three
seconds, not even silence, is gone.
Left out: resampling and downmixing, which decoding does.
"""

import queue
import threading
from dataclasses import dataclass
from typing import Any, NamedTuple

from streams.clock import Clock
from streams.participants import Participant
from streams.reasons import DropReason
from streams.records import Modality, Progress, Record
from streams.sources.base import Emit, SourceError
from streams.sources.devices import portaudio
from streams.sources.devices.sample_clock import SampleClock
from streams.sources.sampler import Sampler
from streams.telemetry import Telemetry

_BLOCK_S = 0.1
_QUEUED_BLOCKS = 50  # five seconds: longer than any pause of a healthy service, 160 kB at 16 kHz
_GONE_AFTER_S = 3.0
_PROGRESS_HZ = 5.0
_SAMPLE_BYTES = 2


@dataclass(frozen=True, slots=True)
class MicrophoneConfig:
    """Settings of a microphone.

    `device`: "default", a number, or part of a name (see `affectd devices`). `rate_hz`: None is the device's own.
    """

    session: str
    device: str = "default"
    rate_hz: int | None = None
    channels: int = 1
    name: str = "microphone"
    """Of the source, in metrics and logs; faults name the device too."""
    participant: Participant | None = None
    """Whose sound it takes."""
    channel_names: tuple[str, ...] = ()
    """Whose sound each channel takes."""


class _Block(NamedTuple):
    pcm: bytes
    arrived_ns: int
    after_gap: bool


class BlockQueue:
    """Bounded queue from PortAudio's thread (`put`) to the source's (`get`)."""

    def __init__(self, clock: Clock, capacity_blocks: int = _QUEUED_BLOCKS) -> None:
        self._clock = clock
        self._capacity_blocks = capacity_blocks
        self._blocks: queue.SimpleQueue[_Block] = queue.SimpleQueue()
        self._gap = True
        self.overflows = 0
        """Blocks that did not fit and losses that PortAudio reported; written by PortAudio's thread alone."""

    def put(self, indata: Any, frames: int, time_info: Any, status: Any) -> None:
        """PortAudio's callback: copies, and does nothing else."""
        if status.input_overflow:
            self.overflows += 1
            self._gap = True
        if self._blocks.qsize() >= self._capacity_blocks:
            self.overflows += 1
            self._gap = True
            return
        self._blocks.put(_Block(bytes(indata), self._clock.wall_ns(), self._gap))
        self._gap = False

    def get(self, timeout_s: float) -> _Block | None:
        """The next block; None if there is none within `timeout_s`."""
        try:
            return self._blocks.get(timeout=timeout_s)
        except queue.Empty:
            return None


class Microphone:
    """Live source of one session's sound.

    Owned by its runner's thread, except for the callback in `BlockQueue`.
    """

    live = True
    modalities = frozenset({Modality.AUDIO})

    def __init__(self, config: MicrophoneConfig, clock: Clock, telemetry: Telemetry) -> None:
        self.name = config.name
        self._device = f"microphone {config.device}"
        self._config = config
        self._clock = clock
        self._telemetry = telemetry
        self._stream: Any = None
        self._rate_hz = 0
        self._blocks = BlockQueue(clock)

    def open(self) -> None:
        with portaudio.refreshed_devices() as sounddevice:
            device = self._found_device(sounddevice)
            self._rate_hz = self._config.rate_hz or int(device["default_samplerate"])
            self._blocks = BlockQueue(self._clock)
            try:
                self._stream = sounddevice.RawInputStream(
                    samplerate=self._rate_hz,
                    blocksize=round(self._rate_hz * _BLOCK_S),
                    device=device["index"],
                    channels=self._config.channels,
                    dtype="int16",
                    callback=self._blocks.put,
                )
                portaudio.stream_opened()
                self._stream.start()
            except (sounddevice.PortAudioError, ValueError) as error:
                form = f"{self._rate_hz} Hz, {self._config.channels} channels"
                raise SourceError(f"{self._device}: cannot be opened at {form}: {error}") from error

    def read(self, emit: Emit, stop: threading.Event) -> None:
        times = SampleClock(self._rate_hz)
        progress = Sampler(_PROGRESS_HZ)
        overflows = 0
        while not stop.is_set():
            block = self._next_block(stop)
            if block is None:
                return
            if self._blocks.overflows > overflows:
                self._telemetry.dropped(Modality.AUDIO, DropReason.OVERFLOW, self._blocks.overflows - overflows)
                overflows = self._blocks.overflows
            samples = len(block.pcm) // (_SAMPLE_BYTES * self._config.channels)
            first_ns = times.accept(samples, block.arrived_ns, after_gap=block.after_gap)
            if first_ns is None:
                self._telemetry.dropped(Modality.AUDIO, DropReason.AHEAD_OF_CLOCK)
                continue
            emit(self._record(block, first_ns))
            if progress.takes(times.end_ns):
                emit(Progress(self._config.session, Modality.AUDIO, times.end_ns))

    def close(self) -> None:
        if self._stream is not None:
            stream, self._stream = self._stream, None
            stream.close(ignore_errors=True)
            portaudio.stream_closed()

    def _next_block(self, stop: threading.Event) -> _Block | None:
        """The next block; None on stop; SourceError when the device is gone."""
        waited_s = 0.0
        while waited_s < _GONE_AFTER_S and self._stream.active and not stop.is_set():
            block = self._blocks.get(_BLOCK_S * 2)
            if block is not None:
                return block
            waited_s += _BLOCK_S * 2
        if stop.is_set():
            return None
        raise SourceError(f"{self._device}: gives no more sound")

    def _record(self, block: _Block, first_ns: int) -> Record:
        content_type = f"audio/L16;rate={self._rate_hz};channels={self._config.channels}"
        config = self._config
        return Record(
            config.session,
            Modality.AUDIO,
            content_type,
            block.pcm,
            first_ns,
            block.arrived_ns,
            participant=config.participant,
            channels=config.channel_names,
        )

    def _found_device(self, sounddevice: Any) -> Any:
        wanted: int | str | None = self._config.device
        if wanted == "default":
            wanted = None
        elif self._config.device.isdigit():
            wanted = int(self._config.device)
        try:
            device = sounddevice.query_devices(wanted, "input")
        except (sounddevice.PortAudioError, ValueError) as error:
            named = [f"{d['index']} {d['name']}" for d in sounddevice.query_devices() if d["max_input_channels"] > 0]
            there = ", ".join(named) or "there are none"
            raise SourceError(f"{self._device}: there is no such device ({error}); microphones: {there}") from error
        return device
