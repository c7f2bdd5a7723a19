"""The file that a corpus is read from, and its version."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from models.data.corpora.text import CORPORA


@dataclass(frozen=True, slots=True)
class DataFile:
    """A data file and its version.

    modified: day in UTC (YYYY-MM-DD). sha256: of the file's bytes, in hexadecimal.
    """

    path: Path
    modified: str
    sha256: str


def data_file(corpus: str, data: Path, split: str) -> DataFile:
    """The table or archive of a corpus's split. Raises OSError without it."""
    if corpus == "manifest":
        path = data / "manifest.csv"
    elif corpus == "ferplus":
        path = data / "faces" / f"ferplus_{split}.npz"
    elif corpus in CORPORA:
        known = CORPORA[corpus]
        part = split if known.has_valid or split == "test" else "train"
        path = data / "text" / f"{known.stem}_{part}.jsonl.gz"
    else:
        path = data / "speech" / f"{corpus}.csv"
    modified = datetime.fromtimestamp(path.stat().st_mtime, UTC).date().isoformat()
    with path.open("rb") as file:
        return DataFile(path, modified, hashlib.file_digest(file, "sha256").hexdigest())
