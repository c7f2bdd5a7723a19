"""A small training run, for tests that start it in one process and in two: prints its loss curve as JSON."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from models.training.loop.distributed import joined_processes, rank, split_rows
from models.training.loop.fit import FitConfig, fit

Batch = tuple[Tensor, Tensor]


def batches(epoch: int) -> Iterator[Batch]:
    generator = torch.Generator().manual_seed(epoch)
    for _ in range(4):
        rows = torch.randn(12, 5, generator=generator)
        yield rows, rows.sum(dim=1, keepdim=True).tanh()


def loss(net: nn.Module, batch: Batch) -> Tensor:
    rows, wanted = batch
    return nn.functional.mse_loss(net(rows), wanted)


def main(out: Path) -> None:
    torch.manual_seed(3)
    net = nn.Sequential(nn.Linear(5, 16), nn.LayerNorm(16), nn.ReLU(), nn.Linear(16, 1))
    config = FitConfig(5, 4, "right", learning_rate=0.02, ema_decay=0.5, checkpoint=out / "checkpoint.safetensors")
    with joined_processes():
        result = fit(
            net, batches, loss, lambda net: {"right": -float(loss(net, next(batches(99))))}, config, None, split
        )
        if rank() == 0:
            (out / "history.json").write_text(json.dumps(result.history))


def split(batch: Batch) -> Batch:
    rows, wanted = split_rows(batch)
    return rows, wanted


if __name__ == "__main__":
    main(Path(sys.argv[1]))
