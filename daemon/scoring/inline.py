"""Scores sessions in the caller's thread, one item after another.

The steps are those of the daemon, in the same order: an item is aligned, the units that it makes final are prepared and
encoded, utterances are transcribed, the windows that are ready by then are scored. Left out: batches of several units,
and publishing.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from daemon.scoring.features import encode_units, no_features, unit_features
from daemon.scoring.fusing import WindowFusion
from daemon.scoring.preparation import Preparer, prepare_unit, uncomputable
from daemon.scoring.results import BadRow, UnitFeatures, Untranscribed, WindowScores
from daemon.scoring.transcription import QueuedUtterance, Transcriber
from models.model import AffectModel
from streams.alignment.closed_window import ClosedWindow
from streams.alignment.driver import AlignmentDriver
from streams.events import EncodingUnit, Task, Transcript, Voice
from streams.records import EndOfSession, OfSession
from streams.telemetry import NullTelemetry


def _every(_: EncodingUnit) -> bool:
    return True


class InlineScorer:
    """Takes the items of stored sessions; returns windows, and their scores."""

    def __init__(
        self,
        driver: AlignmentDriver,
        preparer: Preparer,
        model: AffectModel,
        wanted: Callable[[EncodingUnit], bool] = _every,
        transcriber: Transcriber | None = None,
        fusion: WindowFusion | None = None,
    ) -> None:
        """wanted: whether to encode or transcribe a unit; another has no result.

        transcriber: None where speech is not transcribed. fusion: how windows are fused; None for each by itself.
        """
        self._driver = driver
        self._preparer = preparer
        self._model = model
        self._wanted = wanted
        self._transcriber = transcriber
        self._fusion = fusion or WindowFusion(model, NullTelemetry())

    def take(self, item: OfSession, source: str) -> list[ClosedWindow]:
        """Takes one item; returns the windows that are ready, in closing order."""
        self._encode(self._driver.take(item, source, live=False))
        windows = list(self._driver.ready_windows(item.session))
        if isinstance(item, EndOfSession):
            self._preparer.forget(item.session)
        return windows

    def drain(self) -> list[ClosedWindow]:
        """Closes every window; returns those that were not returned before."""
        self._encode(self._driver.drain())
        return list(self._driver.ready_windows())

    def scores(self, windows: Sequence[ClosedWindow]) -> list[WindowScores | BadRow]:
        """Returns the scores of windows: of sessions, and of participants."""
        return self._fusion.fuse(windows)

    def _encode(self, units: Iterable[EncodingUnit]) -> None:
        waiting = deque(units)
        while waiting:
            unit = waiting.popleft()
            if unit.task is Task.DETECT_VOICE or self._wanted(unit):
                unit.result = self._result(unit)
            waiting.extend(self._driver.finish(unit))

    def _result(self, unit: EncodingUnit) -> UnitFeatures | Voice | Transcript | Untranscribed | None:
        prepared = prepare_unit(self._preparer, unit)
        if prepared is None or isinstance(prepared, Voice):
            return prepared
        if unit.task is Task.TRANSCRIBE and self._transcriber is not None:
            (transcribed,) = self._transcriber.transcribe([QueuedUtterance(unit, prepared.rows[0])])
            return transcribed
        if not prepared.rows:
            return no_features(prepared, 0.0)
        (encoded,) = encode_units(self._model.encoders[unit.modality], [prepared.rows])
        if isinstance(encoded, BadRow):
            unit.damage = uncomputable(encoded)
            return None
        return unit_features(prepared, encoded, 0.0)
