"""Who may ask over HTTP.

It is told by the name in `Host`, the page in `Origin`, and the bearer token.
Problem: a browser reaches the loopback address for every page that it shows. A page of another site can post there, and
one whose own name resolves to 127.0.0.1 (DNS rebinding) can read the answers too. Rule: `Host` must be a name of this
server, a page must be of the same origin, and with a token file only `/livez` and `/readyz` are open. A command-line
client sends no `Origin`, so only `Host` and the token concern it. Left out: TLS and accounts: a proxy's part.
"""

import hmac
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from daemon.config.values import is_loopback, is_loopback_host, split_address
from daemon.http.view import OnRefused, RefusalReason
from streams.kafka.connection import ConnectionProblem, read_secret

OPEN_PATHS = frozenset({"/livez", "/readyz"})
"""Probes carry no token."""


@dataclass(frozen=True, slots=True)
class Access:
    """The bound address, further host names, and the token's file."""

    bind: str = "127.0.0.1:9109"
    allowed_hosts: tuple[str, ...] = ()
    token_file: str = ""
    """A path or "credential:NAME", read for every request, so that a renewed token counts at once; "" asks for none."""

    def answers_to(self, host: str) -> bool:
        """Whether the value of a `Host` header names this server.

        Where not only this machine is served, any IP address is: a rebound name is never one.
        """
        try:
            name = (urlsplit(f"//{host}").hostname or "").removesuffix(".")
        except ValueError:
            return False
        names = {split_address(self.bind)[0].lower(), *(allowed.lower() for allowed in self.allowed_hosts)}
        if name in names or is_loopback_host(name):
            return True
        return not is_loopback(self.bind) and _is_ip_address(name)


class AccessGuard:
    """ASGI middleware that refuses what `Access` does not allow, as JSON."""

    def __init__(self, app: ASGIApp, access: Access, refused: OnRefused) -> None:
        self._app = app
        self._access = access
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = self._refusal(scope) if scope["type"] == "http" else None
        await (response or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host")
        if host is not None and not self._access.answers_to(host):
            self._refused(RefusalReason.HOST)
            return refusal(403, "the Host header is no name of this server; http.allowed_hosts can add one")
        if _crosses_sites(scope["method"], headers):
            self._refused(RefusalReason.CROSS_SITE)
            return refusal(403, "asked by a page of another site")
        if "transfer-encoding" in headers and "content-length" in headers:
            self._refused(RefusalReason.INVALID_REQUEST)
            close = {"connection": "close"}  # where its body ends is a matter of opinion
            return refusal(400, "a body has Content-Length or Transfer-Encoding, not both", headers=close)
        if self._access.token_file and scope["path"] not in OPEN_PATHS:
            return self._token_refusal(headers)
        return None

    def _token_refusal(self, headers: Headers) -> Response | None:
        try:
            token = read_secret(self._access.token_file).strip()
        except ConnectionProblem:
            token = ""
        if not token:
            self._refused(RefusalReason.TOKEN)
            return refusal(503, "the file of http.token_file cannot be read, or holds nothing")
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode()):
            return None
        self._refused(RefusalReason.TOKEN)
        challenge = {"www-authenticate": "Bearer"}
        return refusal(401, "needs the header Authorization: Bearer with the token of http.token_file", "", challenge)


def refusal(status: int, message: str, reason: str = "", headers: dict[str, str] | None = None) -> Response:
    """What is answered instead of what was asked for."""
    body = {"error": message} | ({"reason": reason} if reason else {})
    return JSONResponse(body, status_code=status, headers=headers)


def _crosses_sites(method: str, headers: Headers) -> bool:
    """Whether a browser sent this for a page that is not ours.

    Following a link is allowed from anywhere: the page that holds the link cannot read the answer.
    """
    origin = headers.get("origin")
    if origin is not None and _host_of(origin) != headers.get("host", "").lower():
        return True
    if headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
        return False
    link = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return not (link and method in ("GET", "HEAD"))


def _host_of(origin: str) -> str | None:
    """Host and port of an `Origin`.

    None for "null" and for what is no origin.
    """
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def _is_ip_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
