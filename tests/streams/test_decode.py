import json

import numpy as np
import pytest

from streams.clock import NS_PER_S
from streams.decoding.decode import Limits, decode_record
from streams.events import Line, Picture, Sound
from streams.formats import rfc3339
from streams.reasons import BadRecord
from streams.records import MEDIA, RAW_PICTURE, Modality, Record
from tests.streams.making import ns
from tests.streams.test_pictures import compressed, png_header
from tests.streams.test_sound import file_of, tone, wav_header

pytestmark = pytest.mark.unit

VIDEO, AUDIO, TEXT = Modality.VIDEO, Modality.AUDIO, Modality.TEXT
JSON = "application/json"
LIMITS = Limits()


def record(modality: Modality, content_type: str, payload: object, at_ns: int = ns(5)) -> Record:
    return Record("room", modality, content_type, payload, at_ns, received_ns=ns(6), sequence=7)


def refused(bad: Record, live: bool = False, limits: Limits = LIMITS) -> str:
    with pytest.raises(BadRecord) as error:
        decode_record(bad, limits, live)
    assert len(str(error.value)) < 300
    return error.value.reason


def test_a_picture_becomes_an_instant_and_stays_compressed() -> None:
    payload = compressed("image/jpeg")
    event = decode_record(record(VIDEO, "image/jpeg", payload), LIMITS, live=False)
    assert (event.session, event.modality, event.time_ns, event.duration_ns) == ("room", VIDEO, ns(5), 0)
    assert (event.payload, event.sequence, event.received_ns) == (Picture("image/jpeg", payload), 7, ns(6))


def test_sound_becomes_an_event_that_lasts() -> None:
    event = decode_record(record(AUDIO, "audio/L16;rate=8000", b"\0\0" * 2_000), LIMITS, live=False)
    assert isinstance(event.payload, Sound)
    assert event.duration_ns == NS_PER_S // 4


@pytest.mark.parametrize(
    ("content_type", "payload", "line"),
    [
        ("text/plain", "你好".encode(), Line("你好")),
        ("text/plain; charset=utf-8", b"hello", Line("hello")),
        ("TEXT/PLAIN", b"{}", Line("{}")),
        (JSON, b'{"text": "hi", "author": "ann", "lang": "en", "more": 1}', Line("hi", "ann", "en")),
        (JSON, b'{"text": "hi", "author": null}', Line("hi")),
        (JSON, rb'{"text": "\ud83d\ude00 \ud83d"}', Line("😀 \ufffd")),
    ],
)
def test_a_line_is_text_or_json(content_type: str, payload: bytes, line: Line) -> None:
    assert decode_record(record(TEXT, content_type, payload), LIMITS, live=False).payload == line


def test_the_case_of_a_content_type_does_not_matter() -> None:
    event = decode_record(record(VIDEO, "Image/JPEG;", compressed("image/jpeg")), LIMITS, live=False)
    assert isinstance(event.payload, Picture)
    assert event.payload.content_type == "image/jpeg"


@pytest.mark.parametrize(
    ("content_type", "payload"),
    [
        ("text/plain; charset=latin-1", "déjà vu".encode("latin-1")),
        ('text/plain; Charset="UTF-16"', "déjà vu".encode("utf-16")),
        ("text/plain; charset=utf-16be", "déjà vu".encode("utf-16-be")),
        ("text/plain", b"\xef\xbb\xbf" + "déjà vu".encode()),
        ("application/json; charset=windows-1252", '{"text": "déjà vu"}'.encode("cp1252")),
        ("application/json", b'\xef\xbb\xbf{"text": "d\\u00e9j\\u00e0 vu"}'),
    ],
)
def test_a_line_is_read_in_the_character_set_that_it_states(content_type: str, payload: bytes) -> None:
    assert decode_record(record(TEXT, content_type, payload), LIMITS, live=False).payload == Line("déjà vu")


@pytest.mark.parametrize(
    ("modality", "content_type", "payload", "named"),
    [
        (VIDEO, "image/jpeg; q=1", compressed("image/jpeg"), "'q'"),
        (VIDEO, "image/png", compressed("image/jpeg"), "JPEG"),
        (AUDIO, "audio/L16; rate=16000; Layout=5.1", b"ab", "'layout'"),
        (AUDIO, "audio/L16; rate=16000; rate=8000", b"ab", "'rate' is stated twice"),
        (AUDIO, "audio/L16; rate", b"ab", "'rate' has no value"),
        (AUDIO, "audio/L16; endianness=middle", b"ab", "endianness='middle'"),
        (AUDIO, "audio/wav; emphasis=50-15", file_of(tone(1)), "'emphasis'"),
        (AUDIO, "audio/wav; rate=8000", file_of(tone(1)), "rate=8000 of a file that has 16000"),
        (AUDIO, "audio/wav; channels=2", file_of(tone(1)), "channels=2 of a file that has 1"),
        (AUDIO, "audio/wav", file_of(tone(1), kind="FLAC"), "audio/wav that is a file of FLAC"),
        (AUDIO, "audio/ogg; codecs=opus", file_of(tone(1), kind="OGG"), "codecs='opus' of a file of VORBIS"),
        (TEXT, "text/plain; format=flowed", b"hello", "'format'"),
        (TEXT, "text/plain; charset=rot13", b"hello", "charset='rot13'"),
        (TEXT, "text/plain; charset=no\0such", b"hello", "charset="),
        (TEXT, "application/cloudevents+json", b"{}", "CloudEvents in structured"),
        (TEXT, "application/cloudevents-batch+json; charset=utf-8", b"[]", "CloudEvents in structured"),
    ],
)
def test_what_a_content_type_states_and_is_not_heeded_is_refused_by_name(
    modality: Modality, content_type: str, payload: bytes, named: str
) -> None:
    with pytest.raises(BadRecord) as error:
        decode_record(record(modality, content_type, payload), LIMITS, live=False)
    assert error.value.reason in ("content_type", "corrupt")
    assert named in str(error.value)


def test_text_that_begins_as_utf_16_does_is_told_so() -> None:
    with pytest.raises(BadRecord, match="charset=utf-16"):
        decode_record(record(TEXT, "text/plain", "hello".encode("utf-16")), LIMITS, live=False)


@pytest.mark.parametrize(
    ("modality", "content_type", "payload"),
    [
        (VIDEO, "image/jpeg", b"no picture"),
        (VIDEO, "image/webp", compressed("image/webp")[:100]),
        (AUDIO, "audio/wav", b"no sound at all"),
        (AUDIO, "audio/flac", file_of(tone(1), kind="FLAC")[:30]),
        (TEXT, JSON, b'{"text": '),
    ],
)
def test_equal_faults_have_equal_messages(modality: Modality, content_type: str, payload: bytes) -> None:
    def message() -> str:
        with pytest.raises(BadRecord) as error:
            decode_record(record(modality, content_type, payload), LIMITS, live=False)
        return str(error.value)

    assert message() == message()
    assert "0x" not in message()


@pytest.mark.parametrize(
    ("modality", "content_type", "payload", "reason"),
    [
        pytest.param(VIDEO, "image/png", png_header(8_000, 5_000), "oversized", id="a 40-megapixel picture"),
        pytest.param(VIDEO, "image/jpeg", compressed("image/jpeg")[:200], "corrupt", id="a truncated jpeg"),
        pytest.param(VIDEO, "image/jpeg", b"", "empty", id="a picture of no bytes"),
        pytest.param(VIDEO, "image/gif", b"GIF89a", "content_type", id="a picture of another type"),
        pytest.param(VIDEO, "text/plain", b"hello", "content_type", id="text as a picture"),
        pytest.param(VIDEO, RAW_PICTURE, b"from outside", "corrupt", id="raw bytes from outside"),
        pytest.param(VIDEO, "x" * 2**20, b"", "content_type", id="an endless content type"),
        pytest.param(AUDIO, "audio/wav", wav_header(16_000, 0), "empty", id="a zero-length wav"),
        pytest.param(AUDIO, "audio/wav", b"", "empty", id="a wav of no bytes"),
        pytest.param(AUDIO, "audio/wav", file_of(tone(1))[:40], "corrupt", id="a truncated wav"),
        pytest.param(AUDIO, "audio/L16", b"abc", "corrupt", id="odd bytes of pcm"),
        pytest.param(AUDIO, "audio/L16; rate=loud", b"ab", "content_type", id="a rate in words"),
        pytest.param(AUDIO, "audio/mpeg", b"ab", "content_type", id="sound of another type"),
        pytest.param(TEXT, "text/plain", b"a" * 2**20, "oversized", id="a line of 1 MB"),
        pytest.param(TEXT, "text/plain", b"ab\xff", "invalid_utf8", id="invalid utf-8"),
        pytest.param(TEXT, "text/plain", b" \n\t", "empty", id="a line without text"),
        pytest.param(TEXT, "text/html", b"hello", "content_type", id="a line of another type"),
        pytest.param(TEXT, JSON, b'{"text": "half', "invalid_json", id="half a json"),
        pytest.param(TEXT, JSON, b'["text"]', "invalid_json", id="json that is no object"),
        pytest.param(TEXT, JSON, b"17", "invalid_json", id="json that is a number"),
        pytest.param(TEXT, JSON, b"{}", "invalid_json", id="json without text"),
        pytest.param(TEXT, JSON, b'{"text": "a", "text": "b"}', "invalid_json", id="json whose text stands twice"),
        pytest.param(TEXT, "text/plain;charset=utf-16", b"\xff\xfea", "invalid_text", id="half a utf-16 character"),
        pytest.param(TEXT, JSON, b'{"text": null}', "invalid_json", id="json whose text is null"),
        pytest.param(TEXT, JSON, b'{"text": 17}', "invalid_json", id="json whose text is a number"),
        pytest.param(TEXT, JSON, b'{"text": "a", "author": ["b"]}', "invalid_json", id="json whose author is a list"),
        pytest.param(TEXT, JSON, b'{"text": ""}', "empty", id="json with empty text"),
        pytest.param(TEXT, JSON, b"[" * 60_000, "invalid_json", id="deep json"),
        pytest.param(TEXT, JSON, b'{"text": ' + b"9" * 5_000 + b"}", "invalid_json", id="an endless number"),
    ],
)
def test_a_record_that_cannot_be_used_is_refused_with_its_reason(
    modality: Modality, content_type: str, payload: bytes, reason: str
) -> None:
    assert refused(record(modality, content_type, payload)) == reason


@pytest.mark.parametrize("modality", list(MEDIA))
def test_a_record_beyond_the_limit_of_bytes_is_refused_unread(modality: Modality) -> None:
    assert refused(record(modality, "whatever", b"x" * 101), limits=Limits(max_record_bytes=100)) == "oversized"


def test_what_a_sound_may_unpack_to_is_limited() -> None:
    long = file_of(np.zeros(2_000, np.float32), kind="FLAC")
    assert refused(record(AUDIO, "audio/flac", long), limits=Limits(max_samples=1_000)) == "oversized"


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize(
    "text", ["1970-01-01T00:00:00Z", "1989-12-31T23:59:59Z", "2100-01-01T00:00:00Z", "2262-04-11T23:47:16Z"]
)
def test_times_that_no_clock_shows_are_refused(text: str, live: bool) -> None:
    assert refused(record(TEXT, "text/plain", b"hello", rfc3339.parse(text)), live) == "absurd_time"


@pytest.mark.parametrize("time_ns", [-1, -(2**70), 2**63, 2**70])
def test_times_that_cannot_be_written_are_refused_too(time_ns: int) -> None:
    assert refused(record(TEXT, "text/plain", b"hello", time_ns)) == "absurd_time"


@pytest.mark.parametrize(("ahead_s", "usable"), [(-86_400, True), (-86_401, False), (0, True), (60, True), (61, False)])
def test_live_records_are_held_against_the_time_they_were_received_at(ahead_s: int, usable: bool) -> None:
    found = record(TEXT, "text/plain", b"hello", ns(6) + ahead_s * NS_PER_S)
    assert decode_record(found, LIMITS, live=False).time_ns == found.event_time_ns
    if usable:
        assert decode_record(found, LIMITS, live=True).time_ns == found.event_time_ns
    else:
        assert refused(found, live=True) == "absurd_time"


@pytest.mark.parametrize(
    ("content_type", "payload"),
    [
        ("text/plain", b"my secret \xff"),
        (JSON, b"my secret"),
        (JSON, json.dumps({"text": ["my secret"]}).encode()),
        (JSON, json.dumps(["my secret"]).encode()),
    ],
)
def test_an_error_never_repeats_what_was_said(content_type: str, payload: bytes) -> None:
    with pytest.raises(BadRecord) as error:
        decode_record(record(TEXT, content_type, payload), LIMITS, live=False)
    assert "secret" not in str(error.value)
