"""The HTTP endpoints: health, metrics, status, events, and chat lines in.

The handlers know the daemon only as a `DaemonView`; its methods are called in the HTTP thread's event loop and must
return at once. Who may ask is in `daemon.http.access`, how long and how many in `daemon.http.connections`.
"""

from functools import partial
from urllib.parse import unquote_to_bytes

import structlog
from starlette.applications import Starlette
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from daemon.http.access import Access, AccessGuard, refusal
from daemon.http.feed import EventFeed, Listener
from daemon.http.view import DaemonView, Health, PostOutcome, RefusalReason
from streams.clock import Clock
from streams.decoding.decode import Limits, decode_record
from streams.reasons import BadRecord, DeadLetterReason
from streams.records import Modality, Record, is_session_name

log = structlog.get_logger(__name__)

_RETRY_AFTER_S = 5
_STREAM_HEADERS = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store"}
_INDEX = """affectd
/livez    progress of every thread and of the device
/readyz   warm, and the sources are open
/metrics  Prometheus, or OpenMetrics for those who accept it
/status   JSON
/events   predictions as they are published (server-sent events)
POST /chat/{session}  one line: text/plain, or application/json {"text", "author"?, "participant"?, "lang"?}
"""


class _AnythingConvertor(PathConvertor):
    """Matches any rest of a path, line ends too.

    So the endpoint can say what is wrong with them.
    """

    regex = "(?s:.*)"


register_url_convertor("anything", _AnythingConvertor())


def build_app(view: DaemonView, feed: EventFeed, clock: Clock, limits: Limits, access: Access) -> Starlette:
    """Builds the application. `limits` holds for posted chat lines."""
    pages, chat = _Pages(view, feed), _Chat(view, clock, limits)
    get = {
        "/": pages.index,
        "/livez": pages.livez,
        "/readyz": pages.readyz,
        "/metrics": pages.metrics,
        "/status": pages.status,
        "/events": pages.events,
    }
    app = Starlette(
        routes=[
            *(Route(path, endpoint) for path, endpoint in get.items()),
            Route("/chat/{session:anything}", chat.post, methods=["POST"]),
        ],
        middleware=[Middleware(AccessGuard, access=access, refused=view.http_refused)],
        exception_handlers={HTTPException: _no_such},
    )
    app.router.redirect_slashes = False  # a redirect would repeat the Host that was sent
    return app


class _Pages:
    """What is read: each method answers one path."""

    def __init__(self, view: DaemonView, feed: EventFeed) -> None:
        self._view = view
        self._feed = feed

    async def index(self, _: Request) -> Response:
        return PlainTextResponse(_INDEX)

    async def livez(self, _: Request) -> Response:
        return _health("live", self._view.live())

    async def readyz(self, _: Request) -> Response:
        return _health("ready", self._view.ready())

    async def metrics(self, request: Request) -> Response:
        body, content_type = self._view.metrics(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    async def status(self, _: Request) -> Response:
        return JSONResponse(self._view.status())

    async def events(self, request: Request) -> Response:
        if request.method == "HEAD":
            return Response(headers=_STREAM_HEADERS)
        listener = self._feed.listen()
        if listener is None:
            self._view.http_refused(RefusalReason.TOO_MANY_LISTENERS)
            return refusal(503, "too many listeners, or stopping", headers={"retry-after": str(_RETRY_AFTER_S)})
        return _EventStream(self._feed, listener)


class _Chat:
    """Takes posted chat lines, each checked before the daemon is handed it."""

    def __init__(self, view: DaemonView, clock: Clock, limits: Limits) -> None:
        self._view = view
        self._clock = clock
        self._limits = limits

    async def post(self, request: Request) -> Response:
        session = _session(request)
        if session is None or not is_session_name(session):
            return self._refused(
                400, DeadLetterReason.INVALID_SESSION, "a session is named by 1 to 256 printable characters in UTF-8"
            )
        if request.headers.get("content-encoding", "identity") != "identity":
            identity = {"accept-encoding": "identity"}
            return self._refused(
                415, DeadLetterReason.CONTENT_TYPE, "a body is sent without Content-Encoding", identity
            )
        try:
            record = await self._record(session, request)
        except BadRecord as bad:
            return self._refused(413 if bad.reason is DeadLetterReason.OVERSIZED else 400, bad.reason, str(bad))
        except ClientDisconnect:
            self._view.http_refused(RefusalReason.DISCONNECTED)
            log.debug("a client left in the middle of a line")
            return Response(status_code=400)  # to nobody
        outcome = self._view.post_chat(record)
        if outcome in (PostOutcome.FULL, PostOutcome.CLOSED):
            self._view.refused(DeadLetterReason(outcome))
        return _posted(outcome)

    async def _record(self, session: str, request: Request) -> Record:
        body = await _body(request, self._limits.max_line_bytes)
        now_ns = self._clock.wall_ns()
        content_type = request.headers.get("content-type", "text/plain")
        record = Record(session, Modality.TEXT, content_type, body, event_time_ns=now_ns, received_ns=now_ns)
        decode_record(record, self._limits, live=True)
        return record

    def _refused(
        self, status: int, reason: DeadLetterReason, message: str, headers: dict[str, str] | None = None
    ) -> Response:
        self._view.refused(reason)
        return refusal(status, message, reason, headers)


def _health(name: str, health: Health) -> Response:
    return JSONResponse({name: health.ok, "reasons": health.reasons}, status_code=200 if health.ok else 503)


class _EventStream(StreamingResponse):
    """Streams events to one listener until either side ends it.

    Its place is free again even if nothing was sent.
    """

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
    """The session named by the rest of the path.

    None where it is no UTF-8, which the decoded path hides.
    """
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
