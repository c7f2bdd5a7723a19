"""Encodes which windows were published, as the metadata of a commit.

The offset says where reading begins again; before it lies what no window needs any more, but after it lies what was
needed by some windows that were published and by some that were not. So the metadata of a commit holds, for each
session, the first window that was not published. A broker takes 4 kB of it (`offset.metadata.max.bytes`), which is
about 270 sessions; those of one partition number are spread over the commits of its topics, which are written as one.
What does not fit are the sessions that have been silent the longest: their windows may be published once more.

A session is named by 6 bytes of its digest: among 1,000 sessions two share them once in 500 million cases.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping

from streams.alignment.windows import WindowGrid

LIMIT_BYTES = 4096
"""What a broker takes unless it is configured otherwise."""

_VERSION = "1:"
_DIGEST_BYTES = 6
_INDEX_BYTES = 6  # windows of a millisecond until the year 10889
_ENTRY_BYTES = _DIGEST_BYTES + _INDEX_BYTES
_GRID_BYTES = 4

MOST_SESSIONS = ((LIMIT_BYTES - len(_VERSION)) // 5 * 4 - _GRID_BYTES) // _ENTRY_BYTES
"""How many sessions one commit can hold."""


def session_digest(session: str) -> bytes:
    """The short name of a session in a checkpoint."""
    return hashlib.blake2b(session.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).digest()


def encode(entries: Iterable[tuple[bytes, int]], grid: WindowGrid) -> str:
    """Encodes at most MOST_SESSIONS entries; ValueError for more.

    An entry is a session's digest, and its first window that was not published.
    """
    packed = b"".join(digest + index.to_bytes(_INDEX_BYTES, "big", signed=True) for digest, index in entries)
    if not packed:
        return ""
    if len(packed) > MOST_SESSIONS * _ENTRY_BYTES:
        raise ValueError(f"{len(packed) // _ENTRY_BYTES} sessions do not fit into one commit; {MOST_SESSIONS} do")
    return _VERSION + base64.b85encode(_grid_digest(grid) + packed).decode("ascii")


def decode(metadata: str, grid: WindowGrid) -> Mapping[bytes, int]:
    """Decodes what `encode` wrote.

    Empty for metadata that is not ours, or was written for other windows.
    """
    if not metadata.startswith(_VERSION):
        return {}
    try:
        packed = base64.b85decode(metadata.removeprefix(_VERSION))
    except ValueError:
        return {}
    if packed[:_GRID_BYTES] != _grid_digest(grid) or (len(packed) - _GRID_BYTES) % _ENTRY_BYTES:
        return {}
    entries = range(_GRID_BYTES, len(packed), _ENTRY_BYTES)
    return {packed[at : at + _DIGEST_BYTES]: _index(packed, at + _DIGEST_BYTES) for at in entries}


def _index(packed: bytes, at: int) -> int:
    return int.from_bytes(packed[at : at + _INDEX_BYTES], "big", signed=True)


def _grid_digest(grid: WindowGrid) -> bytes:
    return hashlib.blake2b(f"{grid.size_ns}/{grid.step_ns}".encode(), digest_size=_GRID_BYTES).digest()
