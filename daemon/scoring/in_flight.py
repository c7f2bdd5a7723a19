"""Back-pressure of scoring: counts what is in flight, and admits items.

    item ──► admits? ──► units ──► waiting ──► engine ──► completed
               │ no: it stays in its channel      ▲
                                                  └─ a suspect only while the engine has no other unit

Three limits. In all, no more units and windows than the capacity. Of one session, a share of it, so that a session that
comes is served at once; what a session has beyond its share, as of one long sound, does not count against the capacity.
And of a session that has had a unit in flight for long nothing is admitted, so that no camera's pictures get old here.

Utterances are counted apart, since recognising one takes as long as encoding many units: those that may expire count
nothing, and of the others a session and all of them may have some, so that a stored session is read no faster than it
is transcribed.

A suspect is a record that may have ended a process before (`streams.delivery.crash_journal`). It is taken next, once
the engine is empty, and nothing else is admitted until it is done: if the process ends again, the right one is blamed.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable

from streams.clock import NS_PER_S, Clock
from streams.coordinates import Coordinates
from streams.delivery.crash_journal import CrashJournal
from streams.events import EncodingUnit, Task
from streams.records import EndOfSession, Item, Modality, Progress, Record

_MOST_SHARE = 0.5  # of the capacity is one session's, so that another that comes is served at once
_MOST_UTTERANCES_OF_SESSION, _MOST_UTTERANCES = 8, 32  # a batch, and one for each of a few sessions
_MOST_DELAY_NS = NS_PER_S  # in the engine: a quarter of the usual window; a batch of everything takes half of it


class InFlight:
    """The units and windows in the engine.

    Owned by the timeline thread; others may read `count`.
    """

    def __init__(
        self, capacity: int, encode: Callable[[EncodingUnit], None], clock: Clock, crash_journal: CrashJournal
    ) -> None:
        """encode: hands a unit to the engine; must not block."""
        self.count = 0
        """Units and windows, those that wait for a suspect among them."""
        self._capacity = capacity
        self._share = max(1, round(capacity * _MOST_SHARE))
        self._counted = 0
        """Those that count against the capacity."""
        self._encode = encode
        self._clock = clock
        self._crash_journal = crash_journal
        self._waiting: deque[EncodingUnit] = deque()
        """Units that wait for a suspect to be alone in the engine, or to leave it."""
        self._encoding = 0
        """How many units the engine has."""
        self._suspect: EncodingUnit | None = None
        """The suspect that the engine has."""
        self._next_suspect: Coordinates | None = None
        """The suspect that waits for the engine to be empty; nothing else is admitted before it."""
        self._by_session: dict[str, dict[EncodingUnit, int]] = {}
        """Units and when they were added, the oldest first."""
        self._utterances: Counter[str] = Counter()
        """By session, those that do not expire."""

    @property
    def full(self) -> bool:
        """Whether the capacity is used up."""
        return self._counted >= self._capacity or self._utterances.total() >= _MOST_UTTERANCES

    def admits(self, item: Item) -> bool:
        """Whether an item may be taken now.

        Not while its session has its share or a unit for too long, nor while a suspect goes first.
        """
        if self._waiting or self._suspect is not None:
            return False
        at = item.coordinates if isinstance(item, Record) else None
        if self._next_suspect is None and at is not None and self._encoding and self._crash_journal.is_suspect([at]):
            self._next_suspect = at
        if self._next_suspect is not None and (self._encoding or at != self._next_suspect):
            return False
        if not isinstance(item, Record | Progress | EndOfSession):
            return True
        if self._utterances[item.session] >= _MOST_UTTERANCES_OF_SESSION:
            return False
        units = self._by_session.get(item.session)
        if units is None:
            return True
        oldest_ns = next(iter(units.values()))
        return len(units) < self._share and self._clock.monotonic_ns() - oldest_ns < _MOST_DELAY_NS

    def admitted(self, item: Item) -> None:
        """The item has been taken."""
        if isinstance(item, Record) and item.coordinates == self._next_suspect:
            self._next_suspect = None

    def add_units(self, units: Iterable[EncodingUnit]) -> None:
        """Hands units to the engine as soon as suspects allow."""
        for unit in units:
            if unit.task is Task.TRANSCRIBE:
                self.count += 1
                self._utterances += Counter({unit.session: not unit.may_expire})
                self._waiting.append(unit)
                continue
            of_session = self._by_session.setdefault(unit.session, {})
            self.count += 1
            self._counted += len(of_session) < self._share
            of_session[unit] = self._clock.monotonic_ns()
            self._waiting.append(unit)
        self._hand_on()

    def unit_completed(self, unit: EncodingUnit) -> None:
        """The engine is done with a unit."""
        self._encoding -= 1
        if unit is self._suspect:
            self._suspect = None
            if len(unit.sources) == 1 and unit.modality is not Modality.AUDIO:  # a sound is in other segments too
                self._crash_journal.clear(unit.sources[0])
        self._hand_on()
        if unit.task is Task.TRANSCRIBE:
            self.count -= 1
            self._utterances -= Counter({unit.session: not unit.may_expire})
            return
        of_session = self._by_session[unit.session]
        del of_session[unit]
        self.count -= 1
        self._counted -= len(of_session) < self._share
        if not of_session:
            del self._by_session[unit.session]

    def window_added(self) -> None:
        """A window was handed to the engine."""
        self.count += 1
        self._counted += 1

    def window_completed(self) -> None:
        """A window has left through the sinks."""
        self.count -= 1
        self._counted -= 1

    def _hand_on(self) -> None:
        while self._waiting and self._suspect is None:
            suspect = self._crash_journal.is_suspect(self._waiting[0].sources)
            if suspect and self._encoding:
                return
            unit = self._waiting.popleft()
            self._suspect = unit if suspect else None
            self._encoding += 1
            self._encode(unit)
