"""The scoring engine: prepares and encodes units, and fuses windows.

A unit is encoded once; windows are fused from the features of their units; both in batches.

Lanes, in the order they are served: `fuse` (a window is due, and cheap), then `text`, `audio` and `video` (encoders).
`transcribe` has a thread of its own: CTranslate2 computes beside torch, and an utterance takes as long as many units.
Results leave by callback: the timeline learns that a unit is encoded, the publisher gets the scored window.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from daemon.scoring.batching import BatchLane, DeviceRequest, DeviceThread
from daemon.scoring.features import encode_units
from daemon.scoring.fusing import WindowFusion, is_finite
from daemon.scoring.preparation import PreparationPool, Preparer, worker_count
from daemon.scoring.results import LANES, BadRow, ScoredWindow, WindowScores
from daemon.scoring.transcription import QueuedUtterance, Transcriber
from daemon.telemetry.instruments import Instruments
from models.model import AffectModel
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
        fusion: WindowFusion | None = None,
        crash_journal: CrashJournal | None = None,
        transcriber: Transcriber | None = None,
    ) -> None:
        """encoded, scored: called on engine threads; must not block.

        fusion: how windows are fused; None for each by itself. crash_journal: notes the records in work. transcriber:
        None where speech is not transcribed.
        """
        self._model = model
        self._fusion = fusion or WindowFusion(model, instruments.metrics)
        self._scored = scored
        self._clock = instruments.clock
        max_rows, max_delay_s = limits.max_rows, limits.max_delay_s
        fuse = BatchLane("fuse", "fuse", self._fusion.fuse, max_rows, max_delay_s * _FUSE_DELAY_SHARE)
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

        def done(scores: WindowScores | BadRow | None, seconds: float) -> None:
            waited_ms = (self._clock.monotonic_ns() - submitted_ns) / NS_PER_MS - seconds * 1e3
            queue_ms, fuse_ms = max(0.0, waited_ms), seconds * 1e3
            if isinstance(scores, WindowScores):
                self._scored(ScoredWindow(window, scores.session, queue_ms, fuse_ms, scores.participants))
            else:
                self._scored(ScoredWindow(window, scores, queue_ms, fuse_ms))

        self._device.submit("fuse", DeviceRequest(window, self._fusion.rows(window), done))

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
        if not all(is_finite(scores) for scores in self._model.score_examples()):
            raise ArithmeticError("good rows are answered by what is no number")
