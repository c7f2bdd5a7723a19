"""The HTTP paths, over a real socket."""

import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from daemon.http.access import Access
from daemon.http.app import build_app
from daemon.http.feed import EventFeed
from daemon.http.server import CannotBind, HttpServer
from daemon.http.view import Health, PostOutcome, RefusalReason
from daemon.telemetry.metrics import Metrics
from streams.clock import ManualClock
from streams.decoding.decode import Limits
from streams.records import Modality, Record
from tests.daemon.making import deadline

pytestmark = pytest.mark.unit


WELL = Health(True)


@dataclass
class StubDaemon:
    """A daemon that says what the test told it to."""

    alive: Health = WELL
    warm: Health = WELL
    outcome: PostOutcome = PostOutcome.ACCEPTED
    records: list[Record] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    turned_away: list[RefusalReason] = field(default_factory=list)

    def live(self) -> Health:
        return self.alive

    def ready(self) -> Health:
        return self.warm

    def status(self) -> dict[str, Any]:
        return {"state": "running"}

    def metrics(self, accept: str) -> tuple[bytes, str]:
        return Metrics().render(accept)

    def refused(self, reason: str) -> None:
        self.reasons.append(reason)

    def http_refused(self, reason: RefusalReason) -> None:
        self.turned_away.append(reason)

    def post_chat(self, record: Record) -> PostOutcome:
        self.records.append(record)
        return self.outcome


@dataclass
class Running:
    daemon: StubDaemon
    feed: EventFeed
    client: httpx.Client
    server: HttpServer
    clock: ManualClock


@pytest.fixture
def running() -> Iterator[Running]:
    daemon, feed, clock = StubDaemon(), EventFeed(capacity=4), ManualClock()
    app = build_app(daemon, feed, clock, Limits(max_line_bytes=100), Access())
    server = HttpServer("127.0.0.1:0", app, feed, daemon.http_refused)
    server.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=5, trust_env=False) as client:
        yield Running(daemon, feed, client, server, clock)
    server.stop(deadline())


@pytest.mark.parametrize(("path", "name", "field_name"), [("/livez", "live", "alive"), ("/readyz", "ready", "warm")])
def test_health_is_200_and_with_reasons_503(running: Running, path: str, name: str, field_name: str) -> None:
    well = running.client.get(path)
    assert (well.status_code, well.json()) == (200, {name: True, "reasons": []})
    setattr(running.daemon, field_name, Health(False, ("source front is waiting",)))
    unwell = running.client.get(path)
    assert (unwell.status_code, unwell.json()) == (503, {name: False, "reasons": ["source front is waiting"]})


def test_metrics_come_in_the_format_that_is_asked_for(running: Running) -> None:
    plain = running.client.get("/metrics")
    assert plain.headers["content-type"].startswith("text/plain")
    assert "affectd_build_info{" in plain.text
    asked = running.client.get("/metrics", headers={"accept": "application/openmetrics-text;version=1.0.0"})
    assert asked.headers["content-type"].startswith("application/openmetrics-text")
    assert asked.text.endswith("# EOF\n")


def test_status_is_json_and_the_index_names_every_path(running: Running) -> None:
    assert running.client.get("/status").json() == {"state": "running"}
    index = running.client.get("/").text
    assert all(path in index for path in ("/livez", "/readyz", "/metrics", "/status", "/events", "/chat/"))
    assert running.client.get("/nowhere").status_code == 404


def test_a_posted_line_becomes_a_record_of_its_session(running: Running) -> None:
    reply = running.client.post("/chat/room%201", content="hello there", headers={"content-type": "text/plain"})
    assert (reply.status_code, reply.json()) == (202, {"accepted": True})
    (record,) = running.daemon.records
    assert (record.session, record.modality, record.payload) == ("room 1", Modality.TEXT, b"hello there")
    assert record.event_time_ns == record.received_ns == running.clock.wall_ns()


def test_a_posted_object_keeps_its_author(running: Running) -> None:
    reply = running.client.post("/chat/a", json={"text": "hi", "author": "x", "lang": "en"})
    assert reply.status_code == 202
    assert running.daemon.records[0].content_type == "application/json"


@pytest.mark.parametrize(
    ("content", "content_type", "status", "reason"),
    [
        (b"\xff\xfe", "text/plain", 400, "invalid_utf8"),
        (b"  ", "text/plain", 400, "empty"),
        (b"{}", "application/json", 400, "invalid_json"),
        (b"[", "application/json", 400, "invalid_json"),
        (b"x", "text/html", 400, "content_type"),
        (b"x" * 101, "text/plain", 413, "oversized"),
        (b"x" * 3_000_000, "text/plain", 413, "oversized"),
    ],
)
def test_a_line_that_cannot_be_used_is_refused_with_the_reason(
    running: Running, content: bytes, content_type: str, status: int, reason: str
) -> None:
    reply = running.client.post("/chat/a", content=content, headers={"content-type": content_type})
    assert (reply.status_code, reply.json()["reason"]) == (status, reason)
    assert (running.daemon.records, running.daemon.reasons) == ([], [reason])


def test_a_full_queue_is_429_a_daemon_that_starts_or_stops_is_503_and_no_http_source_is_404(running: Running) -> None:
    running.daemon.outcome = PostOutcome.FULL
    full = running.client.post("/chat/a", content="x")
    assert (full.status_code, full.headers["retry-after"]) == (429, "1")
    running.daemon.outcome = PostOutcome.CLOSED
    closed = running.client.post("/chat/a", content="x")
    assert (closed.status_code, closed.headers["retry-after"]) == (503, "1")
    assert running.daemon.reasons == ["full", "closed"]
    running.daemon.outcome = PostOutcome.NO_SOURCE
    assert running.client.post("/chat/a", content="x").status_code == 404
    assert running.client.get("/chat/a").status_code == 405


def test_an_overlong_session_is_refused(running: Running) -> None:
    assert running.client.post(f"/chat/{'s' * 257}", content="x").status_code == 400


def test_events_are_streamed_as_they_are_published_and_end_when_the_server_stops(running: Running) -> None:
    with running.client.stream("GET", "/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.iter_lines()
        assert next(lines) == ": affectd"
        running.feed.publish("prediction", "id-1", '{"a": 1}')
        assert [next(lines) for _ in range(4)] == ["", "event: prediction", "id: id-1", 'data: {"a": 1}']
        stopping = threading.Thread(target=running.server.stop, args=[deadline()])
        stopping.start()
        assert list(lines) == [""]
        stopping.join(5)
        assert not stopping.is_alive()


def cannot_bind(bind: str) -> str:
    daemon, feed = StubDaemon(), EventFeed()
    app = build_app(daemon, feed, ManualClock(), Limits(), Access(bind))
    with pytest.raises(CannotBind) as error:
        HttpServer(bind, app, feed, daemon.http_refused).start()
    return str(error.value)


def test_an_address_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert cannot_bind(address) == f"http.bind: cannot listen on {address}: Address already in use"


@pytest.mark.parametrize(
    ("bind", "why"),
    [
        ("203.0.113.1:9109", "Cannot assign requested address"),  # kept for documentation, so nobody's
        ("no-such-host.invalid:9109", ""),  # the resolver's words
        ("ä..example:9109", "not a host name"),
    ],
)
def test_an_address_that_is_not_ours_is_named(bind: str, why: str) -> None:
    message = cannot_bind(bind)
    assert message.startswith(f"http.bind: cannot listen on {bind}: {why}")
    assert not message.endswith((": ", "Unknown error -2", "None"))
