import json
import os
import tempfile
import threading
from collections import Counter
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.clock import NS_PER_MS, NS_PER_S, ManualClock
from streams.records import RAW_PICTURE, EndOfSession, Item, Modality, OfSession, Progress, Record
from streams.sources.base import SourceError
from streams.sources.stored.discovery import StoredOptions, stored_sessions
from streams.sources.stored.media_session import START_NS, MediaSession
from streams.sources.stored.playback import Playback
from streams.sources.stored.presentation_time import PresentationTime
from streams.telemetry import NullTelemetry

pytestmark = pytest.mark.unit

FPS, RATE_HZ = 10, 16_000


def write_media(
    path: Path,
    *,
    seconds: float = 2.0,
    picture: bool = True,
    sound: bool = True,
    first_pts: int = 0,
    options: dict[str, str] | None = None,
) -> Path:
    """Grey pictures at 10 Hz whose brightness counts up, and a 440 Hz tone."""
    with av.open(str(path), "w", options=options or {}) as box:
        lossless = path.suffix in (".wav", ".mkv")
        video = box.add_stream("mpeg4", rate=FPS) if picture else None
        audio = box.add_stream("pcm_s16le" if lossless else "aac", rate=RATE_HZ, layout="mono") if sound else None
        if video is not None:
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
            for i in range(round(seconds * FPS)):
                frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), i * 10 % 250, np.uint8), format="bgr24")
                frame.pts, frame.time_base = first_pts + i, Fraction(1, FPS)
                box.mux(video.encode(frame))
            box.mux(video.encode(None))
        if audio is not None:
            t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
            pcm = (np.sin(2 * np.pi * 440 * t) * 20_000).astype(np.int16)
            for at in range(0, len(pcm), 1024):
                block = av.AudioFrame.from_ndarray(pcm[None, at : at + 1024], format="s16", layout="mono")
                block.sample_rate, block.pts = RATE_HZ, at
                box.mux(audio.encode(block))
            box.mux(audio.encode(None))
    return path


class DeadLetters(NullTelemetry):
    def __init__(self) -> None:
        self.reasons: Counter[str] = Counter()

    def dead_letter(self, reason: str) -> None:
        self.reasons[reason] += 1


def play(*paths: Path, options: StoredOptions | None = None, speed: float | None = None) -> tuple[list[OfSession], str]:
    """Everything emitted, and the faults raised at the end ("" if none)."""
    playback = Playback(stored_sessions(paths, options), ManualClock(), speed=speed)
    items: list[OfSession] = []
    fault = ""
    playback.open()
    try:
        playback.read(items.append, threading.Event())
    except SourceError as error:
        fault = str(error)
    finally:
        playback.close()
    return items, fault


def test_playback_counts_the_event_time_of_all_sessions(tmp_path: Path) -> None:
    for name, last_s in (("a", 7.5), ("b", 3.0)):
        lines = [json.dumps({"at_s": at_s, "text": "hello"}) for at_s in (1.0, 2.0, last_s)]
        (tmp_path / f"{name}.chat.jsonl").write_text("\n".join(lines))
    playback = Playback(stored_sessions([tmp_path]), ManualClock())
    playback.read(lambda _: None, threading.Event())
    assert playback.played_ns == round((6.5 + 2.0) * NS_PER_S)


def records(items: list[OfSession], modality: Modality) -> list[Record]:
    return [item for item in items if isinstance(item, Record) and item.modality is modality]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_pictures_and_sound_come_at_their_true_presentation_times(tmp_path: Path, suffix: str) -> None:
    items, fault = play(write_media(tmp_path / f"room{suffix}"))
    assert fault == ""
    pictures, sound = records(items, Modality.VIDEO), records(items, Modality.AUDIO)
    # a transport stream counts from an arbitrary origin and may begin with either stream
    first_ms = round((pictures[0].event_time_ns - START_NS) / NS_PER_MS)
    assert 0 <= first_ms <= (100 if suffix == ".ts" else 0)
    assert [round((p.event_time_ns - START_NS) / NS_PER_MS) - first_ms for p in pictures] == list(range(0, 2000, 100))
    samples = sum(len(s.payload) for s in sound) // 2
    assert abs(samples - 2 * RATE_HZ) <= 2048
    assert abs(sound[0].event_time_ns - START_NS) <= 200 * NS_PER_MS
    assert {s.content_type for s in sound} == {"audio/L16;rate=16000;channels=1"}


def test_a_picture_is_the_frame_itself_not_converted(tmp_path: Path) -> None:
    items, _ = play(write_media(tmp_path / "room.mp4"))
    third = records(items, Modality.VIDEO)[2]
    assert third.content_type == RAW_PICTURE
    assert isinstance(third.payload, av.VideoFrame)
    assert abs(int(third.payload.to_ndarray(format="bgr24").mean()) - 20) <= 5


def test_uncompressed_sound_arrives_sample_for_sample_in_order(tmp_path: Path) -> None:
    items, _ = play(write_media(tmp_path / "room.wav", picture=False))
    sound = records(items, Modality.AUDIO)
    pcm = np.frombuffer(b"".join(s.payload for s in sound), "<i2")
    t = np.arange(2 * RATE_HZ) / RATE_HZ
    np.testing.assert_array_equal(pcm, (np.sin(2 * np.pi * 440 * t) * 20_000).astype(np.int16))
    at = 0
    for chunk in sound:
        assert chunk.event_time_ns == START_NS + at * NS_PER_S // RATE_HZ
        at += len(chunk.payload) // 2


def test_stereo_at_an_odd_rate_keeps_its_rate_and_channels(tmp_path: Path) -> None:
    path = tmp_path / "room.wav"
    with av.open(str(path), "w") as box:
        stream = box.add_stream("pcm_f32le", rate=22_050, layout="stereo")
        block = av.AudioFrame.from_ndarray(np.array([[0.5, -0.5] * 4410], np.float32), format="flt", layout="stereo")
        block.sample_rate = 22_050
        box.mux([*stream.encode(block), *stream.encode(None)])
    items, _ = play(path)
    sound = records(items, Modality.AUDIO)[0]
    assert sound.content_type == "audio/L16;rate=22050;channels=2"
    assert np.frombuffer(sound.payload, "<i2")[:4].tolist() == [16384, -16384, 16384, -16384]


def test_a_rate_limits_pictures_to_the_first_of_each_slot(tmp_path: Path) -> None:
    items, _ = play(write_media(tmp_path / "room.mp4"), options=StoredOptions(sample_hz=5))
    times_ms = [(p.event_time_ns - START_NS) // NS_PER_MS for p in records(items, Modality.VIDEO)]
    assert times_ms == list(range(0, 2000, 200))


def test_pictures_that_start_late_stay_late(tmp_path: Path) -> None:
    items, _ = play(write_media(tmp_path / "room.mp4", sound=False, first_pts=30))
    assert records(items, Modality.VIDEO)[0].event_time_ns == START_NS + 3 * NS_PER_S


def test_chat_beside_a_file_is_merged_in_time_order(tmp_path: Path) -> None:
    chat = tmp_path / "room.chat.jsonl"
    chat.write_text('{"at_s": 1.55, "text": "二", "lang": "zh"}\n{"at_s": 0.25, "text": "one", "author": "ann"}\n')
    items, _ = play(write_media(tmp_path / "room.mp4"))
    times = [item.event_time_ns for item in items if isinstance(item, Record)]
    assert times == sorted(times)
    assert [
        (t.event_time_ns - START_NS, t.payload.decode(), t.content_type) for t in records(items, Modality.TEXT)
    ] == [
        (250 * NS_PER_MS, '{"text": "one", "author": "ann"}', "application/json"),
        (1550 * NS_PER_MS, '{"text": "二", "lang": "zh"}', "application/json"),
    ]


def test_chat_alone_is_a_session_and_lines_at_the_same_time_keep_their_order(tmp_path: Path) -> None:
    chat = tmp_path / "room.chat.jsonl"
    chat.write_text("".join(f'{{"at_s": 1, "text": "{i}"}}\n' for i in range(5)))
    items, fault = play(chat)
    assert fault == ""
    assert [r.payload for r in records(items, Modality.TEXT)] == [f'{{"text": "{i}"}}'.encode() for i in range(5)]
    assert items[-1] == EndOfSession("room")


def test_bad_chat_lines_are_counted_by_reason_and_the_rest_goes_on(tmp_path: Path) -> None:
    chat = tmp_path / "room.chat.jsonl"
    bad: dict[bytes, str] = {
        b'{"at_s": 1, "text": "\xff"}': "invalid_utf8",
        b'{"at_s": 1, "text": ': "invalid_json",
        b"[" * 50_000: "invalid_json",
        b"[1]": "invalid_json",
        b'{"at_s": ' + b"9" * 5000 + b', "text": "x"}': "invalid_json",
        b'{"at_s": -1, "text": "x"}': "invalid_chat_line",
        b'{"at_s": NaN, "text": "x"}': "invalid_chat_line",
        b'{"at_s": 1e400, "text": "x"}': "invalid_chat_line",
        b'{"at_s": true, "text": "x"}': "invalid_chat_line",
        b'{"at_s": "1", "text": "x"}': "invalid_chat_line",
        b'{"text": "x"}': "invalid_chat_line",
        b'{"at_s": 1}': "invalid_chat_line",
        b'{"at_s": 1, "text": 7}': "invalid_chat_line",
        b'{"at_s": 1, "text": "' + b"x" * 1_000_000 + b'"}': "oversized",
    }
    chat.write_bytes(b"\n".join([*bad, b"", b'{"at_s": 2, "text": "good"}']))
    telemetry = DeadLetters()
    items, fault = play(chat, options=StoredOptions(telemetry=telemetry))
    assert fault == ""
    assert [r.payload for r in records(items, Modality.TEXT)] == [b'{"text": "good"}']
    assert telemetry.reasons == Counter(bad.values())


GOOD = '{"at_s": 2, "text": "good"}'


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(b"\xef\xbb\xbf" + GOOD.encode(), id="a byte order mark"),
        pytest.param(f"\r\n\r\n{GOOD}\r\n".encode(), id="carriage return and line feed"),
        pytest.param(f"{GOOD}\r\r".encode(), id="carriage returns alone"),
        pytest.param(b"\n" + b"x" * 300_000 + b"\n" + GOOD.encode(), id="after a line that is too long"),
        pytest.param(b'{"at_s": 1, "at_s": 2, "text": "x"}\n' + GOOD.encode(), id="after a key that stands twice"),
        pytest.param(b'{"at_s": 1, "text": "x",}\n' + GOOD.encode(), id="after a comma too many"),
        pytest.param(b'{"at_s": 1, "text": "\0"}\n' + GOOD.encode(), id="after a null byte"),
    ],
)
def test_a_good_chat_line_is_read_however_the_file_was_saved(tmp_path: Path, written: bytes) -> None:
    chat = tmp_path / "room.chat.jsonl"
    chat.write_bytes(written)
    items, fault = play(chat)
    assert fault == ""
    assert [record.payload for record in records(items, Modality.TEXT)] == [b'{"text": "good"}']


def test_a_line_separator_of_unicode_is_part_of_the_text(tmp_path: Path) -> None:
    chat = tmp_path / "room.chat.jsonl"
    chat.write_text('{"at_s": 0, "text": "one\u2028two"}\n', encoding="utf-8")
    (record,) = records(play(chat)[0], Modality.TEXT)
    assert json.loads(record.payload) == {"text": "one\u2028two"}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_chat_saved_as_utf_16_is_told_so(tmp_path: Path, encoding: str) -> None:
    chat = tmp_path / "room.chat.jsonl"
    chat.write_bytes(("" if encoding == "utf-16" else "\ufeff").encode(encoding) + f"{GOOD}\n".encode(encoding))
    assert "room.chat.jsonl: is UTF-16 text; save it as UTF-8" in play(chat)[1]


@pytest.mark.parametrize("name", ["room.chat.jsonl", "room.mp4"])
def test_a_pipe_in_place_of_a_file_is_named_and_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    assert f"{name}: is a pipe, not a file" in play(tmp_path / name)[1]


def test_several_files_are_several_sessions_interleaved_in_event_time(tmp_path: Path) -> None:
    items, _ = play(write_media(tmp_path / "a.mkv"), write_media(tmp_path / "b.wav", picture=False, seconds=1.0))
    times = [item.event_time_ns for item in items if isinstance(item, Record)]
    assert times == sorted(times)
    ends = [item for item in items if isinstance(item, EndOfSession)]
    assert ends == [EndOfSession("b"), EndOfSession("a")]
    after = items[items.index(EndOfSession("b")) + 1 :]
    assert {item.session for item in after} == {"a"}


def test_more_sessions_than_play_together_play_in_groups(tmp_path: Path) -> None:
    paths = [write_media(tmp_path / f"{name}.wav", picture=False, seconds=0.4) for name in "abcde"]
    playback = Playback(stored_sessions(paths), ManualClock(), together=2)
    items: list[OfSession] = []
    playback.read(items.append, threading.Event())
    assert [item.session for item in items if isinstance(item, EndOfSession)] == list("abcde")


def test_every_stream_makes_progress_while_another_has_something_to_say(tmp_path: Path) -> None:
    (tmp_path / "room.chat.jsonl").write_text('{"at_s": 0, "text": "hello"}\n')
    items, _ = play(write_media(tmp_path / "room.mp4", sound=False))
    progress = [item for item in items if isinstance(item, Progress)]
    assert {p.modality for p in progress} == {Modality.VIDEO, Modality.TEXT}
    text_ms = [(p.through_ns - START_NS) // NS_PER_MS for p in progress if p.modality is Modality.TEXT]
    assert text_ms == list(range(0, 2000, 200))


def test_progress_is_a_promise_that_is_kept(tmp_path: Path) -> None:
    (tmp_path / "b.chat.jsonl").write_text('{"at_s": 0.1, "text": "x"}\n{"at_s": 1.7, "text": "y"}\n')
    items, _ = play(write_media(tmp_path / "a.mp4"), tmp_path / "b.chat.jsonl")
    through: dict[tuple[str, Modality], int] = {}
    for item in items:
        if isinstance(item, Progress):
            through[item.session, item.modality] = item.through_ns
        elif isinstance(item, Record):
            assert item.event_time_ns >= through.get((item.session, item.modality), 0)


def test_the_same_records_come_in_the_same_order_paced_or_not(tmp_path: Path) -> None:
    write_media(tmp_path / "a.mkv")
    (tmp_path / "b.chat.jsonl").write_text('{"at_s": 0.2, "text": "x"}\n{"at_s": 9, "text": "y"}\n')

    def order(speed: float | None) -> list[tuple[str, Modality, int] | EndOfSession]:
        items, _ = play(tmp_path, speed=speed)
        return [
            (item.session, item.modality, item.event_time_ns) if isinstance(item, Record) else item
            for item in items
            if not isinstance(item, Progress)
        ]

    assert order(None) == order(1.0) == order(3.0)


@pytest.mark.parametrize(("speed", "lasts_s"), [(1.0, 8.0), (4.0, 2.0), (None, 0.0)])
def test_playback_is_paced_by_its_speed(tmp_path: Path, speed: float | None, lasts_s: float) -> None:
    chat = tmp_path / "room.chat.jsonl"
    chat.write_text('{"at_s": 2, "text": "x"}\n{"at_s": 10, "text": "y"}\n')
    clock = ManualClock()
    Playback(stored_sessions([chat]), clock, speed=speed).read(lambda item: None, threading.Event())
    assert clock.monotonic_ns() == lasts_s * NS_PER_S


def test_a_record_is_received_when_it_is_played(tmp_path: Path) -> None:
    chat = tmp_path / "room.chat.jsonl"
    chat.write_text('{"at_s": 0, "text": "x"}\n{"at_s": 10, "text": "y"}\n')
    items, _ = play(chat, speed=1.0)
    first, second = records(items, Modality.TEXT)
    assert second.received_ns - first.received_ns == 10 * NS_PER_S


def test_a_paced_playback_stops_when_it_is_told_to(tmp_path: Path) -> None:
    stop = threading.Event()
    items: list[Item] = []

    def stops_at_the_fifth(item: Item) -> None:
        items.append(item)
        if len(items) == 5:
            stop.set()

    Playback(stored_sessions([write_media(tmp_path / "a.mp4")]), ManualClock(), speed=1.0).read(
        stops_at_the_fifth, stop
    )
    assert 5 <= len(items) <= 8
    assert not any(isinstance(item, EndOfSession) for item in items)


def cut(path: Path, keep: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


def test_an_mp4_without_its_index_is_named_as_cut_short(tmp_path: Path) -> None:
    items, fault = play(cut(write_media(tmp_path / "room.mp4"), 0.5))
    assert items == []
    assert "room.mp4: not a readable media file, or cut short" in fault


@pytest.mark.parametrize("name", ["room.mp4", "room.wav", "room.mkv"])
def test_what_comes_before_the_cut_is_played_and_the_cut_reported(tmp_path: Path, name: str) -> None:
    options = {"movflags": "faststart"} if name.endswith("mp4") else {}
    path = write_media(tmp_path / name, seconds=6, picture=not name.endswith("wav"), options=options)
    items, fault = play(cut(path, 0.5))
    last_ns = max(item.event_time_ns for item in items if isinstance(item, Record)) - START_NS
    assert 1 * NS_PER_S < last_ns < 5 * NS_PER_S
    assert f"{name}: " in fault
    assert "cut short: " in fault or "breaks off at" in fault
    assert items[-1] == EndOfSession("room")


def test_a_wav_that_was_written_into_a_pipe_is_not_cut_short(tmp_path: Path) -> None:
    path = write_media(tmp_path / "room.wav", picture=False)
    with path.open("r+b") as file:
        file.seek(4)
        file.write((0x7FFF_F024).to_bytes(4, "little"))  # as SoX does
    items, fault = play(path)
    assert sum(len(sound.payload) for sound in records(items, Modality.AUDIO)) == 2 * 2 * RATE_HZ
    assert not fault


def test_one_bad_file_does_not_stop_the_others(tmp_path: Path) -> None:
    bad = cut(write_media(tmp_path / "bad.mp4"), 0.5)
    empty = tmp_path / "empty.wav"
    empty.touch()
    items, fault = play(bad, empty, tmp_path / "missing.mp4", write_media(tmp_path / "good.wav", picture=False))
    assert items[-1] == EndOfSession("good")
    assert sum(len(sound.payload) for sound in records(items, Modality.AUDIO)) == 2 * 2 * RATE_HZ
    assert "bad.mp4" in fault
    assert "empty.wav: is empty" in fault
    assert "missing.mp4: cannot be read: No such file or directory" in fault


def test_a_wav_without_samples_is_named(tmp_path: Path) -> None:
    items, fault = play(write_media(tmp_path / "room.wav", picture=False, seconds=0))
    assert records(items, Modality.AUDIO) == []
    assert "room.wav: " in fault


def test_a_file_that_is_no_media_is_named(tmp_path: Path) -> None:
    path = tmp_path / "notes.mp4"
    path.write_text("these are notes\n" * 100)
    _, fault = play(path)
    assert "notes.mp4: not a readable media file" in fault


def test_a_codec_that_nobody_decodes_is_named(tmp_path: Path) -> None:
    path = write_media(tmp_path / "room.mkv", sound=False)
    path.write_bytes(path.read_bytes().replace(b"V_MPEG4/ISO/ASP", b"V_NOSUCH/XXX/YY"))
    _, fault = play(path)
    assert "room.mkv: there is no decoder for its video" in fault


def test_sound_is_played_though_the_pictures_have_no_decoder(tmp_path: Path) -> None:
    path = write_media(tmp_path / "room.mkv")
    path.write_bytes(path.read_bytes().replace(b"V_MPEG4/ISO/ASP", b"V_NOSUCH/XXX/YY"))
    items, fault = play(path)
    assert "no decoder for its video" in fault
    assert records(items, Modality.AUDIO)


def write_tracks(path: Path, *tracks: tuple[int, Disposition]) -> Path:
    """A file of sound alone: tracks of one level each."""
    with av.open(str(path), "w") as box:
        streams = []
        for _, disposition in tracks:
            stream = box.add_stream("pcm_s16le", rate=RATE_HZ, layout="mono")
            stream.disposition = disposition
            streams.append(stream)
        for stream, (level, _) in zip(streams, tracks, strict=True):
            block = av.AudioFrame.from_ndarray(np.full((1, RATE_HZ), level, np.int16), format="s16", layout="mono")
            block.sample_rate = RATE_HZ
            box.mux([*stream.encode(block), *stream.encode(None)])
    return path


@pytest.mark.parametrize(
    ("tracks", "read"),
    [
        pytest.param([(1, Disposition(0)), (2, Disposition(0))], 1, id="the first"),
        pytest.param([(1, Disposition(0)), (2, Disposition.default)], 2, id="the one to be played unasked"),
        pytest.param([(1, Disposition.comment), (2, Disposition(0))], 2, id="not the commentary"),
        pytest.param([(1, Disposition.comment | Disposition.default), (2, Disposition(0))], 2, id="never commentary"),
        pytest.param(
            [(1, Disposition.visual_impaired), (2, Disposition.dub), (3, Disposition(0))], 3, id="the original"
        ),
        pytest.param([(1, Disposition.comment)], 1, id="commentary alone"),
    ],
)
def test_of_several_sound_tracks_the_conversation_is_read(
    tmp_path: Path, tracks: list[tuple[int, Disposition]], read: int
) -> None:
    items, fault = play(write_tracks(tmp_path / "room.mkv", *tracks))
    assert fault == ""
    assert {level for r in records(items, Modality.AUDIO) for level in np.frombuffer(r.payload, "<i2").tolist()} == {
        read
    }


def test_a_cover_is_no_picture_of_the_session(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as box:
        sound = box.add_stream("aac", rate=RATE_HZ, layout="mono")
        cover = box.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 9, np.uint8), format="bgr24")
        box.mux([*cover.encode(picture), *cover.encode(None)])
        block = av.AudioFrame.from_ndarray(np.full((1, RATE_HZ), 5, np.int16), format="s16", layout="mono")
        block.sample_rate = RATE_HZ
        box.mux([*sound.encode(block), *sound.encode(None)])
    items, _ = play(path)
    assert records(items, Modality.AUDIO)
    assert records(items, Modality.VIDEO) == []


def test_a_frame_rate_that_varies_is_followed(tmp_path: Path) -> None:
    at_ms = [0, 40, 80, 500, 520, 2_000, 2_100]
    path = tmp_path / "room.mkv"
    with av.open(str(path), "w") as box:
        stream = box.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for ms in at_ms:
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 9, np.uint8), format="bgr24")
            frame.pts, frame.time_base = ms, Fraction(1, 1000)
            box.mux(stream.encode(frame))
        box.mux(stream.encode(None))
    pictures = records(play(path)[0], Modality.VIDEO)
    assert [(picture.event_time_ns - START_NS) // NS_PER_MS for picture in pictures] == at_ms


@pytest.mark.parametrize(
    "codec_and_suffix", [("aac", ".mp4"), ("libopus", ".mkv"), ("aac", ".mkv"), ("libmp3lame", ".mp3")]
)
def test_the_samples_that_prime_a_codec_are_no_sound(tmp_path: Path, codec_and_suffix: tuple[str, str]) -> None:
    codec, suffix = codec_and_suffix
    path, rate_hz = tmp_path / f"room{suffix}", 48_000
    click = np.zeros(rate_hz, np.int16)
    click[rate_hz // 2 : rate_hz // 2 + 480] = (20_000 * np.sin(np.arange(480) / 5)).astype(np.int16)
    with av.open(str(path), "w") as box:
        stream = box.add_stream(codec, rate=rate_hz, layout="mono")
        assert isinstance(stream, av.AudioStream)
        resampler = av.AudioResampler(stream.format, "mono", rate_hz, frame_size=stream.codec_context.frame_size or 960)
        block = av.AudioFrame.from_ndarray(click[None], format="s16", layout="mono")
        block.sample_rate, block.pts = rate_hz, 0
        for frame in [*resampler.resample(block), *resampler.resample(None)]:
            box.mux(stream.encode(frame))
        box.mux(stream.encode(None))
    sound = records(play(path)[0], Modality.AUDIO)
    heard = np.zeros(2 * rate_hz)
    for piece in sound:
        at = round((piece.event_time_ns - START_NS) * rate_hz / NS_PER_S)
        heard[at : at + len(piece.payload) // 2] = np.frombuffer(piece.payload, "<i2")
    assert sound[0].event_time_ns >= START_NS
    assert np.argmax(np.abs(heard) > 8_000) / rate_hz == pytest.approx(0.5, abs=0.012)


def test_damaged_packets_are_counted_and_what_is_whole_is_played(tmp_path: Path) -> None:
    path = write_media(tmp_path / "room.mkv", sound=False, seconds=4)
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as box:
        tenth = [packet for packet in box.demux(video=0) if packet.size][10]
    at = data.find(bytes(tenth))
    data[at : at + tenth.size] = b"\xff" * tenth.size
    path.write_bytes(bytes(data))
    telemetry = DeadLetters()
    items, _ = play(path, options=StoredOptions(telemetry=telemetry))
    assert len(records(items, Modality.VIDEO)) >= 30
    assert items[-1] == EndOfSession("room")


def test_two_inputs_that_claim_one_session_are_refused(tmp_path: Path) -> None:
    paths = [write_media(tmp_path / name, picture=False) for name in ("room.wav", "room.mkv")]
    with pytest.raises(SourceError, match=r"room\.mkv: session 'room' is also that of .*room\.wav"):
        stored_sessions(paths)


def test_a_file_and_its_chat_named_both_are_one_session(tmp_path: Path) -> None:
    chat = tmp_path / "room.chat.jsonl"
    chat.write_text('{"at_s": 0, "text": "x"}\n')
    media = write_media(tmp_path / "room.mp4")
    for paths in ([media, chat], [chat, media], [tmp_path]):
        assert [session.session for session in stored_sessions(paths)] == ["room"]


@pytest.mark.parametrize("chat", ["talk.chat.jsonl", "talk.CHAT.JSONL"])
@pytest.mark.parametrize("media", ["talk.MP4", "talk.AVI", "talk.wav"])
def test_a_file_and_its_chat_are_one_session_in_capitals_too(media: str, chat: str, tmp_path: Path) -> None:
    for name in (media, chat, f"._{media}"):
        (tmp_path / name).touch()
    for named in ([tmp_path], [tmp_path / chat], [tmp_path / media]):
        (session,) = stored_sessions(named)
        assert isinstance(session, MediaSession)
        assert (session.session, session.media, session.chat) == ("talk", tmp_path / media, tmp_path / chat)


def test_a_folder_with_nothing_to_play_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="neither media, nor chat"):
        stored_sessions([tmp_path])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(max_size=60).map(lambda line: line.replace(b"\n", b"")), max_size=8))
def test_no_chat_file_stops_the_lines_that_are_good(lines: list[bytes]) -> None:
    good = b'{"at_s": 1, "text": "good"}'
    with tempfile.TemporaryDirectory() as folder:
        chat = Path(folder, "room.chat.jsonl")
        chat.write_bytes(b"\n".join([*lines, good]))
        items, fault = play(chat)
    assert fault == ""
    assert b'{"text": "good"}' in [record.payload for record in records(items, Modality.TEXT)]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 3000), min_size=1, max_size=6), min_size=1, max_size=5), st.floats(0.5, 20))
def test_any_sessions_play_every_record_once_in_time_order_at_any_speed(
    times_ms: list[list[int]], speed: float
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, session in enumerate(times_ms):
            lines = [json.dumps({"at_s": ms / 1000, "text": str(i)}) for i, ms in enumerate(session)]
            Path(folder, f"{name}.chat.jsonl").write_text("\n".join(lines))
        played = {each: play(Path(folder), speed=each)[0] for each in (speed, None)}
    for items in played.values():
        texts = records(items, Modality.TEXT)
        at_ms = [(text.event_time_ns - START_NS) // NS_PER_MS for text in texts]
        assert at_ms == sorted(ms for session in times_ms for ms in session)
        ends = {item.session: at for at, item in enumerate(items) if isinstance(item, EndOfSession)}
        assert len(ends) == len(times_ms)
        assert all(at <= ends[item.session] for at, item in enumerate(items))
    fast, paced = ([i for i in items if not isinstance(i, Progress)] for items in played.values())
    assert [_when(item) for item in fast] == [_when(item) for item in paced]


def _when(item: OfSession) -> tuple[str, int | None]:
    return item.session, item.event_time_ns if isinstance(item, Record) else None


TIME_BASE = Fraction(1, 1000)


@pytest.mark.parametrize(
    ("stamps_ms", "times_ms"),
    [
        pytest.param([0, 100, 200], [0, 100, 200], id="as stamped"),
        pytest.param([0, None, 200], [0, 100, 200], id="a missing stamp follows on"),
        pytest.param([0, 100, 0, 100], [0, 100, 200, 300], id="stamps that start again follow on"),
        pytest.param([0, 100, -9_000_000, -8_999_900], [0, 100, 200, 300], id="a counter that wraps follows on"),
        pytest.param([0, 100, 50_000, 50_100], [0, 100, 200, 300], id="a leap follows on"),
        pytest.param([0, 100, 5_000], [0, 100, 5_000], id="a pause is a pause"),
        pytest.param([-50, 50, 150], [0, 100, 200], id="nothing comes before the start"),
        pytest.param([2**62, 2**62 + 100], [0, 100], id="absurd stamps count from the first"),
    ],
)
def test_stamps_that_jump_do_not_move_the_session(stamps_ms: list[int | None], times_ms: list[int]) -> None:
    time = PresentationTime(origin_ns=0, leap_ns=10 * NS_PER_S)
    at = [time.at(stamp, TIME_BASE, 100 * NS_PER_MS) for stamp in stamps_ms]
    assert at == [ms * NS_PER_MS for ms in times_ms]


def test_a_file_name_that_is_no_text_gives_a_session_that_can_be_published(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.chat.jsonl"))
    path.write_text('{"at_s": 0, "text": "x"}\n')
    assert [session.session for session in stored_sessions([path])] == ["caf\N{REPLACEMENT CHARACTER}"]


@pytest.mark.parametrize(
    ("file", "session"),
    [
        ("a\nb\u202ec\x1b[2J.chat.jsonl", "a\ufffdb\ufffdc\ufffd[2J"),
        (".chat.jsonl", ".chat.jsonl"),
        (f"{'x' * 250}.jsonl"[-255:], "x" * 249),
    ],
)
def test_no_file_name_gives_a_session_that_cannot_be_one(file: str, session: str, tmp_path: Path) -> None:
    (tmp_path / file).write_text('{"at_s": 0, "text": "x"}\n')
    assert [each.session for each in stored_sessions([tmp_path / file])] == [session]


def test_the_longest_file_name_has_no_chat_beside_it(tmp_path: Path) -> None:
    path = write_media(tmp_path / f"{'x' * 251}.wav", picture=False)
    items, fault = play(path)
    assert items
    assert not fault


def test_one_file_that_is_named_in_two_ways_is_one_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_media(tmp_path / "room.wav", picture=False)
    monkeypatch.chdir(tmp_path)
    assert len(stored_sessions([path, Path("room.wav")])) == 1


def test_a_jsonl_file_that_is_named_is_chat_whatever_it_is_called(tmp_path: Path) -> None:
    script = tmp_path / "talk.jsonl"
    script.write_text('{"at_s": 0.5, "text": "hello"}\n')
    (session,) = stored_sessions([script])
    session.open()
    assert (session.session, session.modalities) == ("talk", frozenset({Modality.TEXT}))
