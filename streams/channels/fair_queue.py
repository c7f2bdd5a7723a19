"""Fair queue: a lane for each key, served in turn.

Problem: one key that floods a plain queue delays all others. Rule: keys take turns (round robin). Within a lane the
order is kept; between lanes there is none. A lane may be passed over for now, and keeps its turn. Left out: a lock and
a bound.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Entry = TypeVar("Entry")


class FairQueue(Generic[Key, Entry]):
    """Owned by whoever holds the lock of what it is part of."""

    def __init__(self) -> None:
        self._lanes: OrderedDict[Key, deque[Entry]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def put(self, key: Key, entry: Entry) -> None:
        """Adds one entry at the end of its lane."""
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = deque()
        lane.append(entry)
        self._length += 1

    def put_back(self, key: Key, entries: Sequence[Entry]) -> None:
        """Returns popped entries to the front of their lane, in their order."""
        if entries:
            self._lanes.setdefault(key, deque()).extendleft(reversed(entries))
            self._length += len(entries)

    def lane(self, key: Key) -> deque[Entry] | None:
        """The entries of a key, oldest first, read-only; None without any."""
        return self._lanes.get(key)

    def heads(self) -> Iterator[tuple[Key, Entry]]:
        """The oldest entry of each lane, in the order of their turns."""
        return ((key, lane[0]) for key, lane in self._lanes.items())

    def take(self, passes: Callable[[Key, Entry], bool] = lambda key, entry: True) -> tuple[Key, Entry] | None:
        """Removes the oldest entry that `passes`, lanes in turn; None without one."""
        key = next((key for key, entry in self.heads() if passes(key, entry)), None)
        if key is None:
            return None
        return key, self.pop(key)

    def pop(self, key: Key) -> Entry:
        """Removes the oldest entry of a lane; KeyError without one.

        The lane's next turn is the last.
        """
        lane = self._lanes[key]
        entry = lane.popleft()
        self._length -= 1
        if lane:
            self._lanes.move_to_end(key)
        else:
            del self._lanes[key]
        return entry
