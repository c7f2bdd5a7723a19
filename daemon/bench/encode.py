"""Benchmark of the encoders on one core, alone and in batches.

On demand, every picture's header is checked, and only the 5 of a second that are sampled are decoded, searched for
faces and encoded.
"""

from collections.abc import Iterator, Sequence
from functools import partial

from daemon.bench.material import FRAMES_HZ, records
from daemon.bench.measure import Effort, Figure, figure, timed
from daemon.config import Config
from daemon.scoring.preparer import build_preparer
from models.model import AffectModel
from streams.alignment.assembly import FOREVER_NS, FrameSampler
from streams.decoding.decode import Limits, decode_record
from streams.records import Modality, Record
from streams.telemetry import NullTelemetry

_BATCH = 16
_ROWS = {"video": "face", "audio": "second of speech", "text": "line of chat"}


def encode(model: AffectModel, effort: Effort) -> Iterator[Figure]:
    """Pictures per second, then each encoder's cost of a row."""
    yield from _pictures(model, effort)
    for modality, row in _ROWS.items():
        encoder = model.encoders[modality]
        example = encoder.example()
        batches = [[example], [example] * _BATCH]
        (_, alone_s), (_, batch_s) = timed([partial(encoder.encode, batch) for batch in batches], effort.rounds)
        yield figure("encode", f"{row}, batch of 1", alone_s * 1e3, "ms")
        yield figure(
            "encode",
            f"{row}, batch of {_BATCH}",
            batch_s / _BATCH * 1e3,
            "ms",
            ratio=batch_s / _BATCH / alone_s,
            against="cost of a row in a batch of 1",
        )


def _pictures(model: AffectModel, effort: Effort) -> Iterator[Figure]:
    taken = [record for record in records(effort.scored_s) if record.modality is Modality.VIDEO]
    camera = _Camera(model)
    rates_hz = (FRAMES_HZ, camera.sample_hz)
    every, on_demand = timed([partial(camera.look_at, taken, rate_hz) for rate_hz in rates_hz], effort.scored_rounds)
    cheaper: Figure = {"ratio": on_demand[1] / every[1], "against": "cost of looking at every one"}
    for name, ((looked_at, faces), took_s), compared in (
        ("every one looked at", every, Figure()),
        ("on demand", on_demand, cheaper),
    ):
        yield figure(
            "encode",
            f"pictures, {name}",
            len(taken) / took_s,
            "pictures/s",
            **compared,
            pictures=len(taken),
            looked_at=looked_at,
            faces=faces,
        )


class _Camera:
    """One session's pictures, from JPEG to encoded faces."""

    def __init__(self, model: AffectModel) -> None:
        config = Config()
        self.sample_hz = config.video.sample_hz
        self._encoder = model.encoders["video"]
        self._preparer = build_preparer(config, model)

    def look_at(self, taken: Sequence[Record], sample_hz: float) -> tuple[int, int]:
        """Encodes the sampled pictures; returns their number and that of faces."""
        sampler = FrameSampler(sample_hz, NullTelemetry())
        for record in taken:
            sampler.add(decode_record(record, Limits(), live=False))
        units = sampler.release(FOREVER_NS)
        faces = 0
        for unit in units:
            rows = self._preparer.prepare(unit).rows
            faces += len(self._encoder.encode(rows).weight) if rows else 0
        self._preparer.forget(taken[0].session)
        return len(units), faces
