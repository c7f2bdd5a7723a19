import json
import os
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.clock import NS_PER_S, ManualClock
from streams.formats import rfc3339
from streams.participants import NamedBy, Participant
from streams.records import MEDIA, RAW_PICTURE, EndOfSession, Item, Modality, Record
from streams.sources.base import SourceError
from streams.sources.stored.discovery import stored_sessions
from streams.sources.stored.playback import Playback
from streams.sources.stored.recorded_session import RecordedSession
from streams.sources.stored.recording import (
    PAYLOADS_FILE,
    RECORDS_FILE,
    SESSION_FILE,
    RecordingError,
    RecordingWriter,
    folder_name,
    is_recording,
    read_header,
)
from streams.telemetry import NullTelemetry

pytestmark = pytest.mark.unit

START_NS = 946_684_800 * NS_PER_S


def text(at_s: float, payload: bytes = b"hello", sequence: int | None = None) -> Record:
    return Record("room", Modality.TEXT, "text/plain", payload, START_NS + round(at_s * NS_PER_S), 7, sequence)


def write(folder: Path, *records: Record) -> None:
    with RecordingWriter(folder, "room", START_NS) as writer:
        for record in records:
            writer.append(record)


def read(*folders: Path) -> tuple[list[Record], list[Item]]:
    """The records played, with the received time that `text` gives; and everything emitted."""
    items: list[Item] = []
    Playback(stored_sessions(folders), ManualClock()).read(items.append, threading.Event())
    return [replace(item, received_ns=7) for item in items if isinstance(item, Record)], items


RECORDS = st.builds(
    Record,
    session=st.just("room"),
    modality=st.sampled_from(MEDIA),
    content_type=st.sampled_from(["text/plain", "image/jpeg", "audio/L16;rate=16000;channels=1", "x/ü"]),
    payload=st.binary(max_size=50),
    event_time_ns=st.integers(0, rfc3339.MAX_NS),
    received_ns=st.just(7),
    sequence=st.none() | st.integers(0, 2**63),
    participant=st.sampled_from([None, Participant("ann", NamedBy.HEADER), Participant("安", NamedBy.HEADER)]),
    channels=st.sampled_from([(), ("agent",), ("agent", "customer")]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(RECORDS, min_size=1, max_size=12))
def test_replaying_a_recording_gives_equal_records_in_event_time_order(records: list[Record]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder, "room"), *records)
        played, _ = read(Path(folder, "room"))
    assert played == sorted(records, key=lambda record: record.event_time_ns)


def test_a_replayed_session_ends(tmp_path: Path) -> None:
    write(tmp_path, text(1), text(0))
    _, items = read(tmp_path)
    assert items[-1] == EndOfSession("room")


def test_the_header_says_whose_records_and_from_when(tmp_path: Path) -> None:
    write(tmp_path)
    assert is_recording(tmp_path)
    assert read_header(tmp_path).session == "room"
    assert read_header(tmp_path).start_ns == START_NS


@pytest.mark.parametrize("as_frame", [False, True])
def test_a_raw_picture_is_kept_as_jpeg(tmp_path: Path, as_frame: bool) -> None:
    bgr = np.full((48, 64, 3), (200, 100, 50), np.uint8)
    payload = av.VideoFrame.from_ndarray(bgr, format="bgr24") if as_frame else bgr
    write(tmp_path, replace(text(0), modality=Modality.VIDEO, content_type=RAW_PICTURE, payload=payload))
    (played,), _ = read(tmp_path)
    assert played.content_type == "image/jpeg"
    decoded = cv2.imdecode(np.frombuffer(played.payload, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    assert np.abs(decoded.astype(int) - bgr).max() <= 4


@pytest.mark.parametrize("keep_bytes", [1, 20, 60])
def test_a_torn_last_line_is_passed_over_and_the_next_writer_goes_on(tmp_path: Path, keep_bytes: int) -> None:
    write(tmp_path, text(0, b"first"), text(1, b"second"))
    lines = (tmp_path / RECORDS_FILE).read_bytes().splitlines(keepends=True)
    (tmp_path / RECORDS_FILE).write_bytes(lines[0] + lines[1][:keep_bytes])
    assert [record.payload for record in read(tmp_path)[0]] == [b"first"]
    write(tmp_path, text(2, b"third"))
    assert [record.payload for record in read(tmp_path)[0]] == [b"first", b"third"]


def test_a_recording_that_holds_only_a_torn_line_can_be_continued(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / RECORDS_FILE).write_bytes(b"x" * 10_000)
    write(tmp_path, text(0))
    assert read(tmp_path)[0] == [text(0)]


class DeadLetters(NullTelemetry):
    def __init__(self) -> None:
        self.reasons: list[str] = []

    def dead_letter(self, reason: str) -> None:
        self.reasons.append(reason)


GOOD = (
    '{"modality":"text","event_time":"2000-01-01T00:00:00Z","content_type":"a","sequence":null,"offset":0,"length":5}'
)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[]",
        "not json",
        GOOD.replace("text", "smell"),
        GOOD.replace("2000-01-01T00:00:00Z", "yesterday"),
        GOOD.replace('"length":5', '"length":500'),
        GOOD.replace('"offset":0', '"offset":-1'),
        GOOD.replace('"sequence":null', '"sequence":"one"'),
        GOOD.replace('"content_type":"a",', ""),
        GOOD.replace('"a"', f'"{"a" * 100_000}"'),
    ],
)
def test_a_line_that_cannot_be_read_is_counted_and_the_rest_is_played(tmp_path: Path, line: str) -> None:
    write(tmp_path, text(0))
    with (tmp_path / RECORDS_FILE).open("a") as file:
        file.write(line + "\n")
    write(tmp_path, text(1))
    telemetry = DeadLetters()
    session = RecordedSession(tmp_path, telemetry)
    session.open()
    assert [record.event_time_ns for record in session.records()] == [START_NS, START_NS + NS_PER_S]
    assert telemetry.reasons == ["invalid_record"]


def test_a_pipe_in_place_of_the_records_is_named_and_not_waited_for(tmp_path: Path) -> None:
    write(tmp_path, text(0))
    (tmp_path / RECORDS_FILE).unlink()
    os.mkfifo(tmp_path / RECORDS_FILE)
    with pytest.raises(SourceError, match=r"records\.jsonl: is a pipe, not a file"):
        RecordedSession(tmp_path).open()


def test_a_pipe_in_place_of_the_payloads_is_named_and_not_waited_for(tmp_path: Path) -> None:
    write(tmp_path, text(0))
    session = RecordedSession(tmp_path)
    session.open()
    (tmp_path / PAYLOADS_FILE).unlink()
    os.mkfifo(tmp_path / PAYLOADS_FILE)
    assert list(session.records()) == []
    assert session.faults == [f"{tmp_path / PAYLOADS_FILE}: is a pipe, not a file"]


def test_payloads_that_are_lost_lose_their_records_only(tmp_path: Path) -> None:
    write(tmp_path, text(0, b"first"), text(1, b"second"))
    (tmp_path / PAYLOADS_FILE).write_bytes(b"first")
    assert [record.payload for record in read(tmp_path)[0]] == [b"first"]


def test_a_folder_of_recordings_is_its_sessions(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with RecordingWriter(tmp_path / name, name, START_NS) as writer:
            writer.append(replace(text(0), session=name))
    assert [session.session for session in stored_sessions([tmp_path])] == ["a", "b"]


def test_a_record_of_another_session_is_refused(tmp_path: Path) -> None:
    with (
        RecordingWriter(tmp_path, "room", START_NS) as writer,
        pytest.raises(RecordingError, match="'hall' in the recording of 'room'"),
    ):
        writer.append(replace(text(0), session="hall"))


def test_a_folder_of_another_session_is_not_written_into(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(RecordingError, match="holds session 'room', not 'hall'"):
        RecordingWriter(tmp_path, "hall", START_NS)


@pytest.mark.parametrize(
    "header", ["", "[]", "{}", '{"schema": "other/1"}', '{"schema": "affectd.recording/1"}', "[" * 99_999]
)
def test_a_header_that_is_not_ours_is_named(tmp_path: Path, header: str) -> None:
    (tmp_path / SESSION_FILE).write_text(header)
    with pytest.raises(SourceError, match=str(tmp_path)):
        RecordedSession(tmp_path)


@pytest.mark.parametrize("session", ["", "a\nb", "\u202e", "\ud800", "\0", "x" * 1_000_000])
def test_a_header_of_a_session_that_cannot_be_one_is_named(tmp_path: Path, session: str) -> None:
    header = {"schema": "affectd.recording/1", "session": session, "start": "2000-01-01T00:00:00Z"}
    (tmp_path / SESSION_FILE).write_text(json.dumps(header))
    with pytest.raises(SourceError, match="a session's name has 1 to 256 printable characters"):
        RecordedSession(tmp_path)


def test_an_empty_recording_is_named(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(SourceError, match="holds no records"):
        read(tmp_path)


@given(st.text(min_size=1, max_size=400))
def test_no_session_id_leaves_the_folder_it_is_kept_in(session: str) -> None:
    name = folder_name(session)
    assert name
    assert "/" not in name
    assert "\0" not in name
    assert not name.startswith(".")
    assert len(name.encode()) <= 255


def test_different_sessions_have_different_folders() -> None:
    sessions = ("a", "A", "a/b", "a%2Fb", ".", "..", "%2E", "x" * 500, "x" * 501)
    assert len({folder_name(session) for session in sessions}) == len(sessions)
