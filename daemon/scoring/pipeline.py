"""The timeline thread: items in, units to be encoded and windows to be scored out.

Records are decoded here and not in a pool: what costs, pictures, is only looked at by its header until a window uses
it, and what is left (samples, lines) takes microseconds and would have to be put in order again. It waits in one
place, the inlet, for messages from the engine (a unit is encoded, a window is published) and for items from the
sources. While too much is under way it takes messages only; while a session has its share under way, or something for
too long, it takes nothing of that session. Channels fill up, and each source does what its policy says. This is all the
back-pressure there is, and what keeps a camera's pictures fresh on a machine that cannot keep up.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import structlog

from daemon.telemetry.instruments import Instruments
from streams.alignment.closed_window import ClosedWindow
from streams.alignment.origin import DEVICE, STORED
from streams.alignment.sessions import Sessions
from streams.channels.channel import Channel, ChannelItem
from streams.channels.inlet import Inlet
from streams.clock import NS_PER_MS, NS_PER_S
from streams.coordinates import Coordinates
from streams.decoding.decode import Limits, decode_record
from streams.delivery.crash_journal import CrashJournal
from streams.events import EncodingUnit
from streams.reasons import BadRecord, DeadLetterReason
from streams.records import (
    Assigned,
    EndOfSession,
    Item,
    Modality,
    PartitionIdle,
    Progress,
    Record,
    RejectedRecord,
    Revoked,
)

log = structlog.get_logger(__name__)

_MOST_SHARE = 0.5  # of what may be under way is one session's, so that another that comes is served at once
_MOST_DELAY_NS = NS_PER_S  # in the engine: a quarter of the usual window; a batch of everything takes half of it
_TICK_NS = 100 * NS_PER_MS  # a tenth of the usual step: what idleness adds to a window's delay
_TICK_REST = 4  # times what a tick took: with very many sessions most of the time is still for items


@dataclass(frozen=True, slots=True)
class UnitEncoded:
    """The engine is done with a unit."""

    unit: EncodingUnit


@dataclass(frozen=True, slots=True)
class WindowPublished:
    """A window has left through the sinks."""


@dataclass(frozen=True, slots=True)
class Drain:
    """Finish what is queued, close every window but those of logs (which wait for who reads on), and end."""


TimelineMessage = UnitEncoded | WindowPublished | Drain


class Engine(Protocol):
    """What encodes units and scores windows, somewhere else; it answers with messages to the inlet."""

    def encode(self, unit: EncodingUnit) -> None:
        """Begins to encode one unit; never blocks."""
        ...

    def score(self, window: ClosedWindow) -> None:
        """Begins to score one window; never blocks."""
        ...

    def forget(self, session: str) -> None:
        """The session is over."""
        ...


@dataclass(slots=True)
class RecordCounts:
    """Records taken, those of them that were refused, and units that were encoded (or held nothing to encode)."""

    taken: int = 0
    refused: int = 0
    encoded: int = 0


class Pipeline:
    """Owns all session state, on its own thread; only what has no underscore is for others, who read it.

    state: a snapshot of the sessions, replaced whole at every tick. record_counts: what became of records so far.
    """

    def __init__(
        self,
        inlet: Inlet[TimelineMessage],
        sessions: Sessions,
        engine: Engine,
        limits: Limits,
        max_under_way: int,
        dead_letter: Callable[[RejectedRecord], None],
        instruments: Instruments,
        crash_journal: CrashJournal | None = None,
    ) -> None:
        """dead_letter: keeps a record of a log that cannot be used; must not block.

        max_under_way: units and windows in the engine at once, beyond which no more items are taken; what a session has
        beyond its share, as of one long sound, does not count. crash_journal: which records ended a process before.
        """
        self.finished = threading.Event()
        self.record_counts = RecordCounts()
        self._inlet = inlet
        self._sessions = sessions
        self._engine = engine
        self._limits = limits
        self._max_under_way = max_under_way
        self._share = max(1, round(max_under_way * _MOST_SHARE))
        self._keep = dead_letter
        self._clock = instruments.clock
        self._metrics = instruments.metrics
        self._heartbeats = instruments.heartbeats
        self._beat = self._heartbeats.worker("timeline")
        self._under_way = 0
        self._counted = 0
        self._crash_journal = crash_journal or CrashJournal(None, instruments.clock)
        self._to_encode: deque[EncodingUnit] = deque()
        """Units that wait for a suspect to be alone in the engine, or to leave it."""
        self._encoders_have = 0
        self._alone: EncodingUnit | None = None
        self._next_alone: Coordinates | None = None
        """The suspect that waits for the engine to be empty; nothing else is taken before it."""
        self._encoding: dict[str, dict[EncodingUnit, int]] = {}
        """By session, the units in the engine and when they were handed to it, the oldest first."""
        self._draining = False
        self._drained = False
        self._tick_due_ns = 0
        self._thread = threading.Thread(target=self._run, name="timeline", daemon=True)
        self.state = sessions.state()
        self._metrics.watch_channel("engine", lambda: self._under_way)
        self._metrics.watch_timeline(
            watermark_lag_s=lambda: self.state.watermark_lag_s,
            sessions=lambda: self.state.sessions,
            idle_streams=lambda: self.state.idle_streams,
            open_windows=lambda: self.state.open_windows,
        )

    def start(self) -> None:
        """Begins to take items."""
        self._thread.start()

    @property
    def under_way(self) -> int:
        """Units and windows in the engine."""
        return self._under_way

    def drain(self) -> None:
        """Finishes what is queued, closes every window and sets `finished` when the last is published."""
        self._inlet.post(Drain())

    def _run(self) -> None:
        while not (self._drained and self._under_way == 0 and self._sessions.waiting() == 0):
            self._beat()
            taken = self._inlet.take(_TICK_NS / NS_PER_S, self._counted < self._max_under_way, self._may_take)
            if taken is not None:
                self._take(taken)
            for message in self._inlet.take_messages():
                self._take(message)
            self._pass_time()
            if self._draining and not self._drained and self._inlet.empty():
                self._drained = True
                self._encode(self._sessions.drain())
                self._score(self._sessions.ready_windows())
        self._heartbeats.retire("timeline")
        self.finished.set()

    def _may_take(self, item: Item) -> bool:
        """Whether the engine has less of the item's session than its share, and nothing for too long.

        A suspect waits until nothing else is in hand, and while it is, all others wait.
        """
        if self._to_encode or self._alone is not None:
            return False
        at = item.coordinates if isinstance(item, Record) else None
        if self._next_alone is None and at is not None and self._encoders_have and self._crash_journal.is_suspect([at]):
            self._next_alone = at
        if self._next_alone is not None and (self._encoders_have or at != self._next_alone):
            return False
        if not isinstance(item, Record | Progress | EndOfSession):
            return True
        units = self._encoding.get(item.session)
        if units is None:
            return True
        oldest_ns = next(iter(units.values()))
        return len(units) < self._share and self._clock.monotonic_ns() - oldest_ns < _MOST_DELAY_NS

    def _take(self, taken: TimelineMessage | ChannelItem) -> None:
        match taken:
            case ChannelItem(item=Record() as record, channel=channel):
                self._add(record, channel)
            case ChannelItem(item=item, channel=channel):
                self._take_notice(item, channel)
            case UnitEncoded(unit=unit):
                self._encoded(unit)
                if unit.damage is not None:
                    self._set_aside_unit(unit, *unit.damage)
                else:
                    self.record_counts.encoded += 1
                unit.finish()
                self._score(self._sessions.ready_windows(unit.session))
            case WindowPublished():
                self._under_way -= 1
                self._counted -= 1
            case Drain():
                self._draining = True
                self._sessions.leave_logs()

    def _take_notice(self, item: Item, channel: Channel) -> None:
        """Takes what is not a record: what a source tells of its streams."""
        match item:
            case Progress(session=session, modality=modality, through_ns=through_ns):
                origin = DEVICE if channel.live else STORED
                self._encode(self._sessions.progress(session, modality, through_ns, channel.name, origin))
                self._score(self._sessions.ready_windows(session))
            case EndOfSession(session=session):
                self._encode(self._sessions.end(session, channel.name))
                self._score(self._sessions.ready_windows(session))
            case PartitionIdle(partition=partition, idle_ns=idle_ns):
                self._sessions.partition_idle(partition, idle_ns)
            case Assigned(assignment=assignment):
                self._sessions.assigned(assignment)
            case Revoked(numbers=numbers):
                self._sessions.revoked(numbers)
            case RejectedRecord(modality=modality, reason=reason, why=why):
                self.record_counts.taken += 1
                self._count_set_aside(modality, reason, why, source=channel.name, **item.coordinates.named())
                self._keep(item)

    def _add(self, record: Record, channel: Channel) -> None:
        if record.coordinates == self._next_alone:
            self._next_alone = None
        if record.coordinates is None:
            self._decode_record(record, channel)
        elif self._crash_journal.is_poison(record.coordinates):
            self.record_counts.taken += 1
            self._set_aside(
                record, DeadLetterReason.CRASHED, "the process ended twice while it worked on this record", channel.name
            )
        else:
            with self._crash_journal.working_on([record.coordinates]):
                self._decode_record(record, channel)

    def _decode_record(self, record: Record, channel: Channel) -> None:
        began_ns = self._clock.monotonic_ns()
        self.record_counts.taken += 1
        try:
            event = decode_record(record, self._limits, channel.live)
        except BadRecord as error:
            self._set_aside(record, error.reason, str(error), channel.name)
            return
        except Exception as error:  # bytes nobody thought of cost this record only
            self._set_aside(record, DeadLetterReason.INTERNAL, type(error).__name__, channel.name)
            return
        finally:
            self._metrics.decoded(record.modality, (self._clock.monotonic_ns() - began_ns) / NS_PER_S)
        if record.coordinates is None:
            self._encode(self._sessions.add(event, channel.name, DEVICE if channel.live else STORED))
        else:
            self._encode(self._sessions.add_logged(event, channel.name, record.coordinates))
        self._score(self._sessions.ready_windows(event.session))

    def _set_aside_unit(self, unit: EncodingUnit, reason: DeadLetterReason, why: str) -> None:
        if unit.record is not None:
            self._set_aside(unit.record, reason, why)
        else:
            self._count_set_aside(unit.modality, reason, why, session=unit.session)

    def _set_aside(self, record: Record, reason: DeadLetterReason, why: str, source: str | None = None) -> None:
        at = record.coordinates
        where = {"session": record.session} if at is None else at.named()
        self._count_set_aside(record.modality, reason, why, source=source, **where)
        if record.coordinates is not None:
            self._keep(
                RejectedRecord(record.modality, record.payload, record.received_ns, record.coordinates, reason, why)
            )

    def _count_set_aside(self, modality: Modality, reason: DeadLetterReason, why: str, **where: object) -> None:
        self.record_counts.refused += 1
        self._metrics.dead_letter(reason)
        log.warning("a record is set aside", modality=modality, reason=reason, why=why, **where)

    def _pass_time(self) -> None:
        now_ns = self._clock.monotonic_ns()
        if now_ns < self._tick_due_ns:
            return
        self._encode(self._sessions.tick())
        self._score(self._sessions.ready_windows())
        for session in self._sessions.ended_sessions():
            self._engine.forget(session)
        self.state = self._sessions.state()
        took_ns = self._clock.monotonic_ns() - now_ns
        self._tick_due_ns = now_ns + max(_TICK_NS, took_ns + _TICK_REST * took_ns)

    def _encode(self, units: Iterable[EncodingUnit]) -> None:
        for unit in units:
            of_session = self._encoding.setdefault(unit.session, {})
            self._under_way += 1
            self._counted += len(of_session) < self._share
            of_session[unit] = self._clock.monotonic_ns()
            self._to_encode.append(unit)
        self._hand_on()

    def _hand_on(self) -> None:
        """Hands units to the engine, a suspect only while it has no other."""
        while self._to_encode and self._alone is None:
            suspect = self._crash_journal.is_suspect(self._to_encode[0].sources)
            if suspect and self._encoders_have:
                return
            unit = self._to_encode.popleft()
            self._alone = unit if suspect else None
            self._encoders_have += 1
            self._engine.encode(unit)

    def _encoded(self, unit: EncodingUnit) -> None:
        self._encoders_have -= 1
        if unit is self._alone:
            self._alone = None
            if len(unit.sources) == 1 and unit.modality is not Modality.AUDIO:  # a sound is in other segments too
                self._crash_journal.clear(unit.sources[0])
        self._hand_on()
        of_session = self._encoding[unit.session]
        del of_session[unit]
        self._under_way -= 1
        self._counted -= len(of_session) < self._share
        if not of_session:
            del self._encoding[unit.session]

    def _score(self, windows: Iterable[ClosedWindow]) -> None:
        for window in windows:
            self._under_way += 1
            self._counted += 1
            self._engine.score(window)
