"""Configures which windows a session has and what lies in them."""

from dataclasses import dataclass

from streams.alignment.assembly import Assembler, FrameSampler, Instants, SoundSegmenter
from streams.alignment.watermark import WatermarkConfig
from streams.alignment.windows import SegmentGrid, WindowGrid
from streams.clock import NS_PER_S
from streams.participants import EVERYBODY, ParticipantRules
from streams.records import Modality
from streams.speech.session_speech import SpeechConfig
from streams.telemetry import Telemetry

SEGMENTS = SegmentGrid(NS_PER_S, NS_PER_S)
"""Default segments of sound: seconds, one after the other."""


@dataclass(frozen=True, slots=True)
class TimelineConfig:
    """Windows, watermark, grace, sampling and lookback of every session.

    ValueError where grace or the sampling rate is out of range, sound would lie in no window, or the lookback is not
    whole steps.
    """

    grid: WindowGrid
    watermark: WatermarkConfig
    grace_ns: int = 0
    sample_hz: float = 5.0
    segments: SegmentGrid = SEGMENTS
    lookback_ns: int = 0
    """How far before its own start a window's lookback reaches: whole steps."""
    speech: SpeechConfig | None = None
    """How speech becomes words; None where it is not transcribed."""
    participants: ParticipantRules = EVERYBODY
    modalities: frozenset[Modality] = frozenset(Modality)
    """What is scored; events of the others are masked."""

    def __post_init__(self) -> None:
        if self.grace_ns < 0 or self.sample_hz <= 0:
            raise ValueError(f"grace and sampling rate are not below 0 ({self.grace_ns} ns, {self.sample_hz} Hz)")
        if not self.grid.covers_every(self.segments):
            raise ValueError(f"sound would be missed: some {self.segments} lie in no window of {self.grid}")
        if self.lookback_ns < 0 or self.lookback_ns % self.grid.step_ns:
            raise ValueError(f"a lookback is whole steps of {self.grid.step_ns} ns, not {self.lookback_ns} ns")

    @property
    def lookback_windows(self) -> int:
        """Number of windows in a window's lookback."""
        return self.lookback_ns // self.grid.step_ns

    def assembler(self, modality: Modality, telemetry: Telemetry) -> Assembler:
        """Makes an assembler for one modality of a session."""
        match modality:
            case Modality.VIDEO:
                return FrameSampler(self.sample_hz, telemetry)
            case Modality.AUDIO:
                return SoundSegmenter(self.segments, telemetry)
            case Modality.TEXT | Modality.SIGNALS:
                return Instants()
