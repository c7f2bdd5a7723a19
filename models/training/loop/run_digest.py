"""A digest of everything that a training's result depends on.

Problem: a checkpoint that is found belongs to the run that wrote it, and an experiment whose options or rows were
changed must not go on from it, nor take it for its own result. Rule: runs are told apart by a digest of their settings
and of their rows' values. Left out: the version of the code.
"""

import hashlib
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data.fusion.rows import FusionRows


def run_digest(settings: dict[str, Any], rows: list[FusionRows | None]) -> str:
    """16 hexadecimal digits. settings: whatever has a `repr` that says it all."""
    digest = hashlib.sha256(repr(sorted(settings.items())).encode())
    for part in rows:
        digest.update(b"rows" if part is not None else b"none")
        if part is not None:
            _add(digest, part)
    return digest.hexdigest()[:16]


def settings_of(options: Any, but: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields of a dataclass by name, without those named."""
    return {field.name: getattr(options, field.name) for field in fields(options) if field.name not in but}


def _add(digest: Any, rows: FusionRows) -> None:
    arrays: dict[str, NDArray[Any]] = {"session": rows.session}
    arrays |= {f"target {task}": target for task, target in rows.targets.items()}
    for name, (steps, mask) in rows.inputs.items():
        arrays |= {f"steps {name}": steps, f"mask {name}": mask}
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].shape} {arrays[name].dtype}".encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
