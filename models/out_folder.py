"""Says before long work that its results could not be written: no folder, no right to write, or a full disk."""

import shutil
import tempfile
from pathlib import Path


class OutFolderError(OSError):
    """Results cannot be written there; the message names the folder and why."""


def check_out_folder(out: Path, least_free_bytes: int = 0) -> None:
    """Tries to write where the folder is, or will be made, and leaves nothing behind. Raises OutFolderError."""
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
