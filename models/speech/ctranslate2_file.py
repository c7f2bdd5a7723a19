"""Reads the variables of a CTranslate2 model file.

Problem: Whisper's weights reach us as CTranslate2's `model.bin`, and CTranslate2 gives access only to the output of the
last layer. Rule: walk the file's serialisation (little-endian: version, specification name, revision, variables,
aliases) and hand out the wanted variables as float32 arrays, de-quantised where they were stored as integers.
Left out: writing, big-endian hosts, AWQ-packed weights, and file versions before 6, whose layout differs.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

_SUPPORTED_VERSION = 6
_DTYPES = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2"}  # CTranslate2's numbering; 5 is bfloat16, see _decode
_BFLOAT16 = 5
_SCALE_SUFFIX = "_scale"  # `x/weight` stored as integers has its scale in `x/weight_scale`


@dataclass
class _Cursor:
    """A position in the file's bytes. Owned by one call; no lock."""

    data: memoryview
    offset: int = 0

    def number(self, code: str) -> int:
        (value,) = struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))
        return int(value)

    def text(self) -> str:
        return bytes(self.take(self.number("H"))).rstrip(b"\0").decode("utf-8")

    def take(self, size_bytes: int) -> memoryview:
        end = self.offset + size_bytes
        if end > len(self.data):
            raise ValueError(f"CTranslate2 model: ends at byte {len(self.data)}, wanted {end}: truncated?")
        taken = self.data[self.offset : end]
        self.offset = end
        return taken


def read_variables(data: bytes, specification: str, wanted: Callable[[str], bool]) -> dict[str, FloatArray]:
    """Returns the wanted variables by name, as float32.

    data: the whole of `model.bin`. specification: the name it must carry, such as `WhisperSpec`.
    wanted: whether a variable is returned, by its name.
    Raises ValueError when the file is of another version or specification, or is cut short.
    """
    cursor = _Cursor(memoryview(data))
    version = cursor.number("I")
    if version != _SUPPORTED_VERSION:
        raise ValueError(f"CTranslate2 model: file version {version}, only {_SUPPORTED_VERSION} can be read")
    stored = cursor.text()
    if stored != specification:
        raise ValueError(f"CTranslate2 model: holds a {stored}, wanted a {specification}")
    cursor.number("I")  # revision of the specification: says which variables there are, not how they are stored

    variables: dict[str, FloatArray] = {}
    scales: dict[str, FloatArray] = {}
    integers: set[str] = set()
    for _ in range(cursor.number("I")):
        name = cursor.text()
        shape = [cursor.number("I") for _ in range(cursor.number("B"))]
        dtype = cursor.number("B")
        payload = cursor.take(cursor.number("I"))
        if name.endswith(_SCALE_SUFFIX):
            scales[name.removesuffix(_SCALE_SUFFIX)] = _decode(name, payload, dtype, shape)
        elif wanted(name):
            variables[name] = _decode(name, payload, dtype, shape)
            if dtype in (1, 2):
                integers.add(name)
    for name in integers & scales.keys():
        variables[name] = _dequantised(variables[name], scales[name])
    return variables


def _decode(name: str, payload: memoryview, dtype: int, shape: list[int]) -> FloatArray:
    if dtype == _BFLOAT16:  # the upper half of a float32
        values = (np.frombuffer(payload, dtype="<u2").astype(np.uint32) << 16).view(np.float32)
    elif dtype in _DTYPES:
        values = np.frombuffer(payload, dtype=_DTYPES[dtype]).astype(np.float32)
    else:
        raise ValueError(f"CTranslate2 model: variable {name!r} has the unknown type number {dtype}")
    return values.reshape(shape)


def _dequantised(stored: FloatArray, scale: FloatArray) -> FloatArray:
    """Undoes CTranslate2's symmetric quantisation.

    stored = round(weight * scale), with a scale per row or for all.
    """
    per_row = scale.reshape(-1, *[1] * (stored.ndim - 1))
    return (stored / per_row).astype(np.float32)
