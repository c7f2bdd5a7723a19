"""The record of a part's training: data, settings, and whether it finished.

Rule: a run that was killed goes on only with the data and settings that it began with, and a finished one is not
trained again. A manifest that cannot be used begins nothing, so that it can be mended.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models.data.user.manifest import ManifestError, has_manifest
from models.training.loop.distributed import rank
from models.training.part.folder import PartFolder

log = logging.getLogger(__name__)


class RecordError(ValueError):
    """The folder was begun with other data or settings."""


@contextmanager
def recorded(data: Path, folder: PartFolder, training: Any) -> Iterator[bool]:
    """Whether the part is to be trained: not if it is finished.

    Leaving without an error finishes it.

    training: a dataclass of the settings. Raises RecordError.
    """
    record = check_record(data, folder, training)
    if record["finished"]:
        log.info("%s: finished before", folder.path)
        yield False
        return
    _write(folder, record)
    try:
        yield True
    except ManifestError:
        folder.record.unlink(missing_ok=True)
        raise
    _write(folder, {**record, "finished": True})


def check_record(data: Path, folder: PartFolder, training: Any) -> dict[str, Any]:
    """The record of this training.

    Raises RecordError where the folder was begun with other data or settings.
    """
    manifest = hashlib.sha256((data / "manifest.csv").read_bytes()).hexdigest() if has_manifest(data) else None
    what = json.loads(json.dumps({"data": str(data.resolve()), "manifest": manifest, "training": asdict(training)}))
    path = folder.record
    record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"what": what, "finished": False}
    if record["what"] != what:
        raise RecordError(
            f"{folder.path}: begun with other data or settings ({path.name}); delete it or name another folder"
        )
    return {"what": what, "finished": bool(record["finished"])}


def _write(folder: PartFolder, record: Mapping[str, Any]) -> None:
    if rank() == 0:
        folder.path.mkdir(parents=True, exist_ok=True)
        folder.record.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
