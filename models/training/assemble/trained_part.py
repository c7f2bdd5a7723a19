"""What a part's training leaves of its weights, as a model folder takes them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open

from models.artifact import Tensors


def read_part(path: Path, name: str) -> tuple[Tensors, Mapping[str, Any]]:
    """A part's tensors, and the sizes in the file's metadata (none for a part whose sizes are fixed).

    Raises FileNotFoundError.
    """
    with safe_open(path, framework="pt") as file:
        sizes = json.loads((file.metadata() or {}).get(name, "{}"))
        return {key: file.get_tensor(key) for key in file.keys()}, sizes  # noqa: SIM118 (not a mapping)
