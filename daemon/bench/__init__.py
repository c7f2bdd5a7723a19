"""The benchmarks of `affectd bench`: align, encode, fuse, ingest, transcribe.

`align` is of time and windows, `encode` and `fuse` are of the model, `ingest` is of Kafka, `transcribe` of speech to
text.

The model is the shipped one, on the device it would run on, with one CPU thread, so that figures are per core. Sources,
sinks and threads are left out, but in `ingest`, which reads from a Kafka and leaves out the model. `transcribe` runs on
two threads of the CPU.
"""

from collections.abc import Iterator, Sequence

import torch

from daemon.bench.align import align
from daemon.bench.encode import encode
from daemon.bench.fuse import fuse
from daemon.bench.ingest import ingest
from daemon.bench.measure import Effort, Figure
from daemon.bench.transcribe import THREADS as TRANSCRIBE_THREADS
from daemon.bench.transcribe import transcribe
from models.model import AffectModel
from streams.kafka.connection import Connection
from streams.kafka.reachability import Unreachable

_THREADS = 1


def bench(names: Sequence[str], effort: Effort | None = None, connection: Connection | None = None) -> Iterator[Figure]:
    """One figure after another, of the benchmarks named.

    connection: the Kafka that `ingest` needs. Raises Unreachable without one, ModelError where the shipped model cannot
    be loaded.
    """
    effort = effort or Effort()
    if "ingest" in names:
        if connection is None:
            raise Unreachable("bench ingest needs a Kafka: name one by --bootstrap-servers or AFFECTD_TEST_KAFKA")
        yield from ingest(effort, connection)
    if "align" in names:
        for figure in align(effort):
            yield figure | {"device": "cpu", "threads": 1}
    if "encode" in names or "fuse" in names:
        yield from _of_model(names, effort)
    if "transcribe" in names:
        for figure in transcribe(effort):
            yield figure | {"device": "cpu", "threads": TRANSCRIBE_THREADS}


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
