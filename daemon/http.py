"""What the daemon says over HTTP, and the one thing it takes: chat lines.

The handlers know the daemon only as a `DaemonView`; its methods are called in the HTTP thread's event loop and must
return at once. Nothing here authenticates, which is why the default address is the loopback one.
"""

import os
import socket
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from daemon.config.values import split_address
from daemon.feed import EventFeed
from streams.clock import Clock
from streams.decode import BadRecord, Limits, decode
from streams.records import Modality, Record
from streams.sources.chat import is_session_name

_STOP_S = 2.0  # what open connections get before they are cut
_INDEX = """affectd
/livez    progress of every thread and of the device
/readyz   warm, and the sources are open
/metrics  Prometheus, or OpenMetrics for those who accept it
/status   JSON
/events   predictions as they are published (server-sent events)
POST /chat/{session}  one line: text/plain, or application/json {"text", "author"?, "lang"?}
"""


@dataclass(frozen=True, slots=True)
class Health:
    """Whether all is well, and if not, a sentence for each reason."""

    ok: bool
    reasons: tuple[str, ...] = ()


class Posted(StrEnum):
    """What became of a chat line."""

    ACCEPTED = "accepted"
    FULL = "full"
    CLOSED = "closed"
    NO_SOURCE = "no_source"


class DaemonView(Protocol):
    """The daemon as HTTP sees it."""

    def live(self) -> Health:
        """Every thread and the device make progress."""
        ...

    def ready(self) -> Health:
        """Warm, and the sources are open."""
        ...

    def status(self) -> dict[str, Any]:
        """A JSON object for people and tools."""
        ...

    def metrics(self, accept: str) -> tuple[bytes, str]:
        """The exposition and its content type."""
        ...

    def refused(self, reason: str) -> None:
        """Counts a line that was not taken."""
        ...

    def post_chat(self, record: Record) -> Posted:
        """Hands on a line that has been checked; never blocks."""
        ...


class CannotBind(Exception):
    """The address cannot be listened on; the message names it and the reason."""


class HttpServer:
    """Serves `app` in a thread of its own. `start` and `stop` belong to the main thread."""

    def __init__(self, bind: str, app: Starlette, feed: EventFeed) -> None:
        """`bind` is "host:port"; port 0 takes a free one."""
        self._bind = bind
        self._feed = feed
        self._server = uvicorn.Server(
            uvicorn.Config(
                app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=round(_STOP_S)
            )
        )
        self._thread: threading.Thread | None = None
        self.port = 0
        """The port that is listened on, once started."""

    def start(self) -> None:
        """Listens from now on; CannotBind if the address is taken or not ours."""
        host, port = split_address(self._bind)
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listening = socket.create_server((host, port), family=family, backlog=128)
        except OSError as error:
            why = os.strerror(error.errno) if error.errno else str(error)
            raise CannotBind(f"http.bind: cannot listen on {self._bind}: {why}") from None
        self.port = listening.getsockname()[1]
        self._thread = threading.Thread(target=self._server.run, args=([listening],), name="http", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends open streams and leaves; safe without `start`."""
        self._feed.close()
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(_STOP_S * 2)


def build_app(view: DaemonView, feed: EventFeed, clock: Clock, limits: Limits) -> Starlette:
    """The application. `limits` holds for posted chat lines."""

    async def index(_: Request) -> Response:
        return PlainTextResponse(_INDEX)

    async def livez(_: Request) -> Response:
        return _health("live", view.live())

    async def readyz(_: Request) -> Response:
        return _health("ready", view.ready())

    async def metrics(request: Request) -> Response:
        body, content_type = view.metrics(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    async def status(_: Request) -> Response:
        return JSONResponse(view.status())

    async def events(_: Request) -> Response:
        return _event_stream(feed)

    async def chat(request: Request) -> Response:
        if _crosses_sites(request):
            return _refusal(403, "posted by a page of another site")
        session = request.path_params["session"]
        if not is_session_name(session):
            view.refused("invalid_session")
            return _refusal(400, "a session is named by 1 to 256 printable characters", "invalid_session")
        try:
            record = _chat_record(session, request, await _body(request, limits.max_line_bytes), clock)
            decode(record, limits, live=True)
        except BadRecord as bad:
            view.refused(bad.reason)
            return _refusal(413 if bad.reason == "oversized" else 400, str(bad), bad.reason)
        outcome = view.post_chat(record)
        if outcome in (Posted.FULL, Posted.CLOSED):
            view.refused(outcome)
        return _posted(outcome)

    get = {"/": index, "/livez": livez, "/readyz": readyz, "/metrics": metrics, "/status": status, "/events": events}
    return Starlette(
        routes=[
            *(Route(path, endpoint) for path, endpoint in get.items()),
            Route("/chat/{session:path}", chat, methods=["POST"]),
        ]
    )


def _health(name: str, health: Health) -> Response:
    return JSONResponse({name: health.ok, "reasons": health.reasons}, status_code=200 if health.ok else 503)


def _event_stream(feed: EventFeed) -> Response:
    listener = feed.listen()
    if listener is None:
        return _refusal(503, "too many listeners, or stopping")

    async def chunks() -> AsyncIterator[str]:
        try:
            async for chunk in listener.chunks():
                yield chunk
        finally:
            feed.leave(listener)

    return StreamingResponse(chunks(), media_type="text/event-stream", headers={"cache-control": "no-store"})


def _crosses_sites(request: Request) -> bool:
    """A browser names the page that posts; only our own may, or any page could write into a session."""
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("host")


async def _body(request: Request, limit_bytes: int) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit_bytes:
            raise BadRecord("oversized", f"more than {limit_bytes} bytes")
    return body


def _chat_record(session: str, request: Request, body: bytes, clock: Clock) -> Record:
    now_ns = clock.wall_ns()
    content_type = request.headers.get("content-type", "text/plain")
    return Record(session, Modality.TEXT, content_type, body, event_time_ns=now_ns, received_ns=now_ns)


def _posted(outcome: Posted) -> Response:
    match outcome:
        case Posted.ACCEPTED:
            return JSONResponse({"accepted": True}, status_code=202)
        case Posted.FULL:
            return _refusal(429, "the queue is full; try again later", headers={"retry-after": "1"})
        case Posted.CLOSED:
            return _refusal(503, "the daemon is starting or stopping; try again later", headers={"retry-after": "1"})
        case Posted.NO_SOURCE:
            return _refusal(404, "no chat source with transport http is configured")


def _refusal(status: int, message: str, reason: str = "", headers: dict[str, str] | None = None) -> Response:
    body = {"error": message} | ({"reason": reason} if reason else {})
    return JSONResponse(body, status_code=status, headers=headers)
