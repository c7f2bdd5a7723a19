"""Checkpoints of training runs, as safetensors with JSON in the header.

One file, renamed into place, so that a kill leaves the old checkpoint or the new one, never half of either.
"""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Groups of named tensors, with settings and results so far.

    Settings and results are JSON.
    """

    settings: dict[str, Any]
    result: dict[str, Any]
    tensors: dict[str, dict[str, Tensor]]


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Writes `path`, replacing what is there in one step.

    Group names hold no slash.
    """
    header = {"settings": json.dumps(checkpoint.settings), "result": json.dumps(checkpoint.result)}
    # Clones, because safetensors refuses tensors that share memory (tied weights).
    flat = {
        f"{group}/{name}": tensor.detach().cpu().clone().contiguous()
        for group, tensors in checkpoint.tensors.items()
        for name, tensor in tensors.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file(flat, partial, header)
    partial.replace(path)


def load_checkpoint(path: Path) -> Checkpoint:
    """Reads what `save_checkpoint` wrote.

    Raises ValueError naming `path` when its header is not a checkpoint's.
    """
    tensors: defaultdict[str, dict[str, Tensor]] = defaultdict(dict)
    with safe_open(path, framework="pt") as file:
        header = file.metadata() or {}
        for name in file.keys():  # noqa: SIM118 (not a mapping)
            group, _, rest = name.partition("/")
            tensors[group][rest] = file.get_tensor(name)
    if "settings" not in header or "result" not in header:
        raise ValueError(f"{path}: not a training checkpoint")
    return Checkpoint(json.loads(header["settings"]), json.loads(header["result"]), tensors)
