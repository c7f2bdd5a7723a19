import contextlib
import os
import socket
import stat
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.clock import ManualClock, SystemClock
from streams.formats.lines import LineBuffer
from streams.records import EndOfSession, Item, Modality, Progress, Record, is_session_name
from streams.sources.base import Source, SourceError
from streams.sources.chat.posted import PostedChat
from streams.sources.chat.receiver import ChatReceiver
from streams.sources.chat.socket_server import SocketChat
from streams.sources.chat.standard_input import StdinChat
from streams.sources.chat.tailed_file import TailedChat
from streams.telemetry import NullTelemetry

pytestmark = pytest.mark.unit


class DeadLetters(NullTelemetry):
    def __init__(self) -> None:
        self.reasons: Counter[str] = Counter()

    def dead_letter(self, reason: str) -> None:
        self.reasons[reason] += 1


class Reading:
    """A source that is read on a thread of its own, and what it has emitted so far."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.items: list[Item] = []
        self.error: SourceError | None = None
        self._stop = threading.Event()
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Reading":
        self.source.open()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)
        self.source.close()
        assert not self._thread.is_alive()

    def wait_for(self, is_met: Callable[[], bool]) -> None:
        with self._news:
            assert self._news.wait_for(is_met, timeout=10), self.items

    def wait_for_lines(self, *expected: bytes) -> None:
        """Until exactly these messages have come, in this order."""
        self.wait_for(lambda: len(self.records) >= len(expected))
        assert [record.payload for record in self.records] == list(expected)

    def wait_for_the_end(self) -> None:
        self._thread.join(10)
        assert not self._thread.is_alive()

    @property
    def records(self) -> list[Record]:
        return [item for item in self.items if isinstance(item, Record)]

    def _run(self) -> None:
        try:
            self.source.read(self._emit, self._stop)
        except SourceError as error:
            self.error = error
        with self._news:
            self._news.notify_all()

    def _emit(self, item: Item) -> None:
        with self._news:
            self.items.append(item)
            self._news.notify_all()


def lines_of(pieces: list[bytes], limit_bytes: int) -> list[bytes | None]:
    buffer = LineBuffer(limit_bytes)
    return [line for piece in pieces for line in buffer.feed(piece)] + list(buffer.flush())


@given(st.lists(st.binary(max_size=8).map(lambda b: b.replace(b"\r", b"")), max_size=12), st.integers(1, 10))
def test_lines_do_not_depend_on_how_the_bytes_are_cut(pieces: list[bytes], limit_bytes: int) -> None:
    whole = b"".join(pieces)
    expected = [None if len(line) > limit_bytes else line for line in whole.split(b"\n")]
    expected = [line for line in expected if line is None or line.strip()]
    assert lines_of(pieces, limit_bytes) == expected


def test_a_line_that_is_too_long_costs_no_memory_and_not_the_next_line() -> None:
    buffer = LineBuffer(limit_bytes=10)
    for _ in range(1000):
        assert list(buffer.feed(b"x" * 1000)) == []
    assert len(buffer._partial) == 0
    assert list(buffer.feed(b"xx\nnext\r\n")) == [None, b"next"]


def receiver(telemetry: NullTelemetry | None = None, clock: ManualClock | None = None) -> ChatReceiver:
    return ChatReceiver("room", clock or ManualClock(), telemetry or NullTelemetry())


@pytest.mark.parametrize(
    ("line", "session", "content_type"),
    [
        (b"hello", "room", "text/plain"),
        (b'{"text": "hello"}', "room", "application/json"),
        (b'  {"text": "hello", "session": "hall"}', "hall", "application/json"),
        (b'{"text": "not closed', "room", "application/json"),
        (b"[" * 100_000, "room", "text/plain"),
        (b"{" * 100_000, "room", "application/json"),
        (b"\xff\xfe", "room", "text/plain"),
    ],
)
def test_a_line_is_handed_on_as_received_for_the_session_it_names(line: bytes, session: str, content_type: str) -> None:
    clock = ManualClock()
    record = receiver(clock=clock).line(line)
    assert record == Record(session, Modality.TEXT, content_type, line, clock.wall_ns(), clock.wall_ns())


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (None, "oversized"),
        (b'{"text": "x", "session": "' + b"y" * 300 + b'"}', "invalid_session"),
        (b'{"text": "x", "session": "a\\u0000b"}', "invalid_session"),
        (b'{"text": "x", "session": "\\ud800"}', "invalid_session"),
    ],
)
def test_what_cannot_be_a_record_is_counted(line: bytes | None, reason: str) -> None:
    telemetry = DeadLetters()
    assert receiver(telemetry).line(line) is None
    assert telemetry.reasons == {reason: 1}


def test_silence_is_told_for_the_sessions_that_spoke_in_the_last_ten_seconds() -> None:
    clock = ManualClock()
    chat = receiver(clock=clock)
    assert list(chat.progress()) == []
    chat.line(b'{"text": "x", "session": "early"}')
    clock.advance(6)
    chat.line(b"x")
    assert [p.session for p in chat.progress()] == ["early", "room"]
    clock.advance(6)
    assert list(chat.progress()) == [Progress("room", Modality.TEXT, clock.wall_ns())]
    clock.advance(60)
    assert list(chat.progress()) == []


@pytest.mark.parametrize(("session", "is_valid"), [("a", True), ("房间 1", True), ("", False), ("a\n", False)])
def test_a_session_is_named_by_printable_characters(session: str, is_valid: bool) -> None:
    assert is_session_name(session) is is_valid


def test_standard_input_is_read_to_its_end_and_its_session_ends() -> None:
    reader, writer = os.pipe()
    with Reading(StdinChat("room", SystemClock(), NullTelemetry(), fd=reader)) as reading:
        os.write(writer, b"one\ntw")
        reading.wait_for_lines(b"one")
        os.write(writer, b"o\nthree")
        os.close(writer)
        reading.wait_for_the_end()
        reading.wait_for_lines(b"one", b"two", b"three")
    assert reading.items[-1] == EndOfSession("room")
    os.close(reader)


def test_what_was_written_to_standard_input_before_it_is_stopped_is_still_read() -> None:
    reader, writer = os.pipe()
    stop, items = threading.Event(), list[Item]()
    os.write(writer, b"one last line\n")
    stop.set()
    StdinChat("room", SystemClock(), NullTelemetry(), fd=reader).read(items.append, stop)
    assert [item.payload for item in items if isinstance(item, Record)] == [b"one last line"]
    os.close(reader)
    os.close(writer)


def test_standard_input_that_waits_is_told_to_stop() -> None:
    reader, writer = os.pipe()
    with Reading(StdinChat("room", SystemClock(), NullTelemetry(), fd=reader)):
        pass
    os.close(reader)
    os.close(writer)


def test_a_file_as_standard_input_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "chat.txt"
    path.write_bytes(b"one\n" + b"x" * 1_000_000 + b"\ntwo\n")
    telemetry = DeadLetters()
    with path.open("rb") as file, Reading(StdinChat("room", SystemClock(), telemetry, fd=file.fileno())) as reading:
        reading.wait_for_the_end()
    assert [record.payload for record in reading.records] == [b"one", b"two"]
    assert telemetry.reasons == {"oversized": 1}


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def tailed(path: Path, *, from_start: bool = False) -> TailedChat:
    return TailedChat(path, "room", SystemClock(), NullTelemetry(), from_start=from_start)


def test_a_tailed_file_gives_what_is_appended_from_now_on(tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    append(path, b"said before\n")
    with Reading(tailed(path)) as reading:
        append(path, b"one\nhal")
        reading.wait_for_lines(b"one")
        append(path, b"f\n")
        reading.wait_for_lines(b"one", b"half")


def test_what_was_appended_to_a_tailed_file_before_it_is_stopped_is_still_read(tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    path.touch()
    source, stop, items = tailed(path), threading.Event(), list[Item]()
    source.open()
    append(path, b"one last line\n")
    stop.set()
    source.read(items.append, stop)
    source.close()
    assert [item.payload for item in items if isinstance(item, Record)] == [b"one last line"]


def test_a_tailed_file_can_be_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    append(path, b"said before\n")
    with Reading(tailed(path, from_start=True)) as reading:
        reading.wait_for_lines(b"said before")


def test_a_tailed_file_is_followed_through_rotation(tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    path.touch()
    with Reading(tailed(path)) as reading:
        append(path, b"old\n")
        path.rename(tmp_path / "chat.log.1")
        append(tmp_path / "chat.log.1", b"late")
        append(path, b"new\n")
        reading.wait_for_lines(b"old", b"late", b"new")


def test_a_tailed_file_is_followed_through_truncation(tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    path.touch()
    with Reading(tailed(path)) as reading:
        append(path, b"a rather long first line\n")
        reading.wait_for_lines(b"a rather long first line")
        path.write_bytes(b"new\n")
        reading.wait_for_lines(b"a rather long first line", b"new")


def test_a_tailed_file_that_vanishes_is_a_fault_and_its_successor_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    path.touch()
    source = TailedChat(path, "room", ManualClock(), NullTelemetry())
    source.open()
    path.unlink()
    with pytest.raises(SourceError, match="the file is gone"):
        source.read(lambda item: None, threading.Event())
    source.close()
    path.write_bytes(b"first words\n")
    with Reading(source) as reading:
        reading.wait_for_lines(b"first words")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nothing\.log: cannot be read: No such file"):
        tailed(tmp_path / "nothing.log").open()


def test_a_silent_tailed_file_tells_its_silence(tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    append(path, b"one\n")
    with Reading(tailed(path, from_start=True)) as reading:
        reading.wait_for(lambda: any(isinstance(item, Progress) for item in reading.items))
    assert isinstance(reading.items[0], Record)


def socket_chat(address: str, telemetry: NullTelemetry | None = None) -> SocketChat:
    return SocketChat(address, "room", SystemClock(), telemetry or NullTelemetry())


def test_many_clients_of_a_tcp_socket_each_say_their_lines() -> None:
    source = socket_chat("tcp:127.0.0.1:0")
    with Reading(source) as reading:
        clients = [socket.create_connection(("127.0.0.1", source.port or 0)) for _ in range(20)]
        for i, client in enumerate(clients):
            client.sendall(f'{{"text": "from {i}", "session": "s{i}"}}\npla'.encode())
        reading.wait_for(lambda: len(reading.records) == 20)
        for client in clients:
            client.sendall(b"in\n")
            client.close()
        reading.wait_for(lambda: len(reading.records) == 40)
    assert {record.session for record in reading.records} == {"room", *(f"s{i}" for i in range(20))}
    assert [record.payload for record in reading.records[20:]] == [b"plain"] * 20


def test_a_client_that_leaves_in_the_middle_of_a_line_has_said_it() -> None:
    source = socket_chat("tcp:127.0.0.1:0")
    with Reading(source) as reading:
        with socket.create_connection(("127.0.0.1", source.port or 0)) as client:
            client.sendall("再见".encode())
        reading.wait_for_lines("再见".encode())


def test_a_line_of_a_megabyte_is_set_aside_and_the_connection_goes_on() -> None:
    telemetry = DeadLetters()
    source = socket_chat("tcp:127.0.0.1:0", telemetry)
    with Reading(source) as reading, socket.create_connection(("127.0.0.1", source.port or 0)) as client:
        client.sendall(b"x" * 1_000_000 + b"\nstill here\n")
        reading.wait_for_lines(b"still here")
    assert telemetry.reasons == {"oversized": 1}


def test_a_unix_socket_is_taken_over_from_a_killed_service_and_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "chat.sock"
    abandoned = socket.socket(socket.AF_UNIX)
    abandoned.bind(str(path))
    abandoned.close()
    with Reading(socket_chat(f"unix:{path}")) as reading, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"hello\n")
        reading.wait_for_lines(b"hello")
    assert not path.exists()


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_a_unix_socket_is_for_its_owner_and_group_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "chat.sock"
    source = socket_chat(f"unix:{path}")
    before = os.umask(umask)
    try:
        source.open()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    source.close()


def test_a_unix_socket_whose_file_is_removed_is_made_anew_and_its_clients_stay(tmp_path: Path) -> None:
    path = tmp_path / "chat.sock"
    with Reading(socket_chat(f"unix:{path}")) as reading, socket.socket(socket.AF_UNIX) as old:
        old.connect(str(path))
        old.sendall(b"one\n")
        reading.wait_for_lines(b"one")
        path.unlink()
        reading.wait_for(path.exists)
        with socket.socket(socket.AF_UNIX) as new:
            reading.wait_for(lambda: new.connect_ex(str(path)) == 0)
            old.sendall(b"two\n")
            reading.wait_for_lines(b"one", b"two")
            new.sendall(b"three\n")
            reading.wait_for_lines(b"one", b"two", b"three")
    assert not path.exists()


def test_a_unix_socket_whose_name_another_service_took_is_broken_and_left_to_it(tmp_path: Path) -> None:
    path = tmp_path / "chat.sock"
    source, other = socket_chat(f"unix:{path}"), socket_chat(f"unix:{path}")
    source.open()
    path.unlink()
    other.open()
    with pytest.raises(SourceError, match="cannot be listened on"):
        source.read(lambda item: None, threading.Event())
    source.close()
    assert path.exists()
    other.close()


@pytest.mark.parametrize("lines", [1, 5_000], ids=["one", "more than may wait otherwise"])
def test_what_was_sent_before_it_is_stopped_is_still_read(tmp_path: Path, lines: int) -> None:
    path = tmp_path / "chat.sock"
    source, stop, items = socket_chat(f"unix:{path}"), threading.Event(), list[Item]()
    source.open()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"one last line\n" * lines)
        stop.set()
        source.read(items.append, stop)
    source.close()
    assert [item.payload for item in items if isinstance(item, Record)] == [b"one last line"] * lines


def test_a_unix_socket_that_is_in_use_is_left_to_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "chat.sock"
    with Reading(socket_chat(f"unix:{path}")), pytest.raises(SourceError, match=r"chat\.sock: cannot be listened on"):
        socket_chat(f"unix:{path}").open()


def test_a_file_that_is_no_socket_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_text("keep me")
    source = socket_chat(f"unix:{path}")
    with pytest.raises(SourceError, match="in use"):
        source.open()
    source.close()
    assert path.read_text() == "keep me"


def test_a_port_that_is_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"tcp:127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(SourceError, match=f"chat socket {address}: cannot be listened on: .*in use"):
            socket_chat(address).open()


@pytest.mark.parametrize("address", ["", "unix:", "tcp:", "tcp:host", "tcp:host:none", "tcp:host:99999", "udp:host:1"])
def test_an_address_that_is_no_socket_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="unix:/path or tcp:host:port"):
        socket_chat(address)


def test_when_messages_are_not_taken_clients_wait_and_nothing_is_lost() -> None:
    source = socket_chat("tcp:127.0.0.1:0")
    taking = threading.Event()
    taken: list[bytes] = []
    done = threading.Event()

    def takes_when_allowed(item: Item) -> None:
        taking.wait()
        if isinstance(item, Record):
            taken.append(item.payload)
            if item.payload == b"last":
                done.set()

    source.open()
    stop = threading.Event()
    thread = threading.Thread(target=source.read, args=(takes_when_allowed, stop))
    thread.start()
    with socket.create_connection(("127.0.0.1", source.port or 0)) as client:
        client.setblocking(False)
        sent = 0
        line = b"y" * 999 + b"\n"
        for _ in range(100_000):
            try:
                sent += client.send(line[sent % 1000 :])
            except BlockingIOError:
                break
        else:
            pytest.fail("a hundred megabytes were swallowed while nothing was taken")
        taking.set()
        client.setblocking(True)
        client.sendall(line[sent % 1000 :] + b"last\n")
        assert done.wait(30)
    stop.set()
    thread.join(10)
    source.close()
    assert len(taken) == sent // 1000 + 2


def test_a_client_that_floods_waits_and_one_that_says_a_line_is_heard_at_once() -> None:
    """Nothing is taken until both have been read from: what counts is how many lines are before the other's."""
    source = socket_chat("tcp:127.0.0.1:0")
    taking, done = threading.Event(), threading.Event()
    taken: list[Record] = []

    def takes_when_allowed(item: Item) -> None:
        taking.wait()
        if isinstance(item, Record):
            taken.append(item)
            if item.session == "other":
                done.set()

    source.open()
    stop = threading.Event()
    thread = threading.Thread(target=source.read, args=(takes_when_allowed, stop))
    thread.start()
    with (
        socket.create_connection(("127.0.0.1", source.port or 0)) as flood,
        socket.create_connection(("127.0.0.1", source.port or 0)) as other,
    ):
        flood.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                flood.send(b"x\n" * 1_000)
        other.sendall(b'{"text": "hello", "session": "other"}\n')
        while source._lines._waiting.lane("other") is None:
            threading.Event().wait(0.01)  # for the line to be read, though no line is taken
        before_ns = SystemClock().wall_ns()
        taking.set()
        assert done.wait(30)
    stop.set()
    thread.join(30)
    source.close()
    at = next(number for number, record in enumerate(taken) if record.session == "other")
    assert at <= 2
    assert taken[at].event_time_ns < before_ns
    stamps = [record.event_time_ns for record in taken if record.session == "room"]
    assert stamps == sorted(stamps)


def read_until(source: Source, enough: Callable[[list[Item]], bool]) -> list[Item]:
    stop = threading.Event()
    items: list[Item] = []

    def emit(item: Item) -> None:
        items.append(item)
        if enough(items):
            stop.set()

    source.read(emit, stop)
    return items


def posted(text: str) -> Record:
    return Record("room", Modality.TEXT, "text/plain", text.encode(), event_time_ns=0, received_ns=0)


def test_a_posted_message_happens_when_it_is_posted() -> None:
    clock = ManualClock()
    chat = PostedChat(clock, NullTelemetry())
    chat.open()
    posted_ns = clock.wall_ns()
    assert chat.offer(posted("你好"))
    clock.advance(1)
    record, *_ = read_until(chat, lambda items: True)
    assert isinstance(record, Record)
    assert (record.session, record.event_time_ns, record.received_ns) == ("room", posted_ns, posted_ns)
    assert (record.content_type, record.payload) == ("text/plain", "你好".encode())


def test_posting_is_refused_while_too_many_messages_wait() -> None:
    chat = PostedChat(ManualClock(), NullTelemetry(), capacity_messages=2)
    chat.open()
    assert [chat.offer(posted(text)) for text in ("one", "two", "three")] == [True, True, False]


def test_a_session_that_is_posted_to_without_end_is_refused_before_others_are() -> None:
    chat = PostedChat(SystemClock(), NullTelemetry())
    chat.open()
    accepted = sum(chat.offer(posted(str(number))) for number in range(1_000))
    assert accepted == 128
    assert chat.offer(replace(posted("hello"), session="other"))
    items = read_until(chat, lambda items: True)
    assert [item.session for item in items if isinstance(item, Record)][:3] == ["room", "other", "room"]


def test_what_was_accepted_is_handed_on_even_when_stopped() -> None:
    chat = PostedChat(SystemClock(), NullTelemetry())
    chat.open()
    for i in range(5):
        chat.offer(posted(str(i)))
    items = read_until(chat, lambda items: True)
    assert [item.payload for item in items if isinstance(item, Record)] == [b"0", b"1", b"2", b"3", b"4"]


def test_nothing_is_accepted_any_more_once_stopped_so_that_a_flood_does_not_keep_it_from_ending() -> None:
    chat = PostedChat(SystemClock(), NullTelemetry())
    chat.open()
    assert chat.offer(posted("in time"))
    handed_on: list[Item] = []

    def posts_again(item: Item) -> None:
        handed_on.append(item)
        if len(handed_on) < 100:
            chat.offer(posted("too late"))

    stopped = threading.Event()
    stopped.set()
    chat.read(posts_again, stopped)
    assert [item.payload for item in handed_on if isinstance(item, Record)] == [b"in time"]


def test_nothing_is_accepted_that_nobody_would_hand_on_before_it_opens_or_after_it_has_left() -> None:
    chat = PostedChat(SystemClock(), NullTelemetry())
    assert not chat.offer(posted("too early"))
    chat.open()
    assert chat.offer(posted("in time"))
    items = read_until(chat, lambda items: True)
    assert [item.payload for item in items if isinstance(item, Record)] == [b"in time"]
    assert not chat.offer(posted("too late"))
    assert not chat.is_open


def test_silence_is_not_told_while_a_message_waits() -> None:
    chat = PostedChat(SystemClock(), NullTelemetry())
    chat.open()
    for i in range(5):
        chat.offer(posted(str(i)))
    items = read_until(chat, lambda items: any(isinstance(item, Progress) for item in items))
    assert [type(item) for item in items] == [Record] * 5 + [Progress]
