"""Two processes train as one does with the same batches."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models.training.loop.distributed import processes, rank, split_rows
from tests.models import two_processes

pytestmark = pytest.mark.unit


def test_two_processes_have_the_loss_curve_of_one_with_the_same_total_batch(tmp_path: Path) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    alone.mkdir()
    together.mkdir()
    two_processes.main(alone)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    run = [*torchrun, "-m", "tests.models.two_processes", str(together)]
    subprocess.run(run, check=True, capture_output=True, timeout=200, cwd=Path(__file__).parents[2])

    expected, found = (json.loads((folder / "history.json").read_text()) for folder in (alone, together))
    assert len(found) == len(expected) == 5
    for one, two in zip(expected, found, strict=True):
        assert two == pytest.approx(one, rel=1e-5)
    assert expected[-1]["loss"] < 0.5 * expected[0]["loss"]


def test_a_process_of_its_own_takes_every_row() -> None:
    (rows,) = split_rows((torch.arange(5),))
    assert (processes(), rank(), rows.tolist()) == (1, 0, [0, 1, 2, 3, 4])
