"""Segments of speech: log-mel frames and voice activity.

Problem: emotion in a voice shows over more than a second, and windows overlap. Rule: a segment is two seconds long, and
one begins every second; where windows are too small for that, a segment is one second long. Left out: how the service
cuts a stream into segments, which belongs to alignment.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from models.encoder import Encoder
from models.speech import activity, whisper

HOP_SAMPLES = whisper.SAMPLE_RATE_HZ
"""Samples from one segment's start to the next one's: 1 s."""
SEGMENT_SAMPLES = 2 * HOP_SAMPLES
"""Samples of a segment: 2 s, the length the network was trained on; where windows are too small for that, 1 s."""

_FRAMES_PER_HOP = HOP_SAMPLES // whisper.SAMPLES_PER_FRAME
_FRAMES_PER_TENTH = _FRAMES_PER_HOP // 10


@dataclass(frozen=True, slots=True, eq=False)
class SegmentSound:
    """The sound of one segment, and for how long it is unbroken.

    pcm: (samples,) float32 in -1..1 at 16 kHz, of one second or two. unbroken_s: the mean length of its pieces, which
    whoever put them together knows.
    """

    pcm: npt.NDArray[np.float32]
    unbroken_s: float = math.inf


@dataclass(frozen=True, slots=True)
class SpeechSegment:
    """One segment of sound, ready for the device.

    mel: (80, 100 * seconds) float32 log-mel frames. voiced: (50 * seconds,) bool, per Whisper frame. unbroken_s: as in
    `SegmentSound`. The rest as in `activity.Activity`.
    """

    mel: npt.NDArray[np.float32]
    voiced: npt.NDArray[np.bool_]
    voiced_fraction: float
    level_db: float
    snr_db: float
    unbroken_s: float = math.inf


def prepare_segment(pcm: npt.NDArray[np.float32], voice_activity: activity.VoiceActivity) -> SpeechSegment:
    """Computes a segment's log-mel frames and voice activity.

    pcm: (samples,) float32 in -1..1 at 16 kHz, of one second or two.
    Raises ValueError for another shape or type, or values that are not finite.
    """
    if pcm.shape not in ((HOP_SAMPLES,), (SEGMENT_SAMPLES,)) or pcm.dtype != np.float32:
        wanted = f"({HOP_SAMPLES},) or ({SEGMENT_SAMPLES},) float32"
        raise ValueError(f"speech segment: wanted {wanted}, got {pcm.shape} {pcm.dtype}")
    if not np.isfinite(pcm).all():
        raise ValueError("speech segment: holds samples that are not finite")
    voice = voice_activity(pcm)
    frames = len(pcm) // HOP_SAMPLES * _FRAMES_PER_HOP
    centres = np.arange(frames) * whisper.SAMPLES_PER_FRAME + whisper.SAMPLES_PER_FRAME // 2
    voiced = voice.voiced[centres // activity.FRAME_SAMPLES]
    return SpeechSegment(whisper.log_mel(pcm), voiced, voice.voiced_fraction, voice.level_db, voice.snr_db)


class SegmentEncoder(Encoder):
    """Prepares segments of sound; an encoder of speech adds its network."""

    def __init__(self) -> None:
        self._voice_activity = activity.VoiceActivity()

    def prepare(self, event: npt.NDArray[np.float32] | SegmentSound) -> SpeechSegment:
        """Prepares one segment as `prepare_segment` does."""
        if isinstance(event, SegmentSound):
            return replace(prepare_segment(event.pcm, self._voice_activity), unbroken_s=event.unbroken_s)
        return prepare_segment(event, self._voice_activity)

    def example(self) -> SpeechSegment:
        """Returns two seconds that are voiced throughout."""
        segment = self.prepare(np.zeros(SEGMENT_SAMPLES, np.float32))
        return replace(segment, voiced=np.ones_like(segment.voiced), voiced_fraction=1.0)

    def weight(self, prepared: SpeechSegment) -> float:
        """Returns the voiced fraction."""
        return prepared.voiced_fraction

    def voiced(self, prepared: SpeechSegment) -> list[float]:
        """Returns the voiced share of each tenth of a second."""
        shares: list[float] = prepared.voiced.reshape(-1, _FRAMES_PER_TENTH).mean(axis=1).tolist()
        return shares

    def quality(self, prepared: Sequence[SpeechSegment]) -> dict[str, float]:
        """Returns the level and the signal-to-noise ratio of a segment."""
        return {"level_db": prepared[0].level_db, "snr_db": prepared[0].snr_db} if prepared else {}


def cut_segments(pcm: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
    """Cuts sound into overlapping segments, as the service does; pads with silence.

    pcm: (samples,) float32 at 16 kHz.
    """
    samples = max(SEGMENT_SAMPLES, -(-len(pcm) // HOP_SAMPLES) * HOP_SAMPLES)
    seconds = np.pad(pcm, (0, samples - len(pcm))).reshape(-1, HOP_SAMPLES)
    return list(np.concatenate([seconds[:-1], seconds[1:]], axis=1))
