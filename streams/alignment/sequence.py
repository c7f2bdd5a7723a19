"""Finds gaps and repeats in the sequence numbers of a stream.

Producers number their records. A repeat (the same number at the same event time) is left out, since a producer that is
not sure whether its record arrived sends it again. A number that skips some counts them as missing, even if they come
later. Numbers that fall by far begin anew, or wrap: nothing is missing then, and what still comes of the numbers before
it is no gap. So do numbers that leap: no outage loses a million records, and one wild number would be all that the
counter ever showed.
"""

from collections.abc import Iterator

from streams.events import Event
from streams.records import Modality
from streams.telemetry import SequenceFault, Telemetry

_FAR = 1000  # records: more than disorder moves one
_LEAP = 1_000_000  # records: at 50 a second more than five hours


class SequenceCheck:
    """Sequence numbers of one stream. Owned by the timeline thread; no lock."""

    def __init__(self) -> None:
        self._last: int | None = None
        self._last_before: int | None = None
        """Where the numbers were when they began anew."""
        self._seen: dict[tuple[int, int], None] = {}

    def repeats(self, event: Event, telemetry: Telemetry) -> bool:
        """Whether the event is a repeat; counts gaps and repeats."""
        number = event.sequence
        if number is None:
            return False
        if (number, event.time_ns) in self._seen:
            telemetry.sequence(event.modality, SequenceFault.REPEAT)
            return True
        if not self._is_of_before(number):
            self._go_on(event.modality, number, telemetry)
        self._seen[number, event.time_ns] = None
        return False

    def _is_of_before(self, number: int) -> bool:
        return self._last_before is not None and abs(number - self._last_before) < _FAR < number - (self._last or 0)

    def _go_on(self, modality: Modality, number: int, telemetry: Telemetry) -> None:
        if self._last is not None and not -_FAR <= number - self._last <= _LEAP:
            self._last_before, self._last = self._last, number
            return
        if self._last is not None and number > self._last + 1:
            telemetry.sequence(modality, SequenceFault.GAP, number - self._last - 1)
        self._last = number if self._last is None else max(self._last, number)

    @property
    def empty(self) -> bool:
        """Whether no number is known any more."""
        return not self._seen

    def forget(self, before_ns: int) -> None:
        """Frees the numbers of event times before `before_ns`.

        Numbers are kept in order of arrival, which is near enough to that of time.
        """
        for entry in list(_older(self._seen, before_ns)):
            del self._seen[entry]


def _older(seen: dict[tuple[int, int], None], before_ns: int) -> Iterator[tuple[int, int]]:
    for entry in seen:
        if entry[1] >= before_ns:
            return
        yield entry
