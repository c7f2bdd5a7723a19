import io
import struct
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from streams.alignment.continuity import dejitter
from streams.decoding.sound import RATE_HZ, decode_sound, render_segment
from streams.events import Sound, SoundPieces
from streams.reasons import BadRecord
from tests.streams.making import ns

pytestmark = pytest.mark.unit

LIMIT = 2**20


def tone(for_s: float, rate_hz: int = RATE_HZ, from_s: float = 0.0, hz: float = 440) -> NDArray[np.float32]:
    at_s = from_s + np.arange(round(for_s * rate_hz)) / rate_hz
    return (0.5 * np.sin(2 * np.pi * hz * at_s)).astype(np.float32)


def file_of(
    samples: NDArray[np.float32], rate_hz: int = RATE_HZ, kind: str = "WAV", subtype: str | None = None
) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format=kind, subtype=subtype)
    return file.getvalue()


def wav_header(rate_hz: int, data_bytes: int) -> bytes:
    form = struct.pack("<IHHIIHH", 16, 1, 1, rate_hz, rate_hz * 2 & 0xFFFFFFFF, 2, 16)
    return b"RIFF" + struct.pack("<I", 36 + data_bytes) + b"WAVEfmt " + form + b"data" + struct.pack("<I", data_bytes)


@pytest.mark.parametrize(
    ("content_type", "rate_hz"),
    [
        ("audio/L16", 16_000),
        ("audio/L16;rate=48000", 48_000),
        ("audio/l16; rate=8000; channels=1", 8_000),
        ('AUDIO/L16 ; RATE="44100"', 44_100),
    ],
)
def test_pcm_is_read_at_the_rate_that_its_content_type_names(content_type: str, rate_hz: int) -> None:
    sound = decode_sound(content_type, np.array([0, 16_384, -32_768], "<i2").tobytes(), LIMIT, 60)
    assert sound.rate_hz == rate_hz
    assert sound.samples.tolist() == [0, 16_384, -32_768]


def test_pcm_is_rendered_at_its_scale() -> None:
    sound = decode_sound("audio/L16", np.array([0, 16_384, -32_768], "<i2").tobytes(), LIMIT, 60)
    segment = render_segment(SoundPieces(((ns(0), sound),)), ns(0), ns(1))
    assert segment.dtype == np.float32
    assert segment[:4].tolist() == [0, 0.5, -1, 0]


@pytest.mark.parametrize(
    ("stated", "order"),
    [("", "<i2"), (";endianness=little-endian", "<i2"), (';Endianness="Big-Endian"', ">i2")],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_pcm_is_little_endian_unless_it_states_otherwise(stated: str, order: str, channels: int) -> None:
    sound = decode_sound(
        f"audio/L16;channels={channels}{stated}", np.array([1, 2, -3, 400], order).tobytes(), LIMIT, 60.0
    )
    assert sound.samples.reshape(-1).tolist() == [1, 2, -3, 400]


def test_channels_stay_apart_until_a_segment_is_rendered() -> None:
    sound = decode_sound("audio/L16;channels=2", np.array([[0, 16_384], [8_192, -8_192]], "<i2").tobytes(), LIMIT, 60)
    assert sound.samples.tolist() == [[0, 16_384], [8_192, -8_192]]


@pytest.mark.parametrize(
    ("subtype", "near"),
    [("PCM_U8", 0.01), ("PCM_16", 1e-4), ("PCM_24", 1e-6), ("PCM_32", 1e-6), ("FLOAT", 1e-7), ("ALAW", 0.02)],
)
@pytest.mark.parametrize("kind", ["WAV", "WAVEX"])
def test_every_sample_format_of_wav_is_read(kind: str, subtype: str, near: float) -> None:
    sound = decode_sound("audio/wav", file_of(tone(0.1), kind=kind, subtype=subtype), LIMIT, 60)
    assert np.abs(sound.samples - tone(0.1)).max() < near


@pytest.mark.parametrize("codec", ["opus", "vorbis"])
def test_the_codec_that_a_content_type_states_is_read(codec: str) -> None:
    sound = decode_sound(
        f"audio/ogg; codecs={codec}", file_of(tone(1, 48_000), 48_000, "OGG", codec.upper()), LIMIT, 60.0
    )
    assert sound.rate_hz == 48_000
    assert sound.samples.std() == pytest.approx(tone(1).std(), rel=0.02)


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [("audio/wav", "WAV"), ("audio/x-wav", "WAV"), ("audio/flac", "FLAC"), ("audio/ogg", "OGG")],
)
def test_files_are_read_whole(content_type: str, kind: str) -> None:
    sound = decode_sound(content_type, file_of(np.stack([tone(0.5, 22_050)] * 2, axis=1), 22_050, kind), LIMIT, 60)
    assert sound.rate_hz == 22_050
    assert sound.samples.dtype == np.float32
    assert np.abs(sound.samples - tone(0.5, 22_050)[:, None]).max() < 0.05


@pytest.mark.parametrize("promised", [0x7FFF_F024, 0xFFFF_FFFF])
def test_a_wav_that_was_written_into_a_pipe_and_knows_no_length_is_read(promised: int) -> None:
    whole = bytearray(file_of(tone(1)))
    for at in (4, whole.index(b"data") + 4):
        whole[at : at + 4] = promised.to_bytes(4, "little")
    assert len(decode_sound("audio/wav", bytes(whole), LIMIT, 60.0).samples) == 16_000


def test_a_wav_may_lack_its_last_byte_of_padding() -> None:
    odd = wav_header(16_000, 101).replace((137).to_bytes(4, "little"), (138).to_bytes(4, "little"), 1) + b"x" * 101
    assert len(decode_sound("audio/wav", odd, LIMIT, 60.0).samples) == 50


def test_sound_beyond_full_scale_is_clipped() -> None:
    loud = file_of(np.array([0, 2, -3], np.float32), subtype="FLOAT")
    assert decode_sound("audio/wav", loud, LIMIT, 60.0).samples.tolist() == [0, 1, -1]


@pytest.mark.parametrize(("riff", "data"), [(0, 0), (36, 0), (2**32 - 1, 0), (0x7FFF_F024, 0x7FFF_F000)])
def test_a_wav_whose_writer_did_not_know_its_size_is_read_to_its_end(riff: int, data: int) -> None:
    live = bytearray(file_of(tone(1)))
    live[4:8], live[40:44] = struct.pack("<I", riff), struct.pack("<I", data)
    assert len(decode_sound("audio/wav", bytes(live), LIMIT, 60.0).samples) == RATE_HZ


def test_a_wav_of_a_codec_that_cannot_be_sought_in_is_read() -> None:
    assert len(decode_sound("audio/wav", file_of(tone(1), 8_000, subtype="GSM610"), LIMIT, 60.0).samples) >= 8_000


LYING_FLAC = bytearray(file_of(tone(1), kind="FLAC"))
LYING_FLAC[21] |= 0x0F  # the stream header now promises 2**36 - 1 samples
LYING_FLAC[22:26] = b"\xff" * 4


@pytest.mark.parametrize(
    ("content_type", "payload", "reason"),
    [
        pytest.param("audio/L16", b"", "empty", id="nothing"),
        pytest.param("audio/L16", b"abc", "corrupt", id="an odd number of bytes"),
        pytest.param("audio/L16;channels=2", b"abcdef", "corrupt", id="half a frame"),
        pytest.param("audio/L16;rate=0", b"ab", "content_type", id="rate 0"),
        pytest.param("audio/L16;rate=-8000", b"ab", "content_type", id="negative rate"),
        pytest.param("audio/L16;rate=fast", b"ab", "content_type", id="rate in words"),
        pytest.param("audio/L16;rate=" + "9" * 5_000, b"ab", "content_type", id="endless rate"),
        pytest.param("audio/L16;channels=0", b"ab", "content_type", id="no channels"),
        pytest.param("audio/L16;channels=65", b"ab", "content_type", id="65 channels"),
        pytest.param("audio/L16", b"ab" * (LIMIT + 1), "oversized", id="too many samples"),
        pytest.param("audio/wav", b"", "empty", id="wav of no bytes"),
        pytest.param("audio/wav", wav_header(16_000, 0), "empty", id="wav without samples"),
        pytest.param("audio/wav", wav_header(16_000, 100)[:30], "corrupt", id="wav cut in its header"),
        pytest.param("audio/wav", file_of(tone(1))[: 44 + 8_000], "corrupt", id="wav cut in its samples"),
        pytest.param("audio/wav", file_of(tone(1))[:44], "corrupt", id="wav cut before its samples"),
        pytest.param("audio/wav", file_of(tone(1), kind="RF64")[:20_000], "corrupt", id="rf64 cut in its samples"),
        pytest.param("audio/wav", wav_header(1, 100) + b"x" * 100, "corrupt", id="wav at 1 Hz"),
        pytest.param("audio/wav", wav_header(0, 100) + b"x" * 100, "corrupt", id="wav at 0 Hz"),
        pytest.param("audio/wav", b"hello, I am a text file", "corrupt", id="no wav at all"),
        pytest.param(
            "audio/wav", file_of(np.array([0, np.nan], np.float32), subtype="FLOAT"), "corrupt", id="not a number"
        ),
        pytest.param(
            "audio/wav", file_of(np.zeros(LIMIT + 1, np.float32)), "oversized", id="wav with too many samples"
        ),
        pytest.param("audio/flac", bytes(LYING_FLAC), "oversized", id="flac that promises 256 GB"),
        pytest.param("audio/flac", file_of(tone(1), kind="FLAC")[:4_000], "corrupt", id="flac cut short"),
        pytest.param("audio/ogg", file_of(tone(1), kind="OGG") * 2, "content_type", id="two sounds in one ogg"),
        pytest.param("audio/ogg", file_of(tone(1), kind="OGG")[:60], "corrupt", id="ogg cut in its header"),
    ],
)
def test_sound_that_cannot_be_used_is_refused_with_its_reason(content_type: str, payload: bytes, reason: str) -> None:
    with pytest.raises(BadRecord) as refused:
        decode_sound(content_type, payload, LIMIT, 60)
    assert refused.value.reason == reason
    assert len(str(refused.value)) < 300


def rendered(*pieces: tuple[float, NDArray[np.float32]], rate_hz: int = RATE_HZ) -> NDArray[np.float32]:
    sounds = [(ns(at_s), Sound(samples, rate_hz)) for at_s, samples in pieces]
    dejittered = zip(dejitter(sounds).starts_ns, (sound for _, sound in sounds), strict=True)
    return render_segment(SoundPieces(tuple(dejittered)), ns(0), ns(1))


def same(samples: NDArray[np.float32]) -> Any:
    return pytest.approx(samples, abs=1e-6)


CHUNKS = [(i / 10, tone(0.1, from_s=i / 10)) for i in range(10)]


def test_pieces_end_to_end_are_the_sound_itself() -> None:
    assert rendered(*CHUNKS) == same(tone(1))


def test_time_stamps_that_jitter_leave_no_seam() -> None:
    jitter_s = [0, 0.004, -0.006, 0.01, -0.002, 0.008, -0.01, 0.003, 0, -0.007]
    jittered = [(at_s + off_s, samples) for (at_s, samples), off_s in zip(CHUNKS, jitter_s, strict=True)]
    assert rendered(*jittered) == same(tone(1))


def test_a_gap_is_silence_and_what_follows_stays_in_its_place() -> None:
    expected = tone(1)
    expected[3_200:4_800] = 0
    assert rendered(*(CHUNKS[:2] + CHUNKS[3:])) == same(expected)


def test_a_sound_received_twice_is_heard_once() -> None:
    assert rendered(*(CHUNKS[:5] + CHUNKS[4:])) == same(tone(1))


def test_where_sounds_overlap_the_later_one_is_heard() -> None:
    quiet, loud = np.full(8_000, 0.1, np.float32), np.full(8_000, 0.9, np.float32)
    heard = rendered((0, quiet), (0.25, loud))
    assert np.array_equal(heard, np.repeat(np.array([0.1, 0.9, 0], np.float32), [4_000, 8_000, 4_000]))


def test_a_piece_that_begins_in_the_segment_before_keeps_its_place() -> None:
    pieces = [(i / 10 - 0.006, tone(0.1, from_s=i / 10 - 0.006)) for i in range(11)]
    assert rendered(*pieces) == same(tone(1))


def test_a_piece_longer_than_the_segment_fills_it() -> None:
    assert np.array_equal(rendered((-1, np.arange(48_000, dtype=np.float32))), np.arange(16_000, 32_000))


@pytest.mark.parametrize("rate_hz", [8_000, 44_100, 48_000])
def test_other_rates_are_resampled_without_seams(rate_hz: int) -> None:
    heard = rendered(*((i / 10, tone(0.1, rate_hz, i / 10)) for i in range(10)), rate_hz=rate_hz)
    assert heard.shape == (RATE_HZ,)
    assert np.abs(heard - tone(1))[200:-200].max() < 0.01


def test_a_rate_that_changes_half_way_is_followed() -> None:
    pieces = SoundPieces(
        ((ns(0), Sound(tone(0.5, 48_000), 48_000)), (ns(0.5), Sound(tone(0.5, RATE_HZ, 0.5), RATE_HZ)))
    )
    heard = render_segment(pieces, ns(0), ns(1))
    difference = np.abs(heard - tone(1))
    assert difference[200:7_800].max() < 0.01
    assert difference[8_200:].max() < 0.01


def test_nothing_received_is_silence() -> None:
    assert not rendered().any()


def test_a_voice_in_opposite_phase_is_heard_without_a_seam_between_records() -> None:
    chunks = [(at_s, np.stack([samples, -samples], axis=1)) for at_s, samples in CHUNKS]
    assert np.abs(rendered(*chunks)) == same(np.abs(tone(1)))


def test_a_change_of_channels_half_way_is_followed() -> None:
    stereo = [(at_s, np.stack([samples, samples], axis=1)) for at_s, samples in CHUNKS[5:]]
    assert rendered(*CHUNKS[:5], *stereo) == same(tone(1))


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG"])
def test_sound_that_lasts_longer_than_the_limit_is_refused_before_it_is_decoded(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    payload = file_of(np.zeros(16_000 * 11, np.float32), kind=kind)
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda *given, **options: pytest.fail("it was decoded"))
    with pytest.raises(BadRecord, match=r"11\.0 s; the limit is 10 s") as error:
        decode_sound(f"audio/{kind.lower()}", payload, 2**23, 10.0)
    assert error.value.reason == "oversized"


def test_pcm_that_lasts_longer_than_the_limit_is_refused() -> None:
    with pytest.raises(BadRecord, match=r"11\.0 s"):
        decode_sound("audio/L16;rate=4000;channels=1", bytes(2 * 4_000 * 11), 2**23, 10.0)


def test_pieces_of_one_segment_in_a_thousand_rates_are_not_each_resampled() -> None:
    pieces = tuple((0, Sound(np.zeros(10, np.float32), 8_000 + rate)) for rate in range(1_000))
    with pytest.raises(BadRecord, match="rates"):
        render_segment(SoundPieces(pieces), 0, 1_000_000_000)


def test_a_longer_segment_may_hold_more_rates() -> None:
    pieces = tuple((at * 10**9, Sound(np.ones(8_000 + at, np.float32), 8_000 + at)) for at in range(10))
    assert render_segment(SoundPieces(pieces), 0, 10 * 10**9).mean() > 0.9
