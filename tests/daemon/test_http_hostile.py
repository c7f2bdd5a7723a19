"""HTTP against web pages, strangers and broken clients: over real sockets, byte for byte."""

import asyncio
import logging
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from daemon.http import connections
from daemon.http.access import Access
from daemon.http.app import build_app
from daemon.http.connections import MAX_CONNECTIONS
from daemon.http.feed import MAX_LISTENERS, EventFeed
from daemon.http.server import HttpServer
from daemon.http.view import RefusalReason
from streams.clock import ManualClock
from streams.decoding.decode import Limits
from tests.daemon.making import deadline
from tests.daemon.test_http import StubDaemon

pytestmark = pytest.mark.unit

WAIT_S = 20.0  # for what happens at once on an idle machine


@dataclass
class Server:
    """A running server, spoken to in bytes."""

    daemon: StubDaemon
    feed: EventFeed
    http: HttpServer

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.http.port), timeout=WAIT_S)

    def ask(self, request: bytes) -> bytes:
        """Everything that is answered until the server ends the connection."""
        with self.connect() as client:
            client.sendall(request)
            return read_all(client)

    def status(self, method: str, path: str, *headers: str, body: bytes = b"") -> int:
        lines = [f"{method} {path} HTTP/1.1", *headers, "Connection: close", f"Content-Length: {len(body)}"]
        if not any(header.lower().startswith("host:") for header in headers):
            lines.insert(1, f"Host: 127.0.0.1:{self.http.port}")
        return status_of(self.ask("\r\n".join([*lines, "", ""]).encode() + body))

    def refused(self, reason: RefusalReason) -> int:
        return self.daemon.turned_away.count(reason)


def read_all(client: socket.socket) -> bytes:
    answer = b""
    try:
        while chunk := client.recv(65_536):
            answer += chunk
    except ConnectionResetError:
        pass
    return answer


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def eventually(true: object) -> None:
    assert callable(true)
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def serving(access: Access) -> Iterator[Server]:
    daemon, feed = StubDaemon(), EventFeed()
    app = build_app(daemon, feed, ManualClock(), Limits(max_line_bytes=100), access)
    http = HttpServer("127.0.0.1:0", app, feed, daemon.http_refused)
    http.start()
    yield Server(daemon, feed, http)
    http.stop(deadline())


@pytest.fixture(scope="module")
def _loopback() -> Iterator[Server]:
    yield from serving(Access(allowed_hosts=("Affectd.Internal",)))


@pytest.fixture
def server(_loopback: Server) -> Server:
    """One server for the whole file, and nothing counted yet."""
    for happened in (_loopback.daemon.records, _loopback.daemon.reasons, _loopback.daemon.turned_away):
        happened.clear()
    return _loopback


# Web pages.


@pytest.mark.parametrize("path", ["/", "/livez", "/readyz", "/metrics", "/status", "/events", "/chat/a", "/none"])
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:9109", "192.0.2.1", "user@", "[::1", ""])
def test_a_page_whose_name_resolves_to_the_loopback_address_reads_nothing(server: Server, path: str, host: str) -> None:
    answer = server.ask(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert status_of(answer) in (400, 403)
    assert b"running" not in answer
    assert server.daemon.turned_away in ([RefusalReason.HOST], [RefusalReason.INVALID_REQUEST])


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:80", "localhost.", "127.0.0.1", "127.8.0.1:9109", "[::1]:9109", "affectd.internal:1"],
)
def test_names_of_the_loopback_address_and_allowed_ones_are_answered_on_any_port(server: Server, host: str) -> None:
    assert server.status("GET", "/status", f"Host: {host}") == 200


@pytest.mark.parametrize(
    "headers",
    [
        ["Origin: http://evil.example"],
        ["Origin: http://127.0.0.1:1"],
        ["Origin: null"],
        ["Origin: http://[::1"],
        ["Origin:"],
        ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: script"],
        ["Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"],
        ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"],
    ],
)
def test_a_page_of_another_site_neither_reads_nor_posts(server: Server, headers: list[str]) -> None:
    assert server.status("GET", "/status", *headers) == 403
    assert server.status("POST", "/chat/a", "Content-Type: text/plain", *headers, body=b"hello") == 403
    assert server.daemon.records == []
    assert server.daemon.turned_away == [RefusalReason.CROSS_SITE] * 2


def test_a_form_of_another_site_that_leads_here_posts_nothing(server: Server) -> None:
    link = ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"]
    assert server.status("GET", "/status", *link) == 200  # a link, whose answer only the person sees
    assert server.status("POST", "/chat/a", *link, body=b"hello") == 403


def test_a_page_of_our_own_posts_and_reads(server: Server) -> None:
    own = [f"Origin: http://127.0.0.1:{server.http.port}", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors"]
    assert server.status("POST", "/chat/a", *own, body=b"hello") == 202
    assert server.status("GET", "/status", *own) == 200


def test_a_server_for_other_machines_is_asked_by_any_address_but_only_by_names_that_are_allowed() -> None:
    access = Access("0.0.0.0:9109", ("affectd.example",))
    hosts = ("192.0.2.7:9109", "[2001:db8::1]", "affectd.example", "localhost")
    assert all(access.answers_to(host) for host in hosts)
    assert not access.answers_to("evil.example")
    assert Access("affectd.lan:9109").answers_to("AFFECTD.LAN:9109")


# A token.


def test_with_a_token_file_only_probes_are_open_and_a_renewed_token_counts_at_once(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret-1\n", encoding="utf-8")
    for server in serving(Access(token_file=str(token))):
        paths = ("/", "/metrics", "/status", "/events", "/none", "/livez/", "//livez", "/livez%2f", "/chat/livez")
        assert {server.status("GET", path) for path in paths} == {401}
        assert server.status("POST", "/chat/a", body=b"hello") == 401
        assert {server.status("GET", path) for path in ("/livez", "/readyz")} == {200}
        for wrong in ("Bearer s3cret-2", "Bearer", "Basic s3cret-1", "s3cret-1", "Bearer s3cret-1x", "Bearer \xe9"):
            assert server.status("GET", "/status", f"Authorization: {wrong}") == 401
        assert server.status("GET", "/status", "Authorization: bearer s3cret-1") == 200
        token.write_text("s3cret-2\n", encoding="utf-8")
        assert server.status("GET", "/status", "Authorization: Bearer s3cret-1") == 401
        assert server.status("GET", "/status", "Authorization: Bearer s3cret-2") == 200
        token.write_text(" \n", encoding="utf-8")
        assert server.status("GET", "/status", "Authorization: Bearer ") == 503
        token.unlink()
        assert server.status("GET", "/status", "Authorization: Bearer s3cret-2") == 503
        assert server.status("GET", "/livez") == 200


# Clients that leave, stall, or are too many.


def test_head_is_answered_as_get_without_a_body_and_ends(server: Server) -> None:
    for path in ("/", "/livez", "/metrics", "/status", "/events"):
        answer = server.ask(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        head, _, body = answer.partition(b"\r\n\r\n")
        assert (status_of(answer), body) == (200, b"")
        assert (b"text/event-stream" in head) == (path == "/events")


def test_listeners_beyond_the_last_place_are_told_when_to_come_again_and_places_are_freed(server: Server) -> None:
    ask = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with ExitStack() as listeners:
        for _ in range(MAX_LISTENERS):
            client = listeners.enter_context(server.connect())
            client.sendall(ask)
            assert b"200 OK" in client.recv(1000)
        answer = server.ask(ask.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert (status_of(answer), b"retry-after: 5" in answer) == (503, True)
        assert server.refused(RefusalReason.TOO_MANY_LISTENERS) == 1
        assert server.status("HEAD", "/events") == 200
    for _ in range(MAX_LISTENERS):  # who leaves before the first byte leaves no place taken either
        with server.connect() as client:
            client.sendall(ask)

    def has_room() -> bool:
        with server.connect() as client:
            client.sendall(ask)
            return status_of(client.recv(1000)) == 200

    eventually(has_room)


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 50\r\n\r\nhalf a", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel"]
)
def test_who_leaves_in_the_middle_of_a_line_is_counted_and_logs_no_error(
    server: Server, framing: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        with server.connect() as client:
            client.sendall(b"POST /chat/a HTTP/1.1\r\nHost: localhost\r\n" + framing)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # ends by a reset
    eventually(lambda: server.refused(RefusalReason.DISCONNECTED) == 3)
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []
    assert (server.daemon.records, server.daemon.reasons) == ([], [])


@pytest.mark.parametrize(
    "slow",
    [
        [b"GET /livez HTTP/1.1\r\n", b"Host: localhost\r\n"] + [b"X: 1\r\n"] * 1000,
        [b"POST /chat/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90\r\n\r\n"] + [b"x"] * 80,
        [b"POST /chat/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000\r\n\r\n"] + [b"x"] * 1000,  # is refused
        [b""],
        [b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET "],
    ],
    ids=["headers", "body", "body of a refused line", "nothing", "second request"],
)
def test_a_request_that_comes_too_slowly_is_cut(
    server: Server, slow: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "REQUEST_TIMEOUT_S", 0.3)
    with server.connect() as client:
        client.settimeout(0.02)
        deadline = time.monotonic() + WAIT_S
        open_still = True
        while open_still:
            assert time.monotonic() < deadline
            try:
                if slow:
                    client.sendall(slow.pop(0))
                open_still = client.recv(1000) != b""
            except TimeoutError:
                pass
            except (ConnectionResetError, BrokenPipeError):
                open_still = False
    eventually(lambda: server.refused(RefusalReason.TIMEOUT) == 1)


def test_probes_are_answered_while_more_connections_are_held_than_there_is_room_for(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with ExitStack() as held:
        idle = [held.enter_context(server.connect()) for _ in range(MAX_CONNECTIONS + 20)]
        reading = b"POST /chat/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\nhalf a"
        for client in idle[-20:]:
            client.sendall(reading)
        assert server.status("GET", "/livez") == 200
        assert server.refused(RefusalReason.TOO_MANY_CONNECTIONS) >= 20
        assert read_all(idle[0]) == b""  # the one that has waited longest
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


def test_who_asks_and_never_reads_makes_room_too(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 8)
    many = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 400
    with ExitStack() as held:
        for _ in range(8):
            client = held.enter_context(server.connect())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            client.send(many)
        assert server.status("GET", "/livez") == 200


def test_what_cannot_be_accepted_is_told_once(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    failed = {"message": "socket.accept() out of system resource", "exception": OSError(24, "Too many open files")}
    loop = asyncio.new_event_loop()
    for _ in range(100):
        server.http._loop_failed(loop, failed)
    loop.close()
    assert server.refused(RefusalReason.NO_FILE_DESCRIPTOR) == 100
    assert len(caplog.records) <= 1


def test_stopping_waits_for_no_half_request_and_no_listener_that_does_not_read(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for server in serving(Access()):
        with ExitStack() as held:
            half, reads, stuck = (held.enter_context(server.connect()) for _ in range(3))
            stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            half.sendall(b"POST /chat/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\nhalf a")
            for listener in (reads, stuck):
                listener.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert b"200 OK" in listener.recv(1000)
            for number in range(1000):
                server.feed.publish("prediction", str(number), "x" * 20_000)
            with ThreadPoolExecutor() as pool:
                read = pool.submit(read_all, reads)
                server.http.stop(deadline())
                assert read.result().endswith(b"\r\n0\r\n\r\n")  # whole, to the last chunk
            assert read_all(half) == b""
        assert not server.http.is_alive
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


# What no client of good will sends.


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("OPTIONS /status", 405),
        ("OPTIONS *", 404),
        ("TRACE /status", 405),
        ("DELETE /chat/a", 405),
        ("BREW /status", 405),
        ("GET /status/", 404),
        ("GET //status", 404),
        ("GET /%2e%2e/status", 404),
        ("GET /status%00", 404),
        ("POST /chat/%0d%0aa", 400),
        ("GET /docs", 404),
        ("GET /openapi.json", 404),
        ("CONNECT localhost:80", 404),
    ],
)
def test_unknown_methods_and_paths_are_refused_without_a_redirect(
    server: Server, request_line: str, status: int
) -> None:
    answer = server.ask(f"{request_line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert status_of(answer) == status
    head = answer.partition(b"\r\n\r\n")[0].lower()
    assert not any(header in head for header in (b"location:", b"server:", b"access-control", b"uvicorn"))


@pytest.mark.parametrize(
    "session", ["a%2Fb", "a%00b", "x" * 257, "%ff%fe", "%ed%a0%80", "", "%e2%80%ae", "a%0Ab", "a%0A"]
)
def test_a_session_is_what_its_bytes_say_or_refused(server: Server, session: str) -> None:
    status = server.status("POST", f"/chat/{session}", body=b"x")
    if session == "a%2Fb":
        assert (status, server.daemon.records[0].session) == (202, "a/b")
    else:
        assert (status, server.daemon.reasons, server.daemon.records) == (400, ["invalid_session"], [])


def test_a_session_named_in_another_script_is_taken_as_it_is(server: Server) -> None:
    assert server.status("POST", "/chat/%F0%9F%99%82%E4%BD%A0", body=b"x") == 202
    assert server.daemon.records[0].session == "🙂你"


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET /\r\n\r\n", 400),  # HTTP/0.9
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100 + b"\r\n\r\n", 400),  # TLS
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 200_000 + b"\r\n\r\n", 400),
        (b"POST /chat/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400),
        (b"POST /chat/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\nx", 400),
        (b"POST /chat/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (b"POST /chat/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (
            b"POST /chat/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"1\r\nx\r\n0\r\n\r\n",
            400,
        ),
    ],
)
def test_garbage_is_answered_with_one_refusal_and_the_end_of_the_connection(
    server: Server, raw: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    answer = server.ask(raw)
    assert status_of(answer) in (status, 400)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert RefusalReason.INVALID_REQUEST in server.daemon.turned_away
    assert server.daemon.records == []
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


def test_garbage_after_an_answer_costs_only_its_connection(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    refused = b"POST /chat/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nFFFF\r\n" + b"x" * 65_535
    with server.connect() as client:
        client.sendall(refused)
        assert status_of(client.recv(1000)) == 413
        client.sendall(b"\r\nno chunk\r\n")
        assert read_all(client).count(b"HTTP/1.1 ") == 0
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


@pytest.mark.parametrize(
    "accept", ["application/openmetrics-text; version=abc", "application/openmetrics-text;version=1..0;q=x", ";;,=", ""]
)
def test_an_accept_header_that_says_nothing_gets_the_plain_format(
    server: Server, accept: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = server.ask(
        f"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nConnection: close\r\n\r\n".encode()
    )
    assert status_of(answer) == 200
    assert b"content-type: text/plain" in answer
    assert caplog.records == []


def test_requests_on_one_connection_are_answered_in_order(server: Server) -> None:
    chat = b"POST /chat/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    last = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answer = server.ask(chat + chat + last)
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"202", b"202", b"200"]
    assert [record.payload for record in server.daemon.records] == [b"hello", b"hello"]


def test_a_line_that_is_declared_too_long_is_refused_before_it_is_sent(server: Server) -> None:
    head = b"POST /chat/a HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nConnection: close\r\n"
    assert status_of(server.ask(head + b"Content-Length: 101\r\n\r\n")) == 413
    with server.connect() as client:
        client.sendall(head + b"Content-Length: 5\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 100 ")
        client.sendall(b"hello")
        assert status_of(read_all(client)) == 202


def test_a_compressed_line_is_refused_as_such(server: Server) -> None:
    assert server.status("POST", "/chat/a", "Content-Encoding: gzip", body=b"\x1f\x8b") == 415
    assert server.daemon.reasons == ["content_type"]


def test_a_web_socket_is_not_opened_and_costs_no_log(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    upgrade = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: eA=="]
    assert server.status("GET", "/status", *upgrade) == 200
    assert server.status("GET", "/ingest/a", *upgrade) == 404
    assert caplog.records == []
