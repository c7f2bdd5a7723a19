"""The scoring engine: prepares and encodes units, and fuses windows.

A unit is encoded once; windows are fused from the features of their units; both in batches.

Lanes, in the order they are served: `fuse` (a window is due, and cheap), then `text`, `audio` and `video` (encoders).
`transcribe` has a thread of its own: CTranslate2 computes beside torch, and an utterance takes as long as many units.
Results leave by callback: the timeline learns that a unit is encoded, the publisher gets the scored window.

Where scores are smoothed, the windows before a window are fused beside it, from the same units. No score is kept
from one window to the next, so that any instance scores a window the same.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from daemon.scoring.batching import BatchLane, DeviceRequest, DeviceThread
from daemon.scoring.features import NOT_FINITE, encode_units, window_features
from daemon.scoring.preparation import PreparationPool, Preparer, worker_count
from daemon.scoring.results import LANES, BadRow, ScoredWindow
from daemon.scoring.transcription import QueuedUtterance, Transcriber
from daemon.telemetry.instruments import Instruments
from models.fusion.smoothed_scores import smoothed
from models.fusion.smoothing import Smoothing
from models.model import AffectModel
from models.scores import Scores
from streams.alignment.closed_window import ClosedWindow
from streams.clock import NS_PER_MS
from streams.deadline import Deadline
from streams.delivery.crash_journal import CrashJournal
from streams.events import EncodingUnit, Task
from streams.records import Modality

_FUSE_DELAY_SHARE = 0.25  # of the encoders' delay: fusion is the last step, and windows of a step close together
_SERVED_FIRST = (Modality.TEXT, Modality.AUDIO, Modality.VIDEO)
_MOST_UTTERANCES = 8  # of one call: more gain little, and keep the first ones waiting


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """The limits of a batch.

    max_rows: of one device call. max_delay_s: how long a row waits for others.
    """

    max_rows: int
    max_delay_s: float


@dataclass(frozen=True, slots=True)
class Lookback:
    """The preceding windows of the grid that a window is smoothed by.

    windows: how many. step_ns: between them. smoothing: their weights.
    """

    windows: int
    step_ns: int
    smoothing: Smoothing


class ScoringEngine:
    """Implements `daemon.scoring.pipeline.Engine`.

    Its methods may be called from any thread and never block.
    """

    def __init__(
        self,
        model: AffectModel,
        preparer: Preparer,
        limits: BatchLimits,
        encoded: Callable[[EncodingUnit], None],
        scored: Callable[[ScoredWindow], None],
        instruments: Instruments,
        lookback: Lookback | None = None,
        crash_journal: CrashJournal | None = None,
        transcriber: Transcriber | None = None,
    ) -> None:
        """encoded, scored: called on engine threads; must not block.

        lookback: what the timeline's windows are smoothed by; None where they are not smoothed. crash_journal:
        notes the records in work. transcriber: None where speech is not transcribed.
        """
        self._model = model
        self._lookback = lookback
        self._scored = scored
        self._clock = instruments.clock
        max_rows, max_delay_s = limits.max_rows, limits.max_delay_s
        fuse = BatchLane("fuse", "fuse", self._fuse, max_rows, max_delay_s * _FUSE_DELAY_SHARE)
        encoders = [(modality, model.encoders[modality]) for modality in _SERVED_FIRST]
        lanes = [
            BatchLane(modality, "encode", partial(encode_units, encoder), max_rows, max_delay_s)
            for modality, encoder in encoders
        ]
        self._device = DeviceThread([fuse, *lanes], instruments, self._try_device, crash_journal)
        self._recognizer = None
        if transcriber is not None:
            name = LANES[Task.TRANSCRIBE]
            lane = BatchLane(name, "transcribe", transcriber.transcribe, _MOST_UTTERANCES, max_delay_s)
            self._recognizer = DeviceThread([lane], instruments, transcriber.try_example, crash_journal, "recognizer")
        self._pool = PreparationPool(preparer, worker_count(), self._compute, encoded, instruments, crash_journal)

    @property
    def broken(self) -> bool:
        """Whether a device computes nothing any more."""
        return self._device.broken or (self._recognizer is not None and self._recognizer.broken)

    def start(self) -> None:
        """Starts the workers and the threads of the devices."""
        self._device.start()
        if self._recognizer is not None:
            self._recognizer.start()
        self._pool.start()

    def stop(self, deadline: Deadline) -> None:
        """Ends the threads; what still waits is not computed."""
        self._pool.stop(deadline)
        self._device.stop(deadline)
        if self._recognizer is not None:
            self._recognizer.stop(deadline)

    def encode(self, unit: EncodingUnit) -> None:
        self._pool.submit(unit)

    def forget(self, session: str) -> None:
        self._pool.forget(session)

    def score(self, window: ClosedWindow) -> None:
        submitted_ns = self._clock.monotonic_ns()

        def done(scores: Scores | BadRow | None, seconds: float) -> None:
            waited_ms = (self._clock.monotonic_ns() - submitted_ns) / NS_PER_MS - seconds * 1e3
            self._scored(ScoredWindow(window, scores, max(0.0, waited_ms), seconds * 1e3))

        self._device.submit("fuse", DeviceRequest(window, 1 + (self._lookback.windows if self._lookback else 0), done))

    def _compute(self, unit: EncodingUnit, request: DeviceRequest) -> None:
        """Hands the rows of a unit to their lane."""
        if unit.task is Task.TRANSCRIBE and self._recognizer is not None:
            (prepared,) = request.payload
            queued = QueuedUtterance(unit, prepared, self._clock.monotonic_ns())
            self._recognizer.submit(LANES[unit.task], replace(request, payload=queued))
        else:
            self._device.submit(unit.modality, request)

    def _try_device(self) -> None:
        """Scores examples; raises if the scores are not finite."""
        if not all(_is_finite(scores) for scores in self._model.score_examples()):
            raise ArithmeticError("good rows are answered by what is no number")

    def _fuse(self, windows: Sequence[ClosedWindow]) -> list[Scores | BadRow]:
        return [scores if _is_finite(scores) else NOT_FINITE for scores in self._scores(windows)]

    def _scores(self, windows: Sequence[ClosedWindow]) -> list[Scores]:
        if self._lookback is None:
            return self._model.fuse([window_features(window.units) for window in windows])
        preceding, step_ns = self._lookback.windows, self._lookback.step_ns
        rows = [(*window.preceding(preceding, step_ns), window.units) for window in windows]
        scores = self._model.fuse([window_features(units) for row in rows for units in row])
        length = preceding + 1
        by_window = [scores[at : at + length] for at in range(0, len(scores), length)]
        return smoothed(by_window, self._lookback.smoothing, self._model.manifest.least_confidence)


def _is_finite(scores: Scores) -> bool:
    """Whether the scores of a window are finite."""
    return all(map(math.isfinite, (*scores.emotion, scores.valence, scores.arousal, scores.risk.score)))
