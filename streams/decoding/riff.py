"""Sizes in the headers of RIFF files (WAV, AVI).

The libraries that read the files ignore them. A live writer does not know the size when it writes the header, and
leaves 0 or a very large number there. One that is very large is read to the end of the file; one that is 0 would be
read as no sound at all.
"""

HEADER_BYTES = 28
"""What is read: RIFF's header, and where it is one of RF64, the size in its first chunk."""

_UNKNOWN_BYTES = 0x7FFF_F000  # SoX claims this where it writes into a pipe, ffmpeg twice as much
_LONGEST_HEADER_BYTES = 4096


def missing_bytes(header: bytes, size_bytes: int) -> int:
    """Bytes missing by a file's header; 0 if whole or unknown."""
    if header.startswith(b"RF64") and header[12:16] == b"ds64" and len(header) >= HEADER_BYTES:
        declared_bytes, unknown_bytes = int.from_bytes(header[20:28], "little"), 2**63
    elif header.startswith(b"RIFF"):
        declared_bytes, unknown_bytes = int.from_bytes(header[4:8], "little"), _UNKNOWN_BYTES
    else:
        return 0
    return 0 if declared_bytes >= unknown_bytes else max(0, 8 + declared_bytes - size_bytes)


def with_samples(wav: bytes) -> bytes:
    """Returns a WAV whose header does not claim 0 samples.

    A live writer leaves 0 there, and then writes some: a very large number takes its place.
    """
    at = wav.find(b"data\0\0\0\0", 12, _LONGEST_HEADER_BYTES)
    if not wav.startswith(b"RIFF") or at < 0:
        return wav
    declared_bytes = int.from_bytes(wav[4:8], "little")
    if at < declared_bytes < _UNKNOWN_BYTES:  # it knows that something else follows
        return wav
    return wav[: at + 4] + b"\xff" * 4 + wav[at + 8 :]
