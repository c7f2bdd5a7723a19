import io
import struct
import warnings
import zlib

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from streams.decoding.pictures import FORMATS, check_header, decode_picture
from streams.events import Picture
from streams.reasons import BadRecord
from streams.records import RAW_PICTURE

pytestmark = pytest.mark.unit

LIMIT = 33_000_000
SCENE: NDArray[np.uint8] = np.asarray(
    cv2.resize(np.random.default_rng(5).integers(0, 255, (6, 8, 3), dtype=np.uint8), (640, 480)), np.uint8
)


def compressed(content_type: str, scene: NDArray[np.uint8] = SCENE) -> bytes:
    file = io.BytesIO()
    Image.fromarray(scene[..., ::-1]).save(file, FORMATS[content_type], quality=95)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that says how large it is, and holds nothing."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("content_type", FORMATS)
def test_the_header_tells_the_size(content_type: str) -> None:
    assert check_header(content_type, compressed(content_type), LIMIT) == (640, 480)


def test_raw_pictures_tell_their_size() -> None:
    assert check_header(RAW_PICTURE, SCENE, LIMIT) == (640, 480)
    assert check_header(RAW_PICTURE, av.VideoFrame.from_ndarray(SCENE, format="bgr24"), LIMIT) == (640, 480)


@pytest.mark.parametrize(
    ("content_type", "payload", "reason"),
    [
        pytest.param("image/jpeg", b"", "empty", id="nothing"),
        pytest.param("image/jpeg", b"hello", "corrupt", id="text"),
        pytest.param("image/jpeg", compressed("image/png"), "corrupt", id="a png that is called a jpeg"),
        pytest.param("image/jpeg", compressed("image/jpeg")[:100], "corrupt", id="a jpeg cut in its header"),
        pytest.param("image/webp", compressed("image/webp")[:100], "corrupt", id="a webp cut short"),
        pytest.param("image/png", png_header(8_000, 5_000), "oversized", id="40 megapixels"),
        pytest.param("image/png", png_header(40_000, 3_000), "oversized", id="120 megapixels: Pillow warns"),
        pytest.param("image/png", png_header(60_000, 60_000), "oversized", id="3,600 megapixels: Pillow refuses"),
        pytest.param("image/jpeg", "text", "corrupt", id="no bytes"),
        pytest.param(RAW_PICTURE, b"raw", "corrupt", id="bytes that are called raw"),
        pytest.param(RAW_PICTURE, SCENE[..., 0], "corrupt", id="raw without colours"),
        pytest.param(RAW_PICTURE, SCENE.astype(np.float32), "corrupt", id="raw in floats"),
        pytest.param(RAW_PICTURE, np.zeros((0, 5, 3), np.uint8), "empty", id="raw without pixels"),
    ],
)
@pytest.mark.parametrize("action", ["default", "error"])
def test_a_picture_that_cannot_be_used_is_refused_by_its_header(
    content_type: str, payload: object, reason: str, action: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error" if action == "error" else "ignore")
        with pytest.raises(BadRecord) as refused:
            check_header(content_type, payload, LIMIT)
    assert refused.value.reason == reason
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("content_type", FORMATS)
def test_a_picture_is_decoded_to_bgr(content_type: str) -> None:
    pixels = decode_picture(Picture(content_type, compressed(content_type)), 640)
    assert pixels.shape == (480, 640, 3)
    assert np.abs(pixels.astype(int) - SCENE).mean() < 3


@pytest.mark.parametrize(
    ("max_side_px", "shape"),
    [(1_000, (480, 640, 3)), (640, (480, 640, 3)), (320, (240, 320, 3)), (300, (225, 300, 3)), (50, (38, 50, 3))],
)
def test_the_longest_side_is_bounded_and_never_enlarged(max_side_px: int, shape: tuple[int, int, int]) -> None:
    frame = av.VideoFrame.from_ndarray(SCENE, format="bgr24")
    pictures = [Picture(kind, compressed(kind)) for kind in FORMATS]
    pictures += [Picture(RAW_PICTURE, SCENE), Picture(RAW_PICTURE, frame)]
    for picture in pictures:
        pixels = decode_picture(picture, max_side_px)
        assert pixels.shape == shape, picture.content_type
        assert np.abs(pixels.mean(axis=(0, 1)) - SCENE.mean(axis=(0, 1))).max() < 4


def test_a_line_of_pixels_keeps_at_least_one() -> None:
    assert decode_picture(Picture(RAW_PICTURE, np.zeros((1, 1_000, 3), np.uint8)), 100).shape == (1, 100, 3)


@pytest.mark.parametrize("content_type", FORMATS)
@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9])
def test_a_picture_cut_short_is_refused_and_not_half_shown(content_type: str, kept: float) -> None:
    whole = compressed(content_type)
    with pytest.raises(BadRecord) as refused:
        decode_picture(Picture(content_type, whole[: int(len(whole) * kept)]), 640)
    assert refused.value.reason == "corrupt"


def jpeg(*, progressive: bool = False, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.fromarray(SCENE[..., ::-1]).convert(mode).save(file, "JPEG", quality=95, progressive=progressive)
    return file.getvalue()


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("padding", [b"", b"\0" * 8])
@pytest.mark.parametrize("max_side_px", [640, 150])
def test_a_jpeg_without_its_end_marker_is_taken_if_all_of_it_is_there(
    progressive: bool, padding: bytes, max_side_px: int
) -> None:
    whole = jpeg(progressive=progressive)
    without = decode_picture(Picture("image/jpeg", whole[:-2] + padding), max_side_px)
    assert np.array_equal(without, decode_picture(Picture("image/jpeg", whole), max_side_px))


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("lost_bytes", [30, 300, 3_000])
def test_a_jpeg_that_lost_more_than_its_end_marker_is_refused(progressive: bool, lost_bytes: int) -> None:
    with pytest.raises(BadRecord, match="damaged"):
        decode_picture(Picture("image/jpeg", jpeg(progressive=progressive)[:-lost_bytes]), 640)


@pytest.mark.parametrize("mode", ["CMYK", "L"])
def test_a_jpeg_of_other_colours_is_read(mode: str) -> None:
    expected = SCENE if mode == "CMYK" else np.repeat(cv2.cvtColor(SCENE, cv2.COLOR_BGR2GRAY)[..., None], 3, axis=2)
    assert np.abs(decode_picture(Picture("image/jpeg", jpeg(mode=mode)), 640).astype(int) - expected).mean() < 3


def test_a_png_of_sixteen_bits_is_read() -> None:
    _, deep = cv2.imencode(".png", SCENE.astype(np.uint16) * 257)
    assert np.array_equal(decode_picture(Picture("image/png", deep.tobytes()), 640), SCENE)


@pytest.mark.parametrize("content_type", FORMATS)
def test_the_orientation_that_a_picture_states_is_heeded(content_type: str) -> None:
    picture = Image.fromarray(SCENE[..., ::-1])
    exif = picture.getexif()
    exif[0x0112] = 6  # its rows stand to the right: a quarter turn clockwise shows it upright
    file = io.BytesIO()
    picture.save(file, FORMATS[content_type], exif=exif, quality=95)
    for max_side_px, shape in ((640, (640, 480, 3)), (320, (320, 240, 3))):
        pixels = decode_picture(Picture(content_type, file.getvalue()), max_side_px)
        assert pixels.shape == shape
    upright = np.rot90(cv2.resize(SCENE, (320, 240), interpolation=cv2.INTER_AREA), -1)
    assert np.abs(pixels.astype(int) - upright).mean() < 3


@pytest.mark.parametrize("content_type", ["image/png", "image/webp"])
def test_what_is_transparent_is_grey_whatever_colour_hides_there(content_type: str) -> None:
    alpha = np.zeros((480, 640), np.uint8)
    alpha[:, 320:] = 255
    file = io.BytesIO()
    Image.fromarray(np.dstack([SCENE[..., ::-1], alpha])).save(file, FORMATS[content_type], lossless=True)
    pixels = decode_picture(Picture(content_type, file.getvalue()), 640)
    assert np.array_equal(pixels[:, 320:], SCENE[:, 320:])
    assert (pixels[:, :320] == 128).all()


# Work that no encoder asks for.


def refused_as(payload: bytes, content_type: str, limit: int = LIMIT) -> str:
    with pytest.raises(BadRecord) as error:
        check_header(content_type, payload, limit)
    return error.value.reason


def progressive(scans_more: int = 0, size_px: tuple[int, int] = (512, 512)) -> bytes:
    """A progressive JPEG whose last scan is there so many times more."""
    file = io.BytesIO()
    Image.new("RGB", size_px).save(file, "JPEG", progressive=True)
    whole = file.getvalue()
    return whole[:-2] + whole[whole.rindex(b"\xff\xda") : -2] * scans_more + whole[-2:]


def test_a_jpeg_may_pass_over_the_largest_picture_as_often_as_encoders_do_and_not_ten_times_as_often() -> None:
    pixels = 512 * 512
    assert check_header("image/jpeg", progressive(), pixels) == (512, 512)
    assert refused_as(progressive(scans_more=10), "image/jpeg", pixels) == "oversized"
    assert check_header("image/jpeg", progressive(scans_more=10), 2 * pixels) == (512, 512)


@pytest.mark.parametrize(
    ("filler", "content_type"),
    [
        (b"\xff\xfe\x00\x02" * 1_000_000, "image/jpeg"),
        (b"\xff" * 1_000_000, "image/jpeg"),
        ((b"\xff\xe1\xff\xffExif\0\0" + bytes(65_527)) * 200, "image/jpeg"),
        (b"\x00\x00\x00\x00tEXtcrc." * 1_000_000, "image/png"),
        (b"\x00\xf0\x00\x00tEXt" + bytes(0xF00000) + b"crc.", "image/png"),
    ],
    ids=["comments", "fill bytes", "notes of a camera", "empty chunks", "a long note"],
)
def test_a_picture_of_far_more_than_pixels_is_refused_before_anybody_steps_over_it(
    filler: bytes, content_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []
    monkeypatch.setattr(Image, "open", lambda *given, **options: opened.append(given))
    whole, at = compressed(content_type), 33 if content_type == "image/png" else 2
    assert refused_as(whole[:at] + filler + whole[at:], content_type) == "oversized"
    assert not opened


@pytest.mark.parametrize("kind", [b"iCCP", b"zTXt"])
def test_compressed_notes_of_a_png_are_not_unpacked_without_limit(kind: bytes) -> None:
    note = b"x\0\0" + zlib.compress(bytes(100_000_000), 9)
    chunk = struct.pack(">I", len(note)) + kind + note + struct.pack(">I", zlib.crc32(kind + note))
    whole = compressed("image/png")
    assert refused_as(whole[:33] + chunk + whole[33:], "image/png") == "corrupt"


def test_of_an_animation_only_the_first_picture_is_decoded() -> None:
    file = io.BytesIO()
    frames = [Image.new("RGB", (64, 48), (shade, 0, 0)) for shade in range(0, 250, 10)]
    frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:], duration=10, lossless=True)
    assert decode_picture(Picture("image/webp", file.getvalue()), 640).shape == (48, 64, 3)
    assert decode_picture(Picture("image/webp", file.getvalue()), 640).max() < 10
