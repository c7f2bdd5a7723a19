"""`affectd produce`: stored sessions into Kafka, as `affectd replay` would play them.

The messages keep to the contract of the input topics, with event time in `ce_time`; their timestamps say when they were
sent. So that they are scored as `replay` scores them, pictures are sampled and scaled down as they are there and sent
without loss (PNG). One that is too large for the topic goes as JPEG, and is counted.
"""

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import click
import cv2
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from daemon.config import Config
from daemon.kafka.endpoints import InputTopics
from streams.clock import NS_PER_S, Clock, SystemClock
from streams.decoding import pictures
from streams.events import Picture
from streams.formats.rfc3339 import format_ns
from streams.kafka.bounded_producer import BoundedProducer
from streams.kafka.cluster_configs import max_message_bytes
from streams.kafka.contract import InputTopic, to_kafka
from streams.records import RAW_PICTURE, Item, Modality, Record, is_session_name
from streams.sources.base import Emit, SourceError
from streams.sources.stored.discovery import StoredOptions, stored_sessions
from streams.sources.stored.playback import Playback, StoredSession

PictureFormat = Literal["png", "jpeg"]

_MOST_AHEAD_NS = 50 * NS_PER_S  # of the minute by which an event may be ahead of when its record was written
_ENVELOPE_BYTES = 4096  # key and headers at their longest, and Kafka's own framing
_QUICK_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 1)


@dataclass(frozen=True, slots=True)
class Production:
    """What to send and how.

    speed: times real time; None for as fast as it is taken.
    """

    paths: Sequence[Path]
    speed: float | None
    start_ns: int | None = None
    """First event time of media and chat; None: the next whole second, so that no window of theirs is past."""
    session: str | None = None
    pictures: PictureFormat = "png"
    channels: tuple[str, ...] = ()
    """Who speaks on each channel of sound."""


@dataclass(slots=True)
class Sent:
    """What went to one topic."""

    records: int = 0
    size_bytes: int = 0
    spans_ns: dict[str, tuple[int, int]] = field(default_factory=dict)
    """First and last event time of each session."""

    @property
    def first_ns(self) -> int | None:
        """The first event time of all; None where nothing was sent."""
        return min((first_ns for first_ns, _ in self.spans_ns.values()), default=None)

    def add(self, session: str, time_ns: int, size_bytes: int) -> None:
        self.records += 1
        self.size_bytes += size_bytes
        first_ns, last_ns = self.spans_ns.get(session, (time_ns, time_ns))
        self.spans_ns[session] = min(first_ns, time_ns), max(last_ns, time_ns)

    @property
    def seconds(self) -> float:
        return sum(last_ns - first_ns for first_ns, last_ns in self.spans_ns.values()) / NS_PER_S


def produce(config: Config, inputs: InputTopics, production: Production) -> None:
    """Sends the sessions, and reports on stderr.

    Returns when all of it has arrived.

    SourceError where a session cannot be read (what can be read is sent), BrokerUnavailable where messages do not
    arrive, UsageError where one name is given to several sessions.
    """
    clock = SystemClock()
    # Of a whole second on, pictures are sampled and windows cut as `replay` does.
    next_second_ns = -(-clock.wall_ns() // NS_PER_S) * NS_PER_S
    start_ns = next_second_ns if production.start_ns is None else production.start_ns
    sessions = stored_sessions(
        production.paths, StoredOptions(start_ns, config.video.sample_hz, channels=production.channels)
    )
    _check_names(sessions, production.session)
    begun_ns = clock.monotonic_ns()
    producer = BoundedProducer(inputs.connection)
    try:
        sending = _Sending(producer, inputs, production, config.video.max_side_px)
        send = sending.send if production.start_ns is not None else near_now(sending.send, clock)
        fault = _played(Playback(sessions, clock, speed=production.speed), send)
        producer.flush()
    finally:
        producer.close()
    _report(sending, inputs.topics, (clock.monotonic_ns() - begun_ns) / NS_PER_S)
    if fault is not None:
        raise fault


class _Sending:
    """Sends records one at a time and counts them.

    Owned by one thread.
    """

    def __init__(
        self, producer: BoundedProducer, inputs: InputTopics, production: Production, max_side_px: int
    ) -> None:
        """BrokerUnavailable if a topic is not there."""
        self.sent = {modality: Sent() for modality in inputs.topics}
        self.left_out: Counter[Modality] = Counter()
        """Records of modalities that have no topic."""
        self.pictures_as_jpeg = 0
        self._producer = producer
        self._topics = inputs.topics
        self._session = production.session
        self._pictures = production.pictures
        self._max_side_px = max_side_px
        names = [topic.name for topic in inputs.topics.values()]
        for name in names:
            producer.partitions(name)
        self._limits = max_message_bytes(inputs.connection, names)

    def send(self, item: Item) -> None:
        if not isinstance(item, Record):
            return
        topic = self._topics.get(item.modality)
        if topic is None:
            self.left_out[item.modality] += 1
            return
        record = item if self._session is None else replace(item, session=self._session)
        if record.content_type == RAW_PICTURE:
            record = self._compressed(record, self._limits[topic.name] - _ENVELOPE_BYTES)
        self._producer.send(topic.name, to_kafka(record))
        self.sent[item.modality].add(item.session, record.event_time_ns, len(record.payload))

    def _compressed(self, record: Record, limit_bytes: int) -> Record:
        pixels = pictures.decode_picture(Picture(RAW_PICTURE, record.payload), self._max_side_px)
        if self._pictures == "png":
            _, png = cv2.imencode(".png", pixels, _QUICK_PNG)
            if png.size <= limit_bytes:
                return replace(record, content_type="image/png", payload=png.tobytes())
            self.pictures_as_jpeg += 1
        _, jpeg = cv2.imencode(".jpg", pixels)
        return replace(record, content_type="image/jpeg", payload=jpeg.tobytes())


def _check_names(sessions: Sequence[StoredSession], session: str | None) -> None:
    if session is not None and len(sessions) > 1:
        raise click.UsageError(f"--session renames one session, and there are {len(sessions)}")
    for name in [each.session for each in sessions] if session is None else [session]:
        if not is_session_name(name):
            raise SourceError(f"{name!r} cannot name a session (1 to 256 printable characters); --session renames it")


def near_now(send: Emit, clock: Clock) -> Emit:
    """As `send`, but a record far ahead of now waits first.

    It would be taken for one of a wrong clock.
    """

    def wait_and_send(item: Item) -> None:
        if isinstance(item, Record):
            ahead_ns = item.event_time_ns - clock.wall_ns() - _MOST_AHEAD_NS
            if ahead_ns > 0:
                clock.wait(threading.Event(), ahead_ns / NS_PER_S)
        send(item)

    return wait_and_send


def _played(playback: Playback, send: Emit) -> SourceError | None:
    """Plays all there is; the fault of what could not be read."""
    console = Console(stderr=True)
    columns = SpinnerColumn(), TextColumn("{task.completed:.0f} records sent"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)

        def emit(item: Item) -> None:
            send(item)
            progress.advance(task, isinstance(item, Record))

        try:
            playback.open()
            playback.read(emit, threading.Event())
        except SourceError as error:
            return error
    return None


def _report(sending: _Sending, topics: Mapping[Modality, InputTopic], took_s: float) -> None:
    width = max((len(topic.name) for topic in topics.values()), default=0)
    for modality, sent in sending.sent.items():
        line = f"{sent.records:>8} records {sent.size_bytes / 1e6:>9.2f} MB {sent.seconds:>9.1f} s of event time"
        line += "" if sent.first_ns is None else f" from {format_ns(sent.first_ns)}"
        click.echo(f"{topics[modality].name:<{width}} {line}", err=True)
    if sending.pictures_as_jpeg:
        click.echo(f"{sending.pictures_as_jpeg} pictures went as JPEG: as PNG they are too large a message", err=True)
    for modality, count in sending.left_out.items():
        click.echo(f"{count} records of {modality} were left out: the configuration has no topic for them", err=True)
    click.echo(f"sent in {took_s:.1f} s", err=True)
