"""The benchmarks of `affectd bench`, by name: `align` (time and windows), `encode` and `fuse` (the model).

The model is the shipped one, on the device it would run on, with one CPU thread, so that figures are per core. Sources,
sinks and threads are left out.
"""

from collections.abc import Iterator, Sequence

import torch

from daemon.bench.align import align
from daemon.bench.encode import encode
from daemon.bench.fuse import fuse
from daemon.bench.measure import Effort, Figure
from models.model import AffectModel

_THREADS = 1


def bench(names: Sequence[str], effort: Effort | None = None) -> Iterator[Figure]:
    """One figure after another, of the benchmarks named. Raises ModelError where the shipped model cannot be loaded."""
    effort = effort or Effort()
    if "align" in names:
        for figure in align(effort):
            yield figure | {"device": "cpu", "threads": 1}
    if "encode" in names or "fuse" in names:
        yield from _of_model(names, effort)


def _of_model(names: Sequence[str], effort: Effort) -> Iterator[Figure]:
    threads_before = torch.get_num_threads()
    model = AffectModel.load("default", threads=_THREADS)
    ran_on = {"device": str(model.device), "threads": _THREADS}
    try:
        for name, run in (("encode", encode), ("fuse", fuse)):
            if name in names:
                for figure in run(model, effort):
                    yield figure | ran_on
    finally:
        torch.set_num_threads(threads_before)
