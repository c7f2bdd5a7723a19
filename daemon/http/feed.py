"""Broadcasts published objects to the listeners of `/events` (server-sent events).

Each listener has a bounded queue. One that reads too slowly loses the oldest and is told how many it missed; the others
and the publisher notice nothing. What is left out: replay of what was published before a listener came.
"""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import AsyncIterator

_CAPACITY = 256  # at one window a second and ten sessions, half a minute of a stalled reader
_KEEP_ALIVE_S = 15.0  # proxies close connections that are silent for 30 to 60 s
MAX_LISTENERS = 64


class Listener:
    """One reader, with a bounded queue.

    `offer` may be called from any thread; the rest belongs to the HTTP thread's event loop.
    """

    def __init__(self, capacity: int) -> None:
        self._lock = threading.Lock()
        self._queue: deque[str] = deque()
        self._capacity = capacity
        self._missed = 0
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()

    def offer(self, chunk: str) -> None:
        """Queues one chunk; drops the oldest if the queue is full."""
        with self._lock:
            if len(self._queue) == self._capacity:
                self._queue.popleft()
                self._missed += 1
            self._queue.append(chunk)
        self._wake()

    def close(self) -> None:
        """Ends the stream after what is queued."""
        with self._lock:
            self._closed = True
        self._wake()

    async def chunks(self) -> AsyncIterator[str]:
        """The event stream (text/event-stream), with keep-alive comments."""
        yield ": affectd\n\n"
        while True:
            chunk = self._take()
            if chunk:
                yield chunk
            elif self._closed:
                return
            else:
                try:
                    await asyncio.wait_for(self._woken.wait(), _KEEP_ALIVE_S)
                except TimeoutError:
                    yield ": still here\n\n"

    def _take(self) -> str:
        with self._lock:
            self._woken.clear()
            missed, self._missed = self._missed, 0
            chunk = "".join(self._queue)
            self._queue.clear()
        return f'event: missed\ndata: {{"count": {missed}}}\n\n{chunk}' if missed else chunk

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the event loop has ended, and the reader with it
            self._loop.call_soon_threadsafe(self._woken.set)


class EventFeed:
    """All listeners. `publish` and `close` may be called from any thread."""

    def __init__(self, capacity: int = _CAPACITY) -> None:
        self._lock = threading.Lock()
        self._listeners: set[Listener] = set()
        self._capacity = capacity
        self._closed = False

    def publish(self, kind: str, event_id: str, data: str) -> None:
        """Sends one object (`data`: JSON on one line) to everyone who listens."""
        chunk = f"event: {kind}\nid: {event_id}\ndata: {data}\n\n"
        with self._lock:
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener.offer(chunk)

    def listen(self) -> Listener | None:
        """Adds a listener; None when there are too many, or after `close`.

        Called in the event loop that will read it.
        """
        with self._lock:
            if self._closed or len(self._listeners) >= MAX_LISTENERS:
                return None
            listener = Listener(self._capacity)
            self._listeners.add(listener)
            return listener

    def leave(self, listener: Listener) -> None:
        """Forgets a listener."""
        with self._lock:
            self._listeners.discard(listener)

    def close(self) -> None:
        """Ends all streams; nobody can listen any more."""
        with self._lock:
            self._closed = True
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener.close()
