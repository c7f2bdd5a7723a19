"""Whatever comes from outside: an event, or BadRecord, and nothing else."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.decoding import pictures, sound
from streams.decoding.decode import Limits, decode_record
from streams.events import Line, Picture, Sound
from streams.reasons import BadRecord
from streams.records import MEDIA, RAW_PICTURE, Modality, Record
from tests.streams.making import ns
from tests.streams.test_pictures import SCENE, compressed
from tests.streams.test_sound import file_of, tone

pytestmark = pytest.mark.property

REASONS = {
    "absurd_time",
    "content_type",
    "corrupt",
    "empty",
    "invalid_json",
    "invalid_participant",
    "invalid_text",
    "invalid_utf8",
    "oversized",
}
LIMITS = Limits(max_pixels=100_000, max_samples=50_000)

SMALL = SCENE[:48, :64]
FILES = {
    **{kind: compressed(kind, SMALL) for kind in pictures.FORMATS},
    "audio/wav": file_of(tone(0.1)),
    "audio/flac": file_of(tone(0.1), kind="FLAC"),
    "audio/ogg": file_of(tone(0.1), kind="OGG"),
    "audio/L16;rate=8000": b"\0\1" * 100,
    "text/plain": "hello, 你好".encode(),
    "application/json": json.dumps({"text": "hello", "author": "ann"}).encode(),
}

content_types = st.one_of(
    st.sampled_from([*FILES, RAW_PICTURE]),
    st.text(max_size=30),
    st.text(max_size=20).map(lambda text: f"audio/L16;{text}"),
    st.builds("audio/L16;rate{}={};channels{}={}".format, *[st.text(max_size=5)] * 4),
)


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    """A good file with some bytes changed, cut out, put in, or cut off."""
    content_type = draw(st.sampled_from(list(FILES)))
    payload = bytearray(FILES[content_type])
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(payload) - 1)))
        change: Callable[[], object] = draw(
            st.sampled_from(
                [
                    lambda at=at: payload.__setitem__(slice(at, at + 1), draw(st.binary(min_size=1, max_size=1))),
                    lambda at=at: payload.__setitem__(slice(at, at), draw(st.binary(max_size=8))),
                    lambda at=at: payload.__delitem__(slice(at, at + 8)),
                    lambda at=at: payload.__delitem__(slice(at, None)),
                    lambda at=at: payload.__setitem__(slice(at, at + 4), b"\xff\xff\xff\xff"),
                ]
            )
        )
        change()
    return content_type, bytes(payload)


def named(error: BadRecord) -> None:
    """Fails unless the error says why, in a word that may be counted and a sentence that may be logged."""
    assert error.reason in REASONS
    assert len(str(error)) < 1_000
    assert " at 0x" not in str(error), "no two are the same"


def judged(modality: Modality, content_type: str, payload: bytes, at_ns: int = ns(0), live: bool = False) -> None:
    """Decodes all the way down; fails if anything but an event or BadRecord comes out."""
    try:
        event = decode_record(Record("room", modality, content_type, payload, at_ns, ns(0)), LIMITS, live)
    except BadRecord as error:
        named(error)
        return
    match event.payload:
        case Picture() as picture:
            seen(picture)
        case Sound(samples=samples):
            assert np.isfinite(samples).all()
            assert 0 < len(samples) <= LIMITS.max_samples
            assert np.abs(samples.astype(np.float64)).max() <= (1 if samples.dtype == np.float32 else 2**15)
            assert event.duration_ns > 0
        case Line(text=text, author=author, lang=lang):
            assert text.strip()
            "".join(filter(None, (text, author, lang))).encode()  # raises where half a character was let through


def seen(picture: Picture) -> None:
    """Decodes a picture; fails if anything but pixels or BadRecord comes out."""
    try:
        pixels = pictures.decode_picture(picture, 32)
    except BadRecord as error:
        named(error)
        return
    assert pixels.dtype == np.uint8
    assert pixels.shape[2] == 3
    assert 0 < max(pixels.shape[:2]) <= 32


@given(st.sampled_from(list(MEDIA)), content_types, st.binary(max_size=200))
def test_any_bytes_of_any_type_are_an_event_or_a_bad_record(
    modality: Modality, content_type: str, payload: bytes
) -> None:
    judged(modality, content_type, payload)


@given(damaged())
def test_a_damaged_file_is_an_event_or_a_bad_record(file: tuple[str, bytes]) -> None:
    content_type, payload = file
    for modality in MEDIA:
        judged(modality, content_type, payload)


@given(st.sampled_from(list(pictures.FORMATS)), st.one_of(st.binary(max_size=200), damaged().map(lambda file: file[1])))
def test_a_picture_whose_header_nobody_checked_is_pixels_or_a_bad_picture(content_type: str, payload: bytes) -> None:
    seen(Picture(content_type, payload))


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["text", "author", "lang", "x"]), inner),
        max_leaves=10,
    )
)
def test_any_json_is_a_line_or_a_bad_record(value: object) -> None:
    judged(Modality.TEXT, "application/json", json.dumps(value).encode())


@given(st.integers(-(2**70), 2**70), st.booleans())
def test_any_time_is_taken_or_absurd(at_ns: int, live: bool) -> None:
    judged(Modality.TEXT, "text/plain", b"hello", at_ns, live)


@given(content_types, st.binary(max_size=100))
def test_sound_is_samples_or_a_bad_sound(content_type: str, payload: bytes) -> None:
    try:
        found = sound.decode_sound(content_type, payload, LIMITS.max_samples, LIMITS.max_sound_s)
    except BadRecord as error:
        named(error)
        return
    assert len(found.samples)
