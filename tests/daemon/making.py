"""What the tests of the daemon's threads are written in: units and windows of a second-based timeline, and waiting."""

import queue
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch

from daemon.scoring.results import UnitFeatures
from daemon.telemetry.instruments import Instruments
from streams.alignment.closed_window import ClosedWindow
from streams.clock import Clock, ManualClock, SystemClock
from streams.deadline import Deadline
from streams.events import EncodingUnit, Line, Picture, Signal, SoundPieces, Voice
from streams.reasons import ClosedBy
from streams.records import Modality
from tests.streams.making import ns

Told_ = TypeVar("Told_")
_PATIENCE_S = 20.0  # how long a test waits for a thread before it fails


class Told(Generic[Told_]):
    """What threads have told, in the order they told it; `next` waits for it."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Told_] = queue.SimpleQueue()

    def __call__(self, what: Told_) -> None:
        self._queue.put(what)

    def next(self) -> Told_:
        return self._queue.get(timeout=_PATIENCE_S)

    def many(self, count: int) -> list[Told_]:
        return [self.next() for _ in range(count)]

    def nothing_more(self, within_s: float = 0.0) -> bool:
        """Whether nothing is told, now or for `within_s` of real time."""
        try:
            self._queue.get(timeout=within_s) if within_s else self._queue.get_nowait()
        except queue.Empty:
            return True
        return False


class NoSound:
    """What a preparer has that is never given sound."""

    def detect_voice(self, unit: EncodingUnit) -> Voice:
        raise AssertionError("no unit of sound was expected")


def instruments() -> Instruments:
    return Instruments(ManualClock())


def deadline(clock: Clock | None = None) -> Deadline:
    """Five seconds from now, which are as long as the clock's: real ones where none is given."""
    return Deadline.after(clock or SystemClock(), 5.0)


def counted(of: Instruments, name: str, **labels: str) -> float:
    """The value of one series, 0 where nothing has happened yet."""
    return of.metrics.registry.get_sample_value(f"affectd_{name}", labels) or 0.0


def unit(
    modality: Modality = Modality.TEXT,
    at_s: float = 0.0,
    for_s: float = 0.0,
    session: str = "room",
    text: str = "hello",
    result: Any = None,
) -> EncodingUnit:
    """A unit of one modality; with a `result`, it has been encoded."""
    payloads: dict[Modality, Callable[[], Picture | SoundPieces | Line | Signal]] = {
        Modality.VIDEO: lambda: Picture("image/jpeg", b"picture"),
        Modality.AUDIO: lambda: SoundPieces(()),
        Modality.TEXT: lambda: Line(text),
        Modality.SIGNALS: lambda: Signal("pulse", 0.5),
    }
    start_ns, end_ns = ns(at_s), ns(at_s + for_s)
    order = (start_ns, 0, text)
    made = EncodingUnit(session, modality, start_ns, end_ns, start_ns, payloads[modality](), order, result=result)
    made.done = result is not None
    return made


def evidence(*weight: float, width: int = 2, encode_ms: float = 0.0, **quality: float) -> UnitFeatures:
    """Rows of embedding 0, 1, 2, ... with these weights."""
    rows = torch.arange(len(weight), dtype=torch.float32)[:, None].expand(-1, width)
    return UnitFeatures(rows, torch.tensor(weight), quality, encode_ms)


def window(
    *units: EncodingUnit,
    at_s: float = 0.0,
    size_s: float = 4.0,
    revision: int = 0,
    lookback: tuple[EncodingUnit, ...] = (),
) -> ClosedWindow:
    return ClosedWindow(
        session=units[0].session if units else "room",
        start_ns=ns(at_s),
        end_ns=ns(at_s + size_s),
        closed_by=ClosedBy.WATERMARK,
        revision=revision,
        units={m: tuple(u for u in units if u.modality is m) for m in Modality},
        received_fraction={m: float(any(u.modality is m for u in units)) for m in Modality},
        watermark_lag_ns=250_000_000,
        index=round(at_s),
        lease=None,
        lookback={m: tuple(u for u in lookback if u.modality is m) for m in Modality} if lookback else {},
    )
