"""Runs a daemon in the test's process, for its metrics.

All of it is real but the model.

Its engine decodes pictures, as the real one does before it looks for faces, so that damaged ones are found.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from daemon.config import Config
from daemon.runtime.service import Service
from daemon.scoring import threads as scoring
from daemon.telemetry.instruments import Instruments
from daemon.wiring import build_endpoints
from streams.alignment.closed_window import ClosedWindow
from streams.alignment.ordered_units import UnitsByModality
from streams.decoding import pictures
from streams.events import EncodingUnit, Picture
from streams.kafka.source import KafkaSource
from streams.reasons import BadRecord
from streams.records import MEDIA
from tests.kafka.conftest import Topics
from tests.kafka.hashing import NO_SPEECH, HashingEngine, HashingModel

_STOP_S = 30.0


class DecodingEngine(HashingEngine):
    """What is damaged gives no evidence, and is told."""

    def encode(self, unit: EncodingUnit) -> None:
        try:
            if isinstance(unit.payload, Picture):
                pictures.decode_picture(unit.payload, 640)
        except BadRecord as error:
            unit.damage = error.reason, str(error)
            self._encoded(unit)
        else:
            super().encode(unit)

    def score(self, window: ClosedWindow) -> None:
        super().score(replace(window, units=_undamaged(window.units), lookback=_undamaged(window.lookback)))


def _undamaged(by_modality: UnitsByModality) -> UnitsByModality:
    return {m: tuple(unit for unit in units if unit.damage is None) for m, units in by_modality.items()}


class Daemon:
    """A running service. Owned by the test."""

    def __init__(self, config: Config) -> None:
        self._instruments = Instruments()
        endpoints = build_endpoints(config, self._instruments)
        self._source = next(feed.source for feed in endpoints.feeds if isinstance(feed.source, KafkaSource))
        self._service = Service(config, endpoints, self._instruments)
        self._thread = threading.Thread(target=self._service.run, name="service", daemon=True)
        self._thread.start()

    @property
    def numbers(self) -> tuple[int, ...]:
        """The partition numbers that are being read."""
        return self._source.partitions

    @property
    def taken(self) -> int:
        """How many events are in the timeline, or were."""
        return round(sum(self.metric("events_total", modality=modality) for modality in MEDIA))

    @property
    def closed(self) -> int:
        """How many windows have closed."""
        return round(sum(self.metric("windows_closed_total", closed_by=why) for why in ("watermark", "idle")))

    def metric(self, name: str, **labels: str) -> float:
        """The value of one series, 0 where nothing has happened yet."""
        return self._instruments.metrics.registry.get_sample_value(f"affectd_{name}", labels) or 0.0

    def stop(self) -> None:
        self._service.stop()
        self._thread.join(_STOP_S)
        assert not self._thread.is_alive(), "the service did not drain"


@contextmanager
def daemon(config: Config) -> Iterator[Daemon]:
    """Ready to take records; stopped in the end."""
    with pytest.MonkeyPatch.context() as patched:
        for name, light in (
            ("AffectModel", HashingModel),
            ("ScoringEngine", DecodingEngine),
            ("build_preparer", lambda *_: None),
        ):
            patched.setattr(scoring, name, light)
        running = Daemon(config)
        try:
            yield running
        finally:
            running.stop()


def configured(topics: Topics, windows: Mapping[str, float]) -> Config:
    """A daemon that reads and writes these topics."""
    source = {
        "bootstrap_servers": [topics.cluster.bootstrap],
        "group_id": topics.group,
        "session_timeout_s": 3.0,
        "commit_interval_s": 0.2,
        "video_topic": topics.video,
        "audio_topic": topics.audio,
        "text_topic": topics.text,
    }
    results = {
        "predictions_topic": topics.predictions,
        "alerts_topic": topics.alerts,
        "dead_letters_topic": topics.dead_letters,
    }
    settings: dict[str, Any] = {
        "windows": {"smoothing_s": 0.0, **windows},  # without a lookback, all is committed soon
        "sources": [{"kind": "kafka", "kafka": source}],
        "sinks": [{"kind": "kafka", "kafka": results}],
        "http": {"bind": ""},
        "transcription": NO_SPEECH,
    }
    return Config.model_validate(settings)
