"""Bounds HTTP connections in time and number.

So no client keeps others out. uvicorn times only the pause between two requests. Here a whole request, headers and
body, must arrive in `REQUEST_TIMEOUT_S`, and what was answered must be read in as long. Above `MAX_CONNECTIONS` the one
that has waited longest for its client is cut, so that a probe always finds room. What a client does wrong is counted
and costs no line of the log. Left out: bounds per client; behind a proxy all have one address.
"""

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from daemon.http.feed import MAX_LISTENERS
from daemon.http.view import OnRefused, RefusalReason

MAX_CONNECTIONS = 4 * MAX_LISTENERS  # a quarter of the 1,024 files that a process may open unless told otherwise
REQUEST_TIMEOUT_S = 10.0  # a line of chat on a bad mobile link takes two
_LAST_READ_S = 1.5  # what a listener gets to read the rest when the server stops, which itself waits for 2 s
_CLIENTS_TURN = (h11.IDLE, h11.SEND_BODY)


class BoundedConnection(H11Protocol):
    """uvicorn's HTTP/1.1 protocol with deadlines. Belongs to the HTTP thread's event loop."""

    def __init__(self, refused: OnRefused, **arguments: Any) -> None:
        """`arguments` are uvicorn's."""
        super().__init__(**arguments)
        self._refused = refused
        self._deadline: asyncio.TimerHandle | None = None
        self.waiting_since_s = self.loop.time()
        """When it was accepted, or last answered, by the loop's clock."""

    @property
    def can_be_cut(self) -> bool:
        """Whether the connection waits for its client.

        For the end of a request, or until an answer is read.
        """
        answered = self.cycle is None or self.cycle.response_complete
        return answered or self.conn.their_state in _CLIENTS_TURN or self.flow.write_paused

    def cut(self, reason: RefusalReason) -> None:
        """Ends the connection at once, whatever is under way."""
        self._refused(reason)
        self.connections.discard(self)
        self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._start_deadline()
        if len(self.connections) > MAX_CONNECTIONS:
            waiting = [c for c in self.connections if isinstance(c, BoundedConnection) and c.can_be_cut]
            min(waiting, key=lambda c: c.waiting_since_s).cut(RefusalReason.TOO_MANY_CONNECTIONS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._start_deadline()
        super().data_received(data)
        if self.conn.their_state not in _CLIENTS_TURN and not self.transport.is_closing():
            self._end_deadline()

    def on_response_complete(self) -> None:
        self.waiting_since_s = self.loop.time()
        if self.transport.get_write_buffer_size():
            self._start_deadline()
        super().on_response_complete()
        if not self.can_be_cut:  # a pipelined request, which is being answered
            self._end_deadline()

    def timeout_keep_alive_handler(self) -> None:
        if self.transport.get_write_buffer_size():
            self.cut(RefusalReason.TIMEOUT)
        else:
            super().timeout_keep_alive_handler()

    def send_400_response(self, msg: str) -> None:
        self._refused(RefusalReason.INVALID_REQUEST)
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:  # an answer is under way, or was given
            self.transport.abort()

    def shutdown(self) -> None:
        if self.conn.their_state is h11.SEND_BODY:
            self.cut(RefusalReason.DISCONNECTED)
        else:
            super().shutdown()
            self._end_deadline()
            self._deadline = self.loop.call_later(_LAST_READ_S, self.cut, RefusalReason.DISCONNECTED)

    def _start_deadline(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(REQUEST_TIMEOUT_S, self.cut, RefusalReason.TIMEOUT)

    def _end_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
