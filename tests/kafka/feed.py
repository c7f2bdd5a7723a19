"""Writes the input of disturbed instances, in real time.

Records reach the broker out of order, within the bound that instances are told, and stamped with the time at which they
were sent, however late that is: the producer does not give up. So there is one truth about what must be published of
them, whatever happens.
"""

import random
import threading
from dataclasses import dataclass

import cv2
import numpy as np
from kafka import KafkaProducer
from kafka.errors import KafkaTimeoutError
from kafka.producer.future import FutureRecordMetadata

from streams.clock import NS_PER_MS, NS_PER_S, SystemClock
from streams.kafka.contract import to_kafka
from streams.records import MEDIA, Modality, Record
from tests.kafka.conftest import Topics

PARTITIONS = 4
SESSIONS = 8
DISORDER_BOUND_MS = 1500
IDLE_AFTER_S = 10.0
"""Above what a busy machine, and a producer that looks for its broker, may keep a record back."""

_CLOCK = SystemClock()
_FRAME_S, _SOUND_S, _LINE_S = 0.16, 0.25, 1.1
_RATE_HZ = 8000
_MOST_DELAY_S = 0.3  # of a record on its way to the broker
_PATIENCE_S = 120.0  # for the last records to be acknowledged


@dataclass(frozen=True, slots=True)
class Sending:
    """A record, and when it is sent."""

    at_ns: int
    number: int
    record: Record


def sendings(start_ns: int, for_s: float, seed: int = 0, picture_bytes: int = 0) -> list[Sending]:
    """Eight sessions of three modalities, in the order of sending.

    picture_bytes: the least size of a picture.
    """
    chance = random.Random(seed)
    planned: list[Sending] = []
    for session in range(SESSIONS):
        for modality, step_s in zip(MEDIA, (_FRAME_S, _SOUND_S, _LINE_S), strict=True):
            for sequence in range(int(for_s / step_s)):
                event_ns = start_ns + round((sequence + 0.1 * session) * step_s * NS_PER_S)
                lasts_s = step_s if modality is Modality.AUDIO else 0.0
                sent_ns = event_ns + round((lasts_s + chance.uniform(0, _MOST_DELAY_S)) * NS_PER_S)
                kind, payload = _PAYLOADS[modality](chance, picture_bytes)
                record = Record(f"room {session}", modality, kind, payload, event_ns, 0, sequence)
                planned.append(Sending(sent_ns, session % PARTITIONS, record))
    return sorted(planned, key=lambda sending: sending.at_ns)


def _picture(chance: random.Random, size_bytes: int) -> tuple[str, bytes]:
    pixels = np.frombuffer(chance.randbytes(8 * 8 * 3), np.uint8).reshape(8, 8, 3)
    return "image/jpeg", cv2.imencode(".jpg", pixels)[1].tobytes().ljust(size_bytes, b"\0")


def _sound(chance: random.Random, _: int) -> tuple[str, bytes]:
    return f"audio/L16;rate={_RATE_HZ};channels=1", chance.randbytes(2 * round(_SOUND_S * _RATE_HZ))


def _line(chance: random.Random, _: int) -> tuple[str, bytes]:
    return "text/plain", f"it is {chance.random()}".encode()


_PAYLOADS = {Modality.VIDEO: _picture, Modality.AUDIO: _sound, Modality.TEXT: _line}


class Feed:
    """Writes the input in real time until stopped, or all at once."""

    def __init__(
        self, topics: Topics, most_s: float = 240.0, *, beforehand: bool = False, picture_bytes: int = 0
    ) -> None:
        """Creates the input topics and begins."""
        self.topics = topics
        topics.cluster.create_topics(topics.inputs, PARTITIONS)
        start_ns = _CLOCK.wall_ns() - (round((most_s + 2) * NS_PER_S) if beforehand else -NS_PER_S)
        self._planned = sendings(start_ns, most_s, picture_bytes=picture_bytes)
        self._stop = threading.Event()
        self._closed = False
        self._sent = 0
        self._acknowledged = False
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self._thread.start()

    @property
    def records(self) -> list[Record]:
        """What was sent."""
        return [sending.record for sending in self._planned[: self._sent]]

    def stop(self) -> None:
        """Sends no more."""
        self._stop.set()

    def close(self) -> None:
        """Sends no more and waits for no acknowledgement: what read it is gone."""
        self._closed = True
        self.stop()
        self._thread.join(_PATIENCE_S)

    def finish(self) -> None:
        """Waits until all that was sent is acknowledged."""
        self._thread.join(_PATIENCE_S)
        assert self._acknowledged, "the input could not be written"

    def _run(self) -> None:
        topic = dict(zip(MEDIA, self.topics.inputs, strict=True))
        producer = KafkaProducer(
            bootstrap_servers=self.topics.cluster.bootstrap,
            acks="all",
            delivery_timeout_ms=300_000,
            max_block_ms=300_000,
            reconnect_backoff_max_ms=500,
            linger_ms=10,
        )
        try:
            futures = []
            for sending in self._planned:
                if self._stop.wait(max(0.0, (sending.at_ns - _CLOCK.wall_ns()) / NS_PER_S)):
                    break
                key, value, headers = to_kafka(sending.record)
                futures.append(
                    producer.send(
                        topic[sending.record.modality],
                        key=key,
                        value=value,
                        headers=headers,
                        partition=sending.number,
                        timestamp_ms=sending.at_ns // NS_PER_MS,
                    )
                )
                self._sent += 1
            self._acknowledged = all(self._acknowledge(future) for future in futures)
        finally:
            producer.close(timeout=0 if self._closed else None)

    def _acknowledge(self, future: FutureRecordMetadata) -> bool:
        """Waits until a record is acknowledged or the feed is closed."""
        while not self._closed:
            try:
                future.get(timeout=1)
            except KafkaTimeoutError:
                continue
            return True
        return False
