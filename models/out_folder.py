"""Checks before long work that its output folder can be written."""

import shutil
import tempfile
from pathlib import Path


class OutFolderError(OSError):
    """The output folder cannot be written; the message says why."""


def check_out_folder(out: Path, least_free_bytes: int = 0) -> None:
    """Checks rights and free space of an output folder.

    Leaves nothing behind. Raises OutFolderError.
    """
    there = next(parent for parent in (out.absolute(), *out.absolute().parents) if parent.exists())
    if not there.is_dir():
        raise OutFolderError(f"{out}: cannot be a folder, since {there} is a file")
    try:
        with tempfile.TemporaryFile(dir=there) as tried:
            tried.write(b"tried")
            tried.flush()
    except OSError as wrong:
        raise OutFolderError(f"{out}: cannot be written to: {wrong.strerror or wrong}") from wrong
    free = shutil.disk_usage(there).free
    if free < least_free_bytes:
        raise OutFolderError(
            f"{out}: {free / 1e6:.0f} MB are free there, and {least_free_bytes / 1e6:.0f} MB are needed"
        )
