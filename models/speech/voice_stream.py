"""Voice activity of a stream, block by block.

By Silero VAD (Silero Team, 2021), whose state goes from frame to frame.

Problem: an instance that takes over a stream in the middle must find the same voice as the one before, though it has no
state of it. Rule: at every 16th block of the event-time grid (4.1 s) the state begins anew, from the second of sound
before it; in between it is kept. So voice depends on the sound of the last 20 blocks at most. After a block that is
missing or silent the state begins at zero. Left out: which frames are speech (hysteresis, pauses), which is
`streams.speech.utterances`.
"""

from collections import deque

import numpy as np
import numpy.typing as npt

from models.speech import activity
from models.speech.activity import FRAME_SAMPLES

BLOCK_FRAMES = 8
BLOCK_SAMPLES = BLOCK_FRAMES * FRAME_SAMPLES
"""Samples of a block: 256 ms at 16 kHz."""

_ANCHOR_BLOCKS = 16
_WARM_UP_BLOCKS = 4
REACH_BLOCKS = _ANCHOR_BLOCKS + _WARM_UP_BLOCKS
"""Voice in a block depends on so many blocks before it, at most."""

_CONTEXT_SAMPLES = 64
_STATE_SHAPE = (1, 1, 128)

FloatArray = npt.NDArray[np.float32]


class VoiceStream:
    """Voice activity of one stream.

    Used by one thread at a time; no lock.
    """

    def __init__(self) -> None:
        """Raises UntrustedFileError when the package's network is another than expected."""
        self._session = activity.load_network().session
        self._last: int | None = None
        self._recent: deque[FloatArray] = deque(maxlen=_WARM_UP_BLOCKS)
        """The blocks before, without a gap."""
        self._reset()

    def __call__(self, index: int, pcm: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Returns each frame's probability of voice, and its level.

        Both are (8,): 0..1, and dB full scale. index: of the block on the grid, above those before. pcm: (4096,)
        float32 in -1..1 at 16 kHz. Raises ValueError for another shape.
        """
        if pcm.shape != (BLOCK_SAMPLES,) or pcm.dtype != np.float32:
            raise ValueError(f"voice activity: wanted ({BLOCK_SAMPLES},) float32, got {pcm.shape} {pcm.dtype}")
        level_db = activity.levels_db(pcm).astype(np.float32)
        loud = level_db > activity.SILENCE_DB
        if not loud.any():  # as of a microphone that is switched off
            self._last = None
            return np.zeros_like(level_db), level_db
        if self._last is None or index != self._last + 1:
            self._recent.clear()
            self._reset()
        elif index % _ANCHOR_BLOCKS == 0:
            self._reset()
            if self._recent:
                self._run(np.concatenate(self._recent))
        self._last = index
        self._recent.append(pcm)
        return np.where(loud, self._run(pcm), np.float32(0)), level_db

    def _reset(self) -> None:
        self._h = self._c = np.zeros(_STATE_SHAPE, np.float32)
        self._context = np.zeros(_CONTEXT_SAMPLES, np.float32)

    def _run(self, pcm: FloatArray) -> FloatArray:
        """(frames,) probabilities; moves the state on."""
        frames = pcm.reshape(-1, FRAME_SAMPLES)
        ends = frames[:, -_CONTEXT_SAMPLES:]
        before = np.concatenate([self._context[None], ends[:-1]])
        inputs = {"input": np.concatenate([before, frames], axis=1), "h": self._h, "c": self._c}
        probability, self._h, self._c = self._session.run(None, inputs)
        self._context = ends[-1]
        return np.asarray(probability, np.float32).ravel()
