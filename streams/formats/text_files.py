"""Opens files named by people, and reads UTF-8 text.

A pipe, socket, device or folder in place of a file is an error that names it: a pipe would wait for a writer, and a
device may never end. A byte order mark, as some editors write it, is not part of the text.
"""

import codecs
import os
import stat
from io import FileIO
from pathlib import Path

_LIMIT_BYTES = 16 * 2**20
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class FileError(ValueError):
    """A file cannot be read; the message completes the file's name."""


def open_file(path: Path) -> FileIO:
    """Opens a regular file unbuffered; FileError if it is none."""
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
        if kind != stat.S_IFREG:
            raise FileError(f"is {_KINDS.get(kind, 'something else')}, not a file")
        return FileIO(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        if isinstance(error, FileError):
            raise
        raise FileError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None


def read_text(path: Path) -> str:
    """Reads a UTF-8 file of at most 16 MiB; FileError otherwise."""
    with open_file(path) as file:
        try:
            content = _all(file)
        except OSError as error:
            raise FileError(f"cannot be read: {error.strerror or error}") from None
    check_utf_16(content)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(f"is not UTF-8 text (byte {error.start})") from None


def check_utf_16(beginning: bytes) -> None:
    """Raises FileError where bytes begin as UTF-16 does."""
    if beginning.startswith(_UTF_16):
        raise FileError("is UTF-16 text; save it as UTF-8")


def _all(file: FileIO) -> bytes:
    content = bytearray()
    while piece := file.read(_LIMIT_BYTES):
        content += piece
        if len(content) > _LIMIT_BYTES:
            raise FileError(f"holds more than {_LIMIT_BYTES >> 20} MiB")
    return bytes(content)
