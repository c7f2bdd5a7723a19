"""Checks before a training: room on disk, and files it will read.

Left out: whether rows are enough, which each part says when it has read them.
"""

from collections.abc import Collection
from pathlib import Path

from models.data.corpora.text import CORPORA
from models.out_folder import check_out_folder

_NEEDS_MB = {"face": 150, "speech": 300, "text": 600, "fusion": 100}
"""Of disk for a part: checkpoints, of which two lie side by side while one is written, answers, and the model."""


def check_out(out: Path, parts: Collection[str]) -> None:
    """Checks the room for what is still to be made.

    Raises OutFolderError where there is too little.
    """
    begun = [part for part in parts if (out / part).is_dir() and any((out / part).iterdir())]
    check_out_folder(out, sum(_NEEDS_MB[part] for part in parts if part not in begun) * 1_000_000)


def missing_files(data: Path, parts: Collection[str]) -> list[Path]:
    """Files of public corpora that are needed and missing."""
    lines = [
        f"text/{corpus.stem}_{split}.jsonl.gz"
        for corpus in CORPORA.values()
        for split in (("train", "valid") if corpus.has_valid else ("train",))
    ]
    needed = {
        "face": ["faces/ferplus_train.npz", "faces/ferplus_valid.npz"],
        "speech": ["speech/ravdess.csv", "speech/emodb.csv"],
        "text": lines,
        "fusion": lines,
    }
    return [data / name for part in parts for name in needed[part] if not (data / name).is_file()]
