"""What the daemon says over HTTP, and the one thing it takes: chat lines.

The handlers know the daemon only as a `DaemonView`; its methods are called in the HTTP thread's event loop and must
return at once. Who may ask is in `daemon.http.access`, how long and how many in `daemon.http.connections`.
"""

import asyncio
import os
import socket
import threading
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any, Protocol, cast
from urllib.parse import unquote_to_bytes

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from daemon.config.values import split_address
from daemon.http.access import Access, AccessGuard, OnRefused, RefusalReason, refusal
from daemon.http.connections import BoundedConnection
from daemon.http.feed import EventFeed, Listener
from streams.clock import Clock
from streams.deadline import Deadline
from streams.decoding.decode import Limits, decode_record
from streams.reasons import BadRecord, DeadLetterReason
from streams.records import Modality, Record, is_session_name

log = structlog.get_logger(__name__)

_STOP_S = 2.0  # what open connections get before they are cut
_KEEP_ALIVE_S = 5
_BACKLOG = 128
_TELL_AGAIN_S = 60.0  # at most one line of the log so often for connections that cannot be accepted
_HEADERS = [("x-content-type-options", "nosniff"), ("cross-origin-resource-policy", "same-origin")]
_RETRY_AFTER_S = 5
_STREAM_HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store"}
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


class PostOutcome(StrEnum):
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

    def refused(self, reason: DeadLetterReason) -> None:
        """Counts a line that was not taken."""
        ...

    def http_refused(self, reason: RefusalReason) -> None:
        """Counts a connection or request that was not served."""
        ...

    def post_chat(self, record: Record) -> PostOutcome:
        """Hands on a line that has been checked; never blocks."""
        ...


class _AnythingConvertor(PathConvertor):
    """Line ends too, so that it is the endpoint that says what is wrong with them."""

    regex = "(?s:.*)"


register_url_convertor("anything", _AnythingConvertor())


class CannotBind(Exception):
    """The address cannot be listened on; the message names it and the reason."""


class HttpServer:
    """Serves `app` in a thread of its own. `start` and `stop` belong to the main thread."""

    def __init__(self, bind: str, app: Starlette, feed: EventFeed, refused: OnRefused) -> None:
        """`bind` is "host:port"; port 0 takes a free one. `refused` is called in the HTTP thread."""
        self._bind = bind
        self._feed = feed
        self._refused = refused
        self._told_s: float | None = None
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
        """Listens from now on; CannotBind if the address is taken or not ours."""
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
        """Asyncio tells each connection that it cannot accept, up to the whole backlog every second."""
        error = context.get("exception")
        if not (isinstance(error, OSError) and "accept" in context["message"]):
            loop.default_exception_handler(context)
            return
        self._refused(RefusalReason.NO_FILE_DESCRIPTOR)
        if self._told_s is None or loop.time() - self._told_s >= _TELL_AGAIN_S:
            self._told_s = loop.time()
            log.warning("connections cannot be accepted", why=_why(error))


def _why(error: OSError | TypeError | UnicodeError) -> str:
    if not isinstance(error, OSError):
        return "not a host name"
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return str(error.strerror).partition(" (")[0]  # a resolver's words, with the address once more


def build_app(view: DaemonView, feed: EventFeed, clock: Clock, limits: Limits, access: Access) -> Starlette:
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

    async def events(request: Request) -> Response:
        if request.method == "HEAD":
            return Response(headers=_STREAM_HEADERS)
        listener = feed.listen()
        if listener is None:
            view.http_refused(RefusalReason.TOO_MANY_LISTENERS)
            return refusal(503, "too many listeners, or stopping", headers={"retry-after": str(_RETRY_AFTER_S)})
        return _EventStream(feed, listener)

    async def chat(request: Request) -> Response:
        session = _session(request)
        if session is None or not is_session_name(session):
            view.refused(DeadLetterReason.INVALID_SESSION)
            return refusal(400, "a session is named by 1 to 256 printable characters in UTF-8", "invalid_session")
        if request.headers.get("content-encoding", "identity") != "identity":
            view.refused(DeadLetterReason.CONTENT_TYPE)
            return refusal(
                415, "a body is sent without Content-Encoding", "content_type", {"accept-encoding": "identity"}
            )
        try:
            record = _chat_record(session, request, await _body(request, limits.max_line_bytes), clock)
            decode_record(record, limits, live=True)
        except BadRecord as bad:
            view.refused(bad.reason)
            return refusal(413 if bad.reason == "oversized" else 400, str(bad), bad.reason)
        except ClientDisconnect:
            view.http_refused(RefusalReason.DISCONNECTED)
            log.debug("a client left in the middle of a line")
            return Response(status_code=400)  # to nobody
        outcome = view.post_chat(record)
        if outcome in (PostOutcome.FULL, PostOutcome.CLOSED):
            view.refused(DeadLetterReason(outcome))
        return _posted(outcome)

    get = {"/": index, "/livez": livez, "/readyz": readyz, "/metrics": metrics, "/status": status, "/events": events}
    app = Starlette(
        routes=[
            *(Route(path, endpoint) for path, endpoint in get.items()),
            Route("/chat/{session:anything}", chat, methods=["POST"]),
        ],
        middleware=[Middleware(AccessGuard, access=access, refused=view.http_refused)],
        exception_handlers={HTTPException: _no_such},
    )
    app.router.redirect_slashes = False  # a redirect would repeat the Host that was sent
    return app


def _health(name: str, health: Health) -> Response:
    return JSONResponse({name: health.ok, "reasons": health.reasons}, status_code=200 if health.ok else 503)


class _EventStream(StreamingResponse):
    """What a listener gets, until either side ends it; its place is free again even if nothing was sent."""

    def __init__(self, feed: EventFeed, listener: Listener) -> None:
        super().__init__(listener.chunks(), headers=_STREAM_HEADERS)
        self._leave = partial(feed.leave, listener)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._leave()


async def _no_such(_: Request, error: Exception) -> Response:
    """Starlette's answers to what no route takes, as JSON."""
    if not isinstance(error, HTTPException):
        raise error
    return refusal(error.status_code, error.detail, headers=dict(error.headers or {}))


def _session(request: Request) -> str | None:
    """The rest of the path; None where it is no UTF-8, which the decoded path hides."""
    try:
        return unquote_to_bytes(request.scope["raw_path"]).decode().removeprefix("/chat/")
    except UnicodeDecodeError:
        return None


async def _body(request: Request, limit_bytes: int) -> bytes:
    declared = request.headers.get("content-length", "0")
    body = bytearray()
    if int(declared) <= limit_bytes:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit_bytes:
                break
        else:
            return bytes(body)
    raise BadRecord(DeadLetterReason.OVERSIZED, f"more than {limit_bytes} bytes")


def _chat_record(session: str, request: Request, body: bytes, clock: Clock) -> Record:
    now_ns = clock.wall_ns()
    content_type = request.headers.get("content-type", "text/plain")
    return Record(session, Modality.TEXT, content_type, body, event_time_ns=now_ns, received_ns=now_ns)


def _posted(outcome: PostOutcome) -> Response:
    match outcome:
        case PostOutcome.ACCEPTED:
            return JSONResponse({"accepted": True}, status_code=202)
        case PostOutcome.FULL:
            return refusal(429, "the queue is full; try again later", headers={"retry-after": "1"})
        case PostOutcome.CLOSED:
            return refusal(503, "the daemon is starting or stopping; try again later", headers={"retry-after": "1"})
        case PostOutcome.NO_SOURCE:
            return refusal(404, "no chat source with transport http is configured")
