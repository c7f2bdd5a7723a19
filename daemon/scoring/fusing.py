"""Fuses windows: a row for the session and one for each participant.

All rows of a batch are fused in one call. A session's row is of all its units; a participant's is of those that are
theirs. Somebody who is alone in the session has the session's row.

Where windows are scored by those before them, too, these are fused from the same units, each once
(`daemon.scoring.fused_once`). A score depends on nothing else, so that any instance scores a window the same.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from daemon.scoring.drowsy_windows import drowsy_scores
from daemon.scoring.faces_told import faces_told, most_faces
from daemon.scoring.features import NOT_FINITE, window_features
from daemon.scoring.fused_once import FusedWindow, FusingOnce, Row
from daemon.scoring.participants import participants_of
from daemon.scoring.results import BadRow, ParticipantScores, WindowScores
from models.fusion.smoothed_scores import Course, smoothed
from models.model import AffectModel, WindowFeatures
from models.risk_signals import strength, with_signals
from models.scores import Scores
from streams.alignment.closed_window import ClosedWindow
from streams.alignment.ordered_units import UnitsByModality
from streams.events import Signal
from streams.participants import Participant
from streams.reasons import UntoldReason
from streams.records import Modality
from streams.telemetry import Telemetry

MOST_PARTICIPANTS = 8
"""People told apart in one window where the configuration says nothing."""


@dataclass(frozen=True, slots=True)
class Lookback:
    """The preceding windows that a window is scored by.

    windows: how many. step_ns: between them. course: what they change.
    """

    windows: int
    step_ns: int
    course: Course


@dataclass(frozen=True, slots=True)
class _Person:
    """A participant of a window.

    row: which of the call's rows is theirs; the session's where that is the same.
    """

    participant: Participant
    row: int


class WindowFusion:
    """Fuses windows in batches. Any thread may call `rows`."""

    def __init__(
        self,
        model: AffectModel,
        telemetry: Telemetry,
        lookback: Lookback | None = None,
        most_participants: int = MOST_PARTICIPANTS,
        signal_weights: Mapping[str, float] = MappingProxyType({}),
        drowsiness: bool = False,
    ) -> None:
        """lookback: what windows are smoothed by; None where they are not.

        signal_weights: of signals in the risk, by their names. drowsiness: whether it is a risk.
        """
        self._model = model
        self._telemetry = telemetry
        self._lookback = lookback
        self._most = most_participants
        self._signal_weights = signal_weights
        self._drowsiness = drowsiness

    def rows(self, window: ClosedWindow) -> int:
        """How many rows a window takes at most; those before are known."""
        told, _ = participants_of(window.units, self._most)
        return 1 + min(self._most, len(told) + most_faces(window.units))

    def fuse(self, windows: Sequence[ClosedWindow]) -> list[WindowScores | BadRow]:
        """Scores windows, each independent of the others.

        A `BadRow` where a session's row is not finite; a participant's row that is not costs that participant only.
        """
        once, rows = FusingOnce(), list[list[FusedWindow]]()
        people = [self._people(window, once, rows) for window in windows]
        once.fuse(self._alone)
        scores = self._scores(rows)
        if self._drowsiness:
            rule = self._model.manifest.risk
            units = [[window.units for window in row] for row in rows]
            scores = [drowsy_scores(each, row, rule) for each, row in zip(scores, units, strict=True)]
        return [self._window_scores(rows, scores, session, those) for session, those in people]

    def _people(
        self, window: ClosedWindow, once: FusingOnce, rows: list[list[FusedWindow]]
    ) -> tuple[int, list[_Person]]:
        """Appends the rows of a window.

        Returns its session's row, and whose the others are.
        """
        session = len(rows)
        rows.append(once.add(Row(window.memo, None, self._placed(window))))
        window = faces_told(window, self._most)
        placed = self._placed(window)
        told, too_many = participants_of(window.units, self._most)
        if too_many:
            self._telemetry.untold(UntoldReason.TOO_MANY, too_many)
        people = []
        for participant in told:
            theirs = once.add(Row(window.memo, participant.id, placed))
            alone = all(each is of_session for each, of_session in zip(theirs, rows[session], strict=True))
            people.append(_Person(participant, session if alone else len(rows)))
            if not alone:
                rows.append(theirs)
        return session, people

    def _placed(self, window: ClosedWindow) -> list[tuple[int, UnitsByModality]]:
        """Start and units of a window and those before it."""
        if self._lookback is None:
            return [(window.start_ns, window.units)]
        count, step_ns = self._lookback.windows, self._lookback.step_ns
        starts_ns = [window.start_ns - ago * step_ns for ago in range(count, -1, -1)]
        return list(zip(starts_ns, [*window.preceding(count, step_ns), window.units], strict=True))

    def _scores(self, rows: Sequence[Sequence[FusedWindow]]) -> list[Scores]:
        """The scores of each row's newest window."""
        own = [[window.scores for window in row if window.scores is not None] for row in rows]
        if self._lookback is None:
            return [newest for [newest] in own]
        return smoothed(
            [[*map(self._finite, row[:-1]), row[-1]] for row in own],
            self._lookback.course,
            self._model.manifest.least_confidence,
        )

    def _finite(self, scores: Scores) -> Scores:
        """Scores of an earlier window; of nothing where not finite."""
        return scores if is_finite(scores) else self._model.fuse([WindowFeatures({})])[0]

    def _alone(self, windows: Sequence[UnitsByModality]) -> list[Scores]:
        """The scores of windows by themselves."""
        scores = self._model.fuse([window_features(units) for units in windows])
        return [self._with_signals(each, units) for each, units in zip(scores, windows, strict=True)]

    def _with_signals(self, scores: Scores, units: UnitsByModality) -> Scores:
        signals = [unit.payload for unit in units.get(Modality.SIGNALS, ()) if isinstance(unit.payload, Signal)]
        strongest = strength(((each.name, each.value, each.confidence) for each in signals), self._signal_weights)
        return scores if strongest is None else with_signals(scores, strongest, self._model.manifest.risk)

    def _window_scores(
        self, rows: Sequence[Sequence[FusedWindow]], scores: Sequence[Scores], session: int, people: list[_Person]
    ) -> WindowScores | BadRow:
        if not is_finite(scores[session]):
            return NOT_FINITE
        told = [each for each in people if is_finite(scores[each.row])]
        if len(told) < len(people):
            self._telemetry.untold(UntoldReason.NOT_FINITE, len(people) - len(told))
        return WindowScores(
            scores[session],
            tuple(ParticipantScores(each.participant, scores[each.row], rows[each.row][-1].units) for each in told),
        )


def is_finite(scores: Scores) -> bool:
    """Whether the scores of a window are finite."""
    return all(map(math.isfinite, (*scores.emotion, scores.valence, scores.arousal, scores.risk.score)))
