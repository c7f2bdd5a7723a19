"""Files of named arrays, written whole and checked when read.

A missing, misshapen or non-finite array raises ValueError naming file and array, before anything is computed with it.
Left out: what arrays mean, which the class that owns the file says.
"""

import zipfile
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

Arrays = Mapping[str, NDArray[Any]]
Record = TypeVar("Record")


def save_arrays(path: Path, arrays: Arrays) -> None:
    """Writes an .npz file, which appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished.npz")
    np.savez(unfinished, allow_pickle=False, **arrays)
    unfinished.replace(path)


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Reads an .npz file.

    Raises FileNotFoundError, or ValueError for a file that holds no arrays.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (zipfile.BadZipFile, EOFError, TypeError, ValueError) as wrong:
        raise ValueError(f"{path}: holds no named arrays: {wrong}") from wrong


def arrays_of(record: Any, prefix: str = "") -> dict[str, NDArray[Any]]:
    """Fields of a dataclass of arrays, by `prefix` and name."""
    return {prefix + field.name: getattr(record, field.name) for field in fields(record)}


def record_of(kind: type[Record], arrays: Arrays, prefix: str = "") -> Record:
    """The dataclass whose fields `arrays_of` named.

    Raises ValueError naming the array that is missing or wrong.
    """
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    if missing := [prefix + name for name in names if prefix + name not in arrays]:
        raise ValueError(f"{', '.join(missing)}: missing; there are {', '.join(arrays)}")
    try:
        return kind(**{name: arrays[prefix + name] for name in names})
    except ValueError as wrong:
        raise ValueError(f"{prefix}{wrong}") from wrong


def load_record(kind: type[Record], path: Path) -> Record:
    """Reads a dataclass of arrays.

    Raises FileNotFoundError, or ValueError naming file and array.
    """
    arrays = load_arrays(path)
    try:
        return record_of(kind, arrays)
    except ValueError as wrong:
        raise ValueError(f"{path}: {wrong}") from wrong


def check_array(name: str, array: NDArray[Any], shape: tuple[int, ...], dtype: DTypeLike, finite: bool = True) -> None:
    """Raises ValueError where an array's shape, type or values are wrong.

    The message names the array.

    dtype: as numpy names it; `str` is text of any length. finite: whether NaN and infinity are wrong.
    """
    same = array.dtype.kind == "U" if dtype is str else array.dtype == dtype
    if array.shape != shape or not same:
        wanted = "str" if dtype is str else np.dtype(dtype).name
        raise ValueError(f"{name}: must be {wanted} of shape {shape} (is {array.dtype.name} of shape {array.shape})")
    if finite and array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{name}: {int((~np.isfinite(array)).sum())} of its values are not finite")
