"""Checks headers of compressed pictures, and decodes pixels on demand.

A picture stays compressed until a window uses it. Its header tells the size without decoding, so that one that is too
large is refused before it costs anything. Decoding is done at the smallest scale of the codec that still keeps the
longest side at `max_side_px`. The stated orientation is applied, and what is transparent becomes grey. Some cameras
leave out a JPEG's end marker: such a picture is read if all the rest is there. Left out: colour profiles, which hardly
change a grey face.
"""

import io
from typing import Any, NamedTuple

import av
import av.error
import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from streams.decoding import frames, picture_cost
from streams.events import Picture
from streams.reasons import BadRecord, DeadLetterReason
from streams.records import RAW_PICTURE

FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP"}
"""Content types of compressed pictures, with Pillow's name of the format."""

_MAGIC = {b"\xff\xd8\xff": "JPEG", b"\x89PNG": "PNG", b"RIFF": "WEBP", b"GIF8": "GIF", b"BM": "BMP", b"II*\0": "TIFF"}
_JPEG_END = b"\xff\xd9"
_BEHIND_TRANSPARENT = (128, 128, 128)
_REDUCED = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}


def check_header(content_type: str, payload: Any, max_pixels: int) -> tuple[int, int]:
    """Width and height from the header alone; BadRecord if unusable.

    So it is if it is no picture, or has more than `max_pixels`.
    """
    if content_type == RAW_PICTURE:
        width, height = _raw_size(payload)
    else:
        width, height = _header(content_type, payload).size
    if not width * height:
        raise BadRecord(DeadLetterReason.EMPTY, f"picture of {width}x{height} pixels")
    if width * height > max_pixels:
        raise BadRecord(
            DeadLetterReason.OVERSIZED, f"picture of {width}x{height} pixels; the limit is {max_pixels} pixels"
        )
    if (
        isinstance(payload, bytes)
        and width * height * (scans := picture_cost.scans(payload)) > picture_cost.MOST_PASSES * max_pixels
    ):
        raise BadRecord(DeadLetterReason.OVERSIZED, f"picture of {width}x{height} pixels in {scans} scans")
    return width, height


def decode_picture(picture: Picture, max_side_px: int) -> NDArray[np.uint8]:
    """Decodes a picture to (height, width, 3) BGR; BadRecord if corrupt.

    max_side_px: most pixels on the longest side.
    """
    if isinstance(picture.payload, bytes):
        pixels: NDArray[np.uint8] = _decompress(picture, max_side_px)
    elif isinstance(picture.payload, av.VideoFrame):
        return frames.to_pixels(picture.payload, max_side_px)
    else:
        pixels = picture.payload
    scale = max_side_px / max(pixels.shape[:2])
    if scale < 1:
        size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
        return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    return pixels


def _raw_size(payload: Any) -> tuple[int, int]:
    if isinstance(payload, av.VideoFrame):
        return payload.width, payload.height
    if isinstance(payload, np.ndarray) and payload.ndim == 3 and payload.shape[2] == 3 and payload.dtype == np.uint8:
        return payload.shape[1], payload.shape[0]
    raise BadRecord(
        DeadLetterReason.CORRUPT, f"a raw picture is a (height, width, 3) uint8 array or a frame, not {type(payload)}"
    )


class _Header(NamedTuple):
    size: tuple[int, int]
    transparent: bool


def _header(content_type: str, payload: Any) -> _Header:
    if not isinstance(payload, bytes):
        raise BadRecord(DeadLetterReason.CORRUPT, f"a picture of type {content_type} is bytes, not {type(payload)}")
    if not payload:
        raise BadRecord(DeadLetterReason.EMPTY, "picture of 0 bytes")
    if picture_cost.header_is_excessive(payload):
        raise BadRecord(
            DeadLetterReason.OVERSIZED,
            f"a picture of type {content_type} in too many parts, or with too much beside its pixels",
        )
    try:
        with Image.open(io.BytesIO(payload), formats=[FORMATS[content_type]]) as header:
            return _Header(header.size, header.has_transparency_data)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:  # the warning where warnings raise
        raise BadRecord(DeadLetterReason.OVERSIZED, str(error)) from error
    except UnidentifiedImageError as error:  # its message holds an address in memory, and would never be the same
        raise BadRecord(
            DeadLetterReason.CORRUPT, f"not a picture of type {content_type}{_actual_format(payload)}"
        ) from error
    except (OSError, ValueError, SyntaxError) as error:
        raise BadRecord(DeadLetterReason.CORRUPT, f"not a picture of type {content_type}: {error}") from error


def _actual_format(payload: bytes) -> str:
    actual = next((name for magic, name in _MAGIC.items() if payload.startswith(magic)), None)
    return "" if actual is None else f"; it begins as {actual} does"


def _decompress(picture: Picture, max_side_px: int) -> NDArray[np.uint8]:
    header = _header(picture.content_type, picture.payload)
    if header.transparent:
        return _composited(picture)
    longest = max(header.size)
    flag = next((_REDUCED[n] for n in (8, 4, 2) if longest // n >= max_side_px), cv2.IMREAD_COLOR)
    pixels = _pixels(picture.payload, flag)
    if pixels is None and _lacks_only_its_end(picture):
        pixels = _pixels(picture.payload + _JPEG_END, flag)
    if pixels is None:
        raise BadRecord(DeadLetterReason.CORRUPT, "picture cannot be decoded: its data is damaged")
    return pixels


def _pixels(payload: bytes, flag: int) -> NDArray[np.uint8] | None:
    try:
        pixels = cv2.imdecode(np.frombuffer(payload, np.uint8), flag)
    except cv2.error as error:
        raise BadRecord(DeadLetterReason.CORRUPT, f"picture cannot be decoded: {error.err}") from error
    return None if pixels is None else np.asarray(pixels, np.uint8)


def _lacks_only_its_end(picture: Picture) -> bool:
    """Whether a JPEG without its end marker is whole.

    FFmpeg's decoder in strict mode reads past no end.
    """
    if FORMATS[picture.content_type] != "JPEG" or _JPEG_END in picture.payload[-16:]:
        return False
    decoder = av.CodecContext.create("mjpeg", "r")
    decoder.options = {"err_detect": "explode"}
    try:
        return bool(decoder.decode(av.Packet(picture.payload + _JPEG_END)) or decoder.decode(None))
    except av.error.FFmpegError:
        return False


def _composited(picture: Picture) -> NDArray[np.uint8]:
    """A picture with transparent parts, before grey.

    What colour a transparent pixel has is nothing that was seen.
    """
    try:
        with Image.open(io.BytesIO(picture.payload), formats=[FORMATS[picture.content_type]]) as file:
            colours = ImageOps.exif_transpose(file).convert("RGBA")
    except (Image.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
        raise BadRecord(DeadLetterReason.CORRUPT, f"picture cannot be decoded: {error}") from error
    behind = Image.new("RGBA", colours.size, (*_BEHIND_TRANSPARENT, 255))
    rgb = np.asarray(Image.alpha_composite(behind, colours).convert("RGB"), np.uint8)
    return np.ascontiguousarray(rgb[..., ::-1])
