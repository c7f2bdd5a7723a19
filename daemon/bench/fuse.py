"""Benchmark of fusion, and of a session from records to scores.

A step of a tenth of the size makes ten times as many windows, but every picture, second and line is encoded once: the
whole costs little more, since fusion is cheap. For the same reason a session whose people are told apart costs little
more: each has rows of fusion, and nothing is encoded for it. Faces that nobody names cost more, since each is followed
and encoded.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import cv2
import numpy as np

from daemon.bench.align import SIZE_NS, timeline_config
from daemon.bench.material import START_NS, records
from daemon.bench.measure import Effort, Figure, figure, timed
from daemon.config import Config
from daemon.scoring.fusing import Lookback, WindowFusion
from daemon.scoring.inline import InlineScorer
from daemon.scoring.preparer import build_preparer
from models.fusion.smoothed_scores import Course
from models.model import AffectModel, WindowFeatures
from streams.alignment.driver import AlignmentDriver
from streams.alignment.sessions import Sessions
from streams.clock import NS_PER_S, ManualClock
from streams.decoding.decode import Limits
from streams.delivery.ledger import Ledger
from streams.participants import NamedBy, Participant
from streams.records import Modality, Record
from streams.telemetry import NullTelemetry

_BATCH = 32
_LOOKBACK = 50  # windows, as many as the service looks back on at a step of 1 s
_SPEAKERS = {
    Modality.VIDEO: Participant("one", NamedBy.HEADER),
    Modality.AUDIO: Participant("one", NamedBy.HEADER),
    Modality.TEXT: Participant("other", NamedBy.HEADER),
}
_WINDOW_ROWS = {"video": 20, "audio": 4, "text": 2}  # of 4 s: 5 pictures and a second of sound per second, two lines


def fuse(model: AffectModel, effort: Effort) -> Iterator[Figure]:
    """Cost of a window's fusion, then of a session at both steps."""
    window = WindowFeatures(
        {
            modality: model.encoders[modality].encode([model.encoders[modality].example()] * rows)
            for modality, rows in _WINDOW_ROWS.items()
        }
    )
    batches = [[window], [window] * _BATCH]
    (_, alone_s), (_, batch_s) = timed([partial(model.fuse, batch) for batch in batches], effort.rounds * 4)
    yield figure("fuse", "window, batch of 1", alone_s * 1e3, "ms")
    yield figure(
        "fuse",
        f"window, batch of {_BATCH}",
        batch_s / _BATCH * 1e3,
        "ms",
        ratio=batch_s / _BATCH / alone_s,
        against="cost of a window in a batch of 1",
    )
    yield from _whole(model, effort)
    yield from _another_face(model, effort)


def _whole(model: AffectModel, effort: Effort) -> Iterator[Figure]:
    taken, room = records(effort.scored_s), _Room(model)
    named = [replace(record, participant=_SPEAKERS[record.modality]) for record in taken]
    tenth_ns = SIZE_NS // 10
    sessions = ((taken, SIZE_NS), (taken, tenth_ns), (named, tenth_ns), (taken, tenth_ns, _LOOKBACK))
    whole, tenth, people, course = timed([partial(room.score, *session) for session in sessions], effort.scored_rounds)
    dearer: Figure = {"ratio": tenth[1] / whole[1], "against": "cost at step = size"}
    lasting: Figure = {"ratio": course[1] / tenth[1], "against": "cost of each window by itself"}
    told: Figure = {"ratio": people[1] / tenth[1], "against": "cost with nobody named"}
    for step, ((units, windows), took_s), compared in (
        ("size", whole, Figure()),
        ("size / 10", tenth, dearer),
        ("size / 10, of two people", people, told),
        (f"size / 10, by {_LOOKBACK} windows before", course, lasting),
    ):
        yield figure(
            "fuse",
            f"second of a whole session, step = {step}",
            took_s * 1e3 / effort.scored_s,
            "ms",
            **compared,
            units=units,
            windows=windows,
        )


def _another_face(model: AffectModel, effort: Effort) -> Iterator[Figure]:
    """Cost of a second face in the picture, told apart or not."""
    taken = [_beside_itself(record) for record in records(effort.scored_s)]
    unnamed = Config.model_validate({"participants": {"follow_faces": False}})
    rooms = _Room(model, unnamed), _Room(model)
    plain, told = timed([partial(room.score, taken, SIZE_NS) for room in rooms], effort.scored_rounds)
    dearer: Figure = {"ratio": told[1] / plain[1], "against": "cost with the largest face alone"}
    for name, ((units, windows), took_s), compared in (
        ("of two faces, the largest counts", plain, Figure()),
        ("of two faces, told apart", told, dearer),
    ):
        took_ms = took_s * 1e3 / effort.scored_s
        yield figure(
            "fuse", f"second of a whole session, {name}", took_ms, "ms", **compared, units=units, windows=windows
        )


def _beside_itself(record: Record) -> Record:
    """A picture beside its mirror image; any other record as it is."""
    if record.modality is not Modality.VIDEO:
        return record
    picture = cv2.imdecode(np.frombuffer(record.payload, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError("a picture of the sample session cannot be read")
    both = cv2.resize(np.concatenate([picture, picture[:, ::-1]], axis=1), None, fx=0.5, fy=0.5)
    return replace(record, payload=cv2.imencode(".jpg", both)[1].tobytes())


class _Room:
    """One session from records to scores, in the caller's thread."""

    def __init__(self, model: AffectModel, config: Config | None = None) -> None:
        self._model = model
        self._preparer = build_preparer(config or Config(), model)

    def score(self, taken: Sequence[Record], step_ns: int, lookback: int = 0) -> tuple[int, int]:
        """Returns how many units were encoded and how many windows were scored.

        lookback: windows before each that it is scored by.
        """
        config, clock = replace(timeline_config(step_ns), lookback_ns=lookback * step_ns), ManualClock(START_NS)
        course = Course.of_windows(SIZE_NS / NS_PER_S, step_ns / NS_PER_S, self._model.manifest.risk)
        before = Lookback(lookback, step_ns, course) if lookback else None
        fusion = WindowFusion(self._model, NullTelemetry(), before)
        sessions = Sessions(config, 60 * NS_PER_S, clock, NullTelemetry(), Ledger(config.grid))
        driver = AlignmentDriver(sessions, Limits(), clock, NullTelemetry())
        scorer = InlineScorer(driver, self._preparer, self._model, fusion=fusion)
        windows = sum(len(scorer.scores(scorer.take(record, record.modality))) for record in taken)
        windows += len(scorer.scores(scorer.drain()))
        self._preparer.forget(taken[0].session)
        return driver.counts.encoded, windows
