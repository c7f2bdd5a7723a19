"""How much work a compressed picture makes beyond its pixels, told from its structure without decoding.

A few bytes can ask for much: a progressive JPEG passes over all its pixels once for each scan, and whoever reads a
header steps over each segment or chunk before it. Work that no encoder asks for is refused before it is done. Left out:
what is inside the compressed data, whose work the number of pixels bounds, and WebP, whose chunks cost nothing.
"""

import struct

MOST_PASSES = 16
"""Scans of a JPEG of the most pixels there may be; encoders make 10. One of fewer pixels may have more."""

_MOST_PARTS = 5_000  # of a file: pictures of 16 MiB have 2,000 chunks of 8 KiB, or 300 segments of 64 KiB
_JPEG_SCAN, _JPEG_ALONE = 0xDA, frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
_PNG_SIGNATURE_BYTES = 8


def parts(payload: bytes) -> int:
    """Segments of a JPEG before its first scan, or chunks of a PNG, counted as far as they are too many; else 0."""
    if payload.startswith(b"\xff\xd8"):
        return _segments(payload)
    if payload.startswith(b"\x89PNG"):
        return _chunks(payload)
    return 0


def has_too_many_parts(payload: bytes) -> bool:
    """Whether reading the header alone would take long."""
    return parts(payload) > _MOST_PARTS


def scans(payload: bytes) -> int:
    """How often a JPEG passes over its pixels, at most; 1 for other pictures. Compressed data holds no such marker."""
    return max(1, payload.count(b"\xff\xda")) if payload.startswith(b"\xff\xd8") else 1


def _segments(jpeg: bytes) -> int:
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
    return count


def _chunks(png: bytes) -> int:
    at, count = _PNG_SIGNATURE_BYTES, 0
    while at + 8 <= len(png) and count <= _MOST_PARTS:
        count += 1
        at += 12 + struct.unpack_from(">I", png, at)[0]
    return count
