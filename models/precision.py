"""Mixed precision: bfloat16 autocast where it is faster.

Problem: some CPUs have no bfloat16 kernel for a layer and refuse it; others emulate it, up to fifty times slower than
float32. The name of the CPU does not show which, since the libraries can be limited to fewer instructions. Rule: one
small training step through the kinds of layer used here is timed in both precisions, once a process; float32 is used
where bfloat16 fails or is no faster. Left out: float16, and a choice for each layer.
"""

from collections.abc import Callable
from functools import cache

import torch
from torch import nn
from torch.utils.benchmark import Timer

_WORTH = 0.8  # of the time in float32: units that have bfloat16 take half of it, those that emulate it more than all
_RUNS = 5


def mixed_precision(device: torch.device | str, wanted: bool = True) -> torch.autocast:
    """A bfloat16 autocast context, disabled where it is no faster.

    device: or its type. wanted: whether the caller would have it at all.
    """
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16, enabled=wanted and bfloat16_is_faster(kind))


@cache
def bfloat16_is_faster(kind: str) -> bool:
    """Whether bfloat16 is faster on a kind of device.

    kind: "cpu" or "cuda". Takes less than a second the first time.
    """
    step = _step(torch.device(kind))
    try:
        return _seconds(step, kind, bf16=True) < _WORTH * _seconds(step, kind, bf16=False)
    except RuntimeError:  # no such kernel on this device
        return False


def _seconds(step: Callable[[], None], kind: str, bf16: bool) -> float:
    def run() -> None:
        with torch.autocast(kind, torch.bfloat16, enabled=bf16):
            step()

    timer = Timer("run()", globals={"run": run}, num_threads=torch.get_num_threads())
    return min(timer.timeit(1).mean for _ in range(_RUNS))


def _step(device: torch.device) -> Callable[[], None]:
    """Forward and backward through a matrix, a convolution and a recurrent layer."""
    with torch.random.fork_rng(devices=[]):  # whoever asks draws what they would have drawn
        layers: list[nn.Module] = [nn.Linear(256, 512), nn.Conv2d(16, 32, 3), nn.LSTM(64, 64, batch_first=True)]
        inputs = [torch.randn(128, 256), torch.randn(8, 16, 24, 24), torch.randn(16, 8, 64)]
    layers = [layer.to(device) for layer in layers]
    inputs = [values.to(device) for values in inputs]

    def step() -> None:
        with torch.enable_grad():
            for layer, values in zip(layers, inputs, strict=True):
                answer = layer(values)
                (answer[0] if isinstance(answer, tuple) else answer).float().sum().backward()

    return step
