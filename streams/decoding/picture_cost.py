"""Bounds the decoding cost of a compressed picture beyond its pixels.

The cost is read from the structure, without decoding. A few bytes can cause much work: a progressive JPEG needs a pass
over all pixels for each scan, and a header is found by stepping over each segment or chunk before it. Work that no
encoder causes is refused before it is done. Left out: what is inside the compressed data, whose work the number of
pixels bounds, and WebP, whose chunks cost nothing.
"""

import struct

MOST_PASSES = 16
"""Scans of a JPEG of the most pixels there may be; encoders make 10. One of fewer pixels may have more."""

_MOST_PARTS = 5_000  # of a file: pictures of 16 MiB have 2,000 chunks of 8 KiB, or 300 segments of 64 KiB
_MOST_NOTES_BYTES = 4 * 2**20  # that are no pixels: notes of a camera, colour profiles, thumbnails
_JPEG_SCAN, _JPEG_ALONE = 0xDA, frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
_PNG_SIGNATURE_BYTES = 8


def header_is_excessive(payload: bytes) -> bool:
    """Whether it takes too long to read a JPEG's or PNG's header."""
    if payload.startswith(b"\xff\xd8"):
        count, notes_bytes = _segments(payload)
    elif payload.startswith(b"\x89PNG"):
        count, notes_bytes = _chunks(payload)
    else:
        return False
    return count > _MOST_PARTS or notes_bytes > _MOST_NOTES_BYTES


def scans(payload: bytes) -> int:
    """Most passes over the pixels of a JPEG; 1 for other pictures.

    Compressed data holds no marker of a scan.
    """
    return max(1, payload.count(b"\xff\xda")) if payload.startswith(b"\xff\xd8") else 1


def _segments(jpeg: bytes) -> tuple[int, int]:
    """Counts segments before the first scan, and where that is.

    Counting ends at too many.
    """
    at, count = 2, 0
    while at + 4 <= len(jpeg) and count <= _MOST_PARTS:
        count += 1
        if jpeg[at] != 0xFF or jpeg[at + 1] == 0xFF:  # what is passed over in search of a marker
            at += 1
        elif jpeg[at + 1] == _JPEG_SCAN:
            break
        elif jpeg[at + 1] in _JPEG_ALONE:
            at += 2
        else:
            at += 2 + max(2, int.from_bytes(jpeg[at + 2 : at + 4], "big"))
    return count, at


def _chunks(png: bytes) -> tuple[int, int]:
    """Counts chunks, and the bytes of those that hold no pixels.

    Counting ends at too many.
    """
    at, count, notes_bytes = _PNG_SIGNATURE_BYTES, 0, 0
    while at + 8 <= len(png) and count <= _MOST_PARTS:
        length, kind = struct.unpack_from(">I4s", png, at)
        count += 1
        notes_bytes += 0 if kind == b"IDAT" else length
        at += 12 + length
    return count, notes_bytes
