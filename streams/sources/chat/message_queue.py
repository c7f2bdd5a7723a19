"""Fair, bounded queue of chat messages between their writers and the source.

A message is stamped as it is put in. Sessions are served in turn, and each writer may have only so many messages
waiting: one that floods waits for itself, and delays no other by more than its share. Within a session the order is
that of the stamps, so that no message is late because it waited.
"""

import threading
from collections import Counter
from collections.abc import Callable, Hashable

from streams.channels.fair_queue import FairQueue
from streams.records import Progress, Record
from streams.sources.chat.receiver import ChatReceiver

Receive = Callable[[ChatReceiver], Record | None]


class ChatMessageQueue:
    """Queue of stamped messages. Callable from any thread."""

    def __init__(self, receiver: ChatReceiver, capacity_each: int) -> None:
        """capacity_each: messages of one writer that may wait before it `is_full`."""
        self._receiver = receiver
        self._capacity_each = capacity_each
        self._changed = threading.Condition()
        self._waiting: FairQueue[str, tuple[Hashable, Record]] = FairQueue()
        self._by_writer: Counter[Hashable] = Counter()
        self._closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, writer: Hashable, receive: Receive) -> None:
        """Stamps and queues a message that the receiver accepts; never blocks."""
        with self._changed:
            record = receive(self._receiver)
            if record is not None:
                self._waiting.put(record.session, (writer, record))
                self._by_writer[writer] += 1
                self._changed.notify()

    def is_full(self, writer: Hashable) -> bool:
        """Whether a writer has as many messages waiting as it may."""
        return self._by_writer[writer] >= self._capacity_each

    def take(self, timeout_s: float) -> Record | None:
        """The next message; None after `timeout_s` of real time."""
        with self._changed:
            if not len(self._waiting) and not self._closed:
                self._changed.wait(timeout_s)
            taken = self._waiting.take()
            if taken is None:
                return None
            writer, record = taken[1]
            self._by_writer[writer] -= 1
            if not self._by_writer[writer]:
                del self._by_writer[writer]
            return record

    def progress(self) -> list[Progress]:
        """Progress until now of recent sessions without a waiting message."""
        with self._changed:
            return [progress for progress in self._receiver.progress() if self._waiting.lane(progress.session) is None]

    def close(self) -> None:
        """Ends the queue: nothing more will be put in."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def ended(self) -> bool:
        """Whether nothing waits and nothing more will come."""
        return self._closed and not len(self._waiting)
