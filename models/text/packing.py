"""Packing of weights in few bits for the disk.

Matrices take 8 bits a weight, word tables 4, the rest 16 as floats.

The rule: symmetric linear levels with one scale a row (8 bits) or one a block of 32 in a row (4 bits), rounded to
nearest. A word table is packed before training, so that what is trained on it makes up for its rounding; matrices are
packed after. Left out: computing in few bits. What is read is float32 again.
"""

from collections.abc import Mapping

import torch

_BLOCK = 32
_SCALE = ".int8_scale"
_LEVELS_8, _LEVELS_4 = 127, 7


def pack(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Packs matrices as int8, vectors as float16, the rest as is.

    A matrix or kernel has `NAME.int8_scale` beside it.
    """
    packed = {}
    for name, value in state.items():
        if value.is_floating_point() and value.ndim > 1:
            rows = value.detach().float().cpu().flatten(1)
            scale = (rows.abs().amax(dim=1) / _LEVELS_8).clamp_min(torch.finfo(torch.float32).tiny)
            packed[name] = (rows / scale[:, None]).round().to(torch.int8).view(value.shape)
            packed[name + _SCALE] = scale
        else:
            packed[name] = (value.half() if value.is_floating_point() else value).detach().cpu().contiguous()
    return packed


def unpack(packed: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Unpacks to float32, within rounding.

    Raises KeyError for int8 weights without a scale.
    """
    state = {}
    for name, value in packed.items():
        if name.endswith(_SCALE):
            continue
        if value.dtype == torch.int8:
            scale = packed[name + _SCALE]
            state[name] = value.float() * scale.view(-1, *[1] * (value.ndim - 1))
        else:
            state[name] = value.float() if value.is_floating_point() else value
    return state


def pack_table(table: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Packs a table in 4 bits: nibbles and their scales.

    table: (rows, width), width divisible by 32. Nibbles are uint8 (rows, width / 2).
    """
    blocks = table.float().reshape(len(table), -1, _BLOCK)
    scale = (blocks.abs().amax(dim=2) / _LEVELS_4).clamp_min(torch.finfo(torch.float16).tiny).half()
    levels = (blocks / scale.float()[..., None]).round().clamp(-_LEVELS_4, _LEVELS_4).add(_LEVELS_4 + 1)
    pairs = levels.to(torch.uint8).reshape(len(table), -1, 2)
    return (pairs[..., 0] | pairs[..., 1] << 4).contiguous(), scale


def unpack_table(nibbles: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """The inverse of `pack_table`, float32 (rows, width), within rounding."""
    levels = torch.stack([nibbles & 15, nibbles >> 4], dim=2).flatten(1).float() - (_LEVELS_4 + 1)
    return (levels.reshape(len(levels), -1, _BLOCK) * scale.float()[..., None]).flatten(1)
