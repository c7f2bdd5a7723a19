"""Training in several processes of `torchrun`, each with its share of batches.

The rule: all processes draw the same batches, each keeps its own rows, gradients are averaged (DistributedDataParallel;
NCCL on GPUs, gloo on CPUs), so the loss curve is that of one process with the whole batch. That holds for losses that
are means over rows and networks that treat rows one by one; batch normalisation sees its own process's rows alone.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, distributed


@contextmanager
def joined_processes() -> Iterator[None]:
    """Joins the processes of `torchrun` until the block ends.

    Does nothing in a process of its own.
    """
    if "WORLD_SIZE" not in os.environ:
        yield
        return
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def processes() -> int:
    """How many train together, 1 outside `joined_processes`."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Rank of this process, from 0; the first one writes files."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def split_rows(batch: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The share of a batch that this process takes, rows first.

    Raises ValueError when the rows cannot be shared evenly, since the mean of the shares' losses would be another.
    """
    rows = len(batch[0])
    if rows % processes():
        raise ValueError(f"a batch of {rows} rows cannot be shared evenly by {processes()} processes")
    return tuple(tensor[rank() :: processes()] for tensor in batch)


def mean_over_processes(value: float) -> float:
    """The mean of every process's value."""
    if processes() == 1:
        return value
    total = torch.tensor(value, dtype=torch.float64)
    distributed.all_reduce(total)
    return float(total) / processes()


def as_the_first_has_them(metrics: Mapping[str, float]) -> dict[str, float]:
    """The first process's figures in every process, so that all decide alike."""
    values = torch.tensor([metrics[name] for name in sorted(metrics)], dtype=torch.float64)
    if processes() > 1:
        distributed.broadcast(values, 0)
    return dict(zip(sorted(metrics), values.tolist(), strict=True))
