"""The HTTP server: one thread with an event loop."""

import asyncio
import os
import socket
import threading
from functools import partial
from typing import Any, cast

import structlog
import uvicorn
from starlette.types import ASGIApp

from daemon.config.sections import HttpSettings
from daemon.config.values import split_address
from daemon.http.access import Access
from daemon.http.app import build_app
from daemon.http.connections import BoundedConnection
from daemon.http.feed import EventFeed
from daemon.http.view import DaemonView, OnRefused, RefusalReason
from streams.clock import Clock
from streams.deadline import Deadline
from streams.decoding.decode import Limits

log = structlog.get_logger(__name__)

_STOP_S = 2.0  # what open connections get before they are cut
_KEEP_ALIVE_S = 5
_BACKLOG = 128
_LOG_AGAIN_S = 60.0  # at most one line of the log so often for connections that cannot be accepted
_HEADERS = [("x-content-type-options", "nosniff"), ("cross-origin-resource-policy", "same-origin")]


def start_http(http: HttpSettings, view: DaemonView, feed: EventFeed, clock: Clock, limits: Limits) -> "HttpServer":
    """Starts the configured server; CannotBind if it cannot listen there."""
    access = Access(http.bind, http.allowed_hosts, http.token_file)
    server = HttpServer(http.bind, build_app(view, feed, clock, limits, access), feed, view.http_refused)
    server.start()
    log.info("listening", http=f"{split_address(http.bind)[0]}:{server.port}")
    return server


class CannotBind(Exception):
    """The address cannot be listened on.

    The message names it and the reason.
    """


class HttpServer:
    """Serves an application in a thread of its own.

    `start` and `stop` belong to the main thread.
    """

    def __init__(self, bind: str, app: ASGIApp, feed: EventFeed, refused: OnRefused) -> None:
        """`bind` is "host:port"; port 0 takes a free one.

        `refused` is called in the HTTP thread.
        """
        self._bind = bind
        self._feed = feed
        self._refused = refused
        self._logged_s: float | None = None
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=cast(type[asyncio.Protocol], partial(BoundedConnection, refused)),
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",  # what clients do wrong is counted, not logged
                access_log=False,
                proxy_headers=False,
                server_header=False,
                headers=_HEADERS,
                backlog=_BACKLOG,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=round(_STOP_S),
            )
        )
        self._thread: threading.Thread | None = None
        self.port = 0
        """The port that is listened on, once started."""

    def start(self) -> None:
        """Begins to listen; CannotBind if the address is taken or not ours."""
        host, port = split_address(self._bind)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        both = host == "::" and socket.has_dualstack_ipv6()
        try:
            listening = socket.create_server((host, port), family=family, backlog=_BACKLOG, dualstack_ipv6=both)
        except (OSError, TypeError, UnicodeError) as error:  # the last two: a name that cannot be encoded
            raise CannotBind(f"http.bind: cannot listen on {self._bind}: {_why(error)}") from None
        self.port = listening.getsockname()[1]
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(listening)), name="http", daemon=True)
        self._thread.start()

    def stop(self, deadline: Deadline) -> None:
        """Ends open streams and leaves; safe without `start`."""
        self._feed.close()
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(deadline.at_most(_STOP_S * 2).remaining_s)

    @property
    def is_alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread is not None and self._thread.is_alive()

    async def _serve(self, listening: socket.socket) -> None:
        asyncio.get_running_loop().set_exception_handler(self._loop_failed)
        await self._server.serve([listening])

    def _loop_failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Reports an error of the event loop once a second.

        Asyncio reports each connection that it cannot accept, up to the whole backlog every second.
        """
        error = context.get("exception")
        if not (isinstance(error, OSError) and "accept" in context["message"]):
            loop.default_exception_handler(context)
            return
        self._refused(RefusalReason.NO_FILE_DESCRIPTOR)
        if self._logged_s is None or loop.time() - self._logged_s >= _LOG_AGAIN_S:
            self._logged_s = loop.time()
            log.warning("connections cannot be accepted", why=_why(error))


def _why(error: OSError | TypeError | UnicodeError) -> str:
    if not isinstance(error, OSError):
        return "not a host name"
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return str(error.strerror).partition(" (")[0]  # a resolver's words, with the address once more
