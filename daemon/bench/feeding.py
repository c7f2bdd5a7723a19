"""Writes the records that `affectd bench ingest` reads.

Of what is written only headers are ever decoded, so payloads are as large as they should be and otherwise of no
account: a JPEG that is filled up, samples of noise, a line that goes on.
"""

import heapq
import random
import threading
from collections.abc import Sequence

import cv2
import numpy as np
from kafka import KafkaProducer

from streams.clock import NS_PER_MS, NS_PER_S, SystemClock
from streams.kafka.bounded_producer import BoundedProducer
from streams.kafka.connection import Connection
from streams.kafka.contract import InputTopic, to_kafka
from streams.records import Modality, Record

FRAME_BYTES, LINE_BYTES = 75_000, 200
"""Of records that were written before."""
LIVE_FRAME_BYTES = 25_000  # 640x480 as JPEG of quality 75

_SOUND_BYTES = 3_200  # 100 ms of 16 kHz
_STEP_NS = {Modality.VIDEO: 200 * NS_PER_MS, Modality.AUDIO: 100 * NS_PER_MS, Modality.TEXT: 2 * NS_PER_S}
"""From one record of a session to the next: 5 pictures a second, 10 stretches of sound, a line every other second."""
_BULK_STEP_NS = 200 * NS_PER_MS
"""The same of records that were written before: of what comes more seldom, windows cost more than records."""
_LINGER_MS = 10
_BATCH_BYTES = 2**19


def write(connection: Connection, topic: InputTopic, count: int, sessions: int) -> None:
    """Writes `count` records of `sessions` sessions, in event-time order.

    Raises BrokerUnavailable if they do not arrive.
    """
    now_ns = SystemClock().wall_ns()
    start_ns = now_ns - (count // sessions + 1) * _BULK_STEP_NS
    payload = _picture(FRAME_BYTES) if topic.modality is Modality.VIDEO else _line()
    producer = BoundedProducer(connection)
    try:
        for number in range(count):
            at_ns = start_ns + number // sessions * _BULK_STEP_NS
            record = Record(f"room-{number % sessions}", topic.modality, topic.content_type, payload, at_ns, at_ns)
            producer.send(topic.name, to_kafka(record))
        producer.flush()
    finally:
        producer.close()


def live(connection: Connection, topics: Sequence[InputTopic], sessions: int) -> None:
    """Writes records of sessions in real time until the process ends.

    To be run in a process of its own. Nothing waits for what is on its way, so it falls behind before it holds back.
    """
    clock, never = SystemClock(), threading.Event()
    payloads = {Modality.VIDEO: _picture(LIVE_FRAME_BYTES), Modality.AUDIO: _sound(), Modality.TEXT: _line()}
    chance, start_ns = random.Random(0), clock.wall_ns()
    due = [
        (start_ns + chance.randrange(_STEP_NS[topic.modality]), at, number)
        for at, topic in enumerate(topics)
        for number in range(sessions)
    ]
    heapq.heapify(due)
    with KafkaProducer(**connection.options(), linger_ms=_LINGER_MS, batch_size=_BATCH_BYTES) as producer:
        while True:
            at_ns, at, number = due[0]
            wait_ns = at_ns - clock.wall_ns()
            if wait_ns > 0:
                clock.wait(never, wait_ns / NS_PER_S)
            topic = topics[at]
            payload = payloads[topic.modality]
            record = Record(f"room-{number}", topic.modality, topic.content_type, payload, at_ns, at_ns)
            key, value, headers = to_kafka(record)
            producer.send(topic.name, value, key, headers)
            heapq.heapreplace(due, (at_ns + _STEP_NS[topic.modality], at, number))


def _picture(size_bytes: int) -> bytes:
    jpeg = cv2.imencode(".jpg", np.zeros((480, 640, 3), np.uint8))[1]
    return bytes(jpeg).ljust(size_bytes, b"\0")


def _sound() -> bytes:
    return random.Random(0).randbytes(_SOUND_BYTES)


def _line() -> bytes:
    return b"It just arrived, this is wonderful! ".ljust(LINE_BYTES, b"x")
