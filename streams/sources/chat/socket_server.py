"""Chat over a Unix or TCP socket, one message a line.

One thread serves all clients, since a message is a few bytes. When messages are not taken, none is read, and clients
wait in their own `send` (back-pressure): chat is never dropped, and what was sent before the source stops is still
read. Nothing is answered. A Unix socket is for its owner and group. Where its file was removed it is made again;
clients that are connected stay. Left out: TLS and authentication; bind to loopback or a Unix socket.
"""

import contextlib
import os
import selectors
import socket
import stat
import threading
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import structlog

from streams.clock import Clock
from streams.formats.lines import LineBuffer
from streams.records import Modality
from streams.sources.base import Emit, SourceError
from streams.sources.chat.message_queue import ChatMessageQueue
from streams.sources.chat.receiver import TICK_S, ChatReceiver, Ticker
from streams.telemetry import Telemetry

log = structlog.get_logger(__name__)

_CHUNK_BYTES = 4 * 1024  # of one client at a time: two thousand of the shortest lines
_WAITING_LINES = 64  # of one client, beyond which no more is read from it
_MODE = 0o660  # who may speak, whatever the umask
_LAST_READS = 32  # together the 128 KiB that may lie in a socket
_SELECT_S = 0.05  # before clients that were held back are checked again
_MAX_CLIENTS = 256  # file descriptors, of which a service has 1024 by default


class SocketChat:
    """Live source of messages from clients of a socket.

    `address`: `unix:/path` or `tcp:host:port`. Owned by its runner's thread.
    """

    live = True
    modalities = frozenset({Modality.TEXT})

    def __init__(self, address: str, session: str, clock: Clock, telemetry: Telemetry, *, name: str = "chat") -> None:
        """ValueError if the address is neither."""
        self.name = name
        self._title = f"chat socket {address}"
        self._address = _parsed(address)
        self._clock = clock
        self._lines = ChatMessageQueue(ChatReceiver(session, clock, telemetry), _WAITING_LINES)
        self._ticker = Ticker(clock)
        self._selector: selectors.BaseSelector | None = None
        self._server: socket.socket | None = None
        self._file: tuple[int, int] | None = None
        """Device and inode of the Unix socket's file."""
        self._clients: dict[socket.socket, LineBuffer] = {}
        self._held_back: set[socket.socket] = set()

    @property
    def port(self) -> int | None:
        """The TCP port; None of a Unix socket, or if not open."""
        bound = self._server.getsockname() if self._server is not None else None
        return bound[1] if isinstance(bound, tuple) else None

    def open(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._listen(self._selector)

    def read(self, emit: Emit, stop: threading.Event) -> None:
        selector = self._selector
        if self._server is None or selector is None:
            raise SourceError(f"{self._title}: is closed")
        handing_on = threading.Thread(target=self._hand_on, args=(emit,), name=f"{self.name}-lines", daemon=True)
        handing_on.start()
        try:
            while not stop.is_set():
                self._serve(selector, _SELECT_S, stop)
                self._resume(selector, [client for client in self._held_back if not self._lines.is_full(client)])
                self._follow(selector)
            self._read_what_is_left(selector, stop)
        finally:
            self._lines.close()
            handing_on.join()

    def _hand_on(self, emit: Emit) -> None:
        """Runs on a thread of its own, since `emit` may block."""
        while not self._lines.ended():
            record = self._lines.take(TICK_S)
            if record is not None:
                emit(record)
            if self._ticker.is_due():
                for progress in self._lines.progress():
                    emit(progress)

    def _resume(self, selector: selectors.BaseSelector, clients: Iterable[socket.socket]) -> None:
        """Reads again from clients that were held back."""
        for client in clients:
            self._held_back.remove(client)
            selector.register(client, selectors.EVENT_READ)

    def _read_what_is_left(self, selector: selectors.BaseSelector, stop: threading.Event) -> None:
        """Reads all that connected clients sent before the stop.

        However much waits already.
        """
        self._resume(selector, list(self._held_back))
        for _ in range(_LAST_READS):
            self._serve(selector, 0.0, stop)

    def close(self) -> None:
        for client in list(self._clients):
            self._leave(client)
        if self._server is not None:
            self._server.close()
            self._server = None
            if isinstance(self._address, Path) and _identity(self._address) == self._file:
                self._address.unlink(missing_ok=True)
        if self._selector is not None:
            self._selector.close()
            self._selector = None

    def _listen(self, selector: selectors.BaseSelector) -> None:
        try:
            self._server = _listening(self._address)
        except OSError as error:
            raise SourceError(f"{self._title}: cannot be listened on: {error.strerror or error}") from error
        self._file = _identity(self._address) if isinstance(self._address, Path) else None
        selector.register(self._server, selectors.EVENT_READ)

    def _follow(self, selector: selectors.BaseSelector) -> None:
        """Listens again where the socket's file is gone.

        Raises SourceError if another took its place.
        """
        if self._server is None or not isinstance(self._address, Path) or _identity(self._address) == self._file:
            return
        log.warning("the socket's file was removed; it is made again", source=self.name)
        selector.unregister(self._server)
        self._server.close()
        self._server = None
        self._listen(selector)

    def _serve(self, selector: selectors.BaseSelector, wait_s: float, stop: threading.Event) -> None:
        for key, _ in selector.select(wait_s):
            if key.fileobj is not self._server:
                self._receive(key.fileobj, selector, stop)  # type: ignore[arg-type]  # only sockets are registered
            elif not self._accept(self._server, selector):
                self._clock.wait(stop, TICK_S)  # the selector would report the same client again at once

    def _accept(self, server: socket.socket, selector: selectors.BaseSelector) -> bool:
        """Accepts a client; False where that cannot be done now.

        The client may still be waiting.
        """
        try:
            client, _ = server.accept()
        except OSError as error:  # it left before it was accepted, or file descriptors ran out
            log.warning("chat client not accepted", source=self.name, error=str(error))
            return False
        if len(self._clients) >= _MAX_CLIENTS:
            log.warning("chat client refused: too many", source=self.name, clients=len(self._clients))
            client.close()
            return True
        client.setblocking(False)
        self._clients[client] = LineBuffer()
        selector.register(client, selectors.EVENT_READ)
        return True

    def _receive(self, client: socket.socket, selector: selectors.BaseSelector, stop: threading.Event) -> None:
        try:
            data = client.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:  # reset by the client: its earlier lines count
            data = b""
        lines = self._clients[client]
        for line in lines.feed(data) if data else lines.flush():
            self._lines.put(client, partial(ChatReceiver.line, line=line))
        if not data:
            self._leave(client)
        elif self._lines.is_full(client) and not stop.is_set():
            self._held_back.add(client)
            selector.unregister(client)

    def _leave(self, client: socket.socket) -> None:
        del self._clients[client]
        if client in self._held_back:
            self._held_back.remove(client)
        elif self._selector is not None:
            self._selector.unregister(client)
        client.close()


def _parsed(address: str) -> Path | tuple[str, int]:
    kind, _, rest = address.partition(":")
    if kind == "unix" and rest:
        return Path(rest)
    host, _, port = rest.rpartition(":")
    if kind == "tcp" and host and port.isdigit() and int(port) < 2**16:
        return host.strip("[]"), int(port)
    raise ValueError(f"a chat socket is unix:/path or tcp:host:port, not {address!r}")


def _listening(address: Path | tuple[str, int]) -> socket.socket:
    if isinstance(address, tuple):
        return socket.create_server(address, family=socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_abandoned(address)
        os.fchmod(server.fileno(), 0)  # until its mode is set, its file is nobody's
        server.bind(str(address))
        address.chmod(_MODE)
        server.listen()
    except OSError:
        server.close()
        raise
    return server


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode; None where there is no such file."""
    try:
        there = path.lstat()
    except OSError:
        return None
    return there.st_dev, there.st_ino


def _remove_abandoned(path: Path) -> None:
    """Removes the socket file that a killed service left behind.

    Raises OSError if something still listens on it.
    """
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return  # some other file: bind says that the name is taken
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
