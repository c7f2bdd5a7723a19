"""From configuration to parts: which source, sink and limit each table of the configuration stands for."""

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.config import Config
from daemon.config.endpoints import (
    CameraSource,
    ChatSource,
    FileSink,
    KafkaSink,
    KafkaSource,
    MediaSource,
    MicrophoneSource,
    RecordedSource,
    SinkConfig,
    SourceConfig,
    StdoutSink,
)
from daemon.instruments import Instruments
from daemon.kafka_endpoints import input_topics, output
from streams.channel import Policy
from streams.clock import Clock
from streams.decode import Limits
from streams.delivery.ledger import Ledger
from streams.kafka import sink as kafka_sink
from streams.kafka import source as kafka_source
from streams.kafka.checks import Wanted
from streams.kafka.consuming import KafkaSourceConfig
from streams.kafka.transactions import Transactions
from streams.sinks.base import Sink, TransactionalSink
from streams.sinks.json_lines import JsonLines
from streams.sources.base import Source
from streams.sources.camera import Camera, CameraConfig
from streams.sources.chat_file import TailedChat
from streams.sources.chat_posted import PostedChat
from streams.sources.chat_socket import SocketChat
from streams.sources.chat_stdin import StdinChat
from streams.sources.microphone import Microphone, MicrophoneConfig
from streams.sources.playback import Playback
from streams.sources.stored import StoredOptions, stored_sessions
from streams.telemetry import Telemetry
from streams.timeline import TimelineConfig
from streams.watermark import WatermarkConfig
from streams.windows import WindowGrid


@dataclass(frozen=True, slots=True)
class SourceFeed:
    """A source and the channel it feeds: what happens when it is full, and how many records it holds."""

    source: Source
    policy: Policy
    capacity: int | None


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where records enter and predictions leave, and the ledger between the two."""

    feeds: Sequence[SourceFeed]
    sinks: Sequence[Sink]
    ledger: Ledger
    transactions: TransactionalSink | None = None
    """The sink that delivers exactly once, where that was asked for."""


_CAMERA_PICTURES = 2  # one being taken and the newest: an older one is never worth scoring
_MICROPHONE_RECORDS = 50  # 100 ms each: five seconds of falling behind before there is a gap
_CHAT_LINES = 1024
_STORED_RECORDS = 64  # reading ahead of a file; its pictures are whole frames


def timeline_config(config: Config) -> TimelineConfig:
    """How sessions are cut into windows and units."""
    windows = config.windows
    return TimelineConfig(
        grid=WindowGrid(windows.size_ns, windows.step_ns),
        watermark=WatermarkConfig(windows.disorder_bound_ns, windows.idle_after_ns),
        grace_ns=windows.grace_ns,
        sample_hz=config.video.sample_hz,
    )


def limits(config: Config) -> Limits:
    """What is too large to be read."""
    return Limits(max_pixels=config.video.max_pixels, max_line_bytes=config.text.max_line_bytes)


def build_endpoints(config: Config, instruments: Instruments) -> Endpoints:
    """A source and a sink for each table of the configuration, in order.

    SourceError where stored sessions contradict each other, SinkError where a file cannot be written.
    """
    ledger = Ledger(timeline_config(config).grid)
    feeds = [_source(source, config, ledger, instruments) for source in config.sources]
    transactions = _transactions(config, feeds, ledger, instruments.clock)
    sinks = [_sink(sink, config, instruments.clock) for sink in config.sinks if not _in_transactions(sink, config)]
    return Endpoints(feeds, sinks, ledger, transactions)


def stored_endpoints(config: Config, feed: SourceFeed, sink: Sink) -> Endpoints:
    """One feed of stored sessions, and one sink."""
    return Endpoints([feed], [sink], Ledger(timeline_config(config).grid))


def stored_feed(
    paths: Sequence[Path], speed: float | None, options: StoredOptions, clock: Clock, name: str = "media"
) -> SourceFeed:
    """Stored sessions, played at `speed` times real time (None: as fast as they are taken)."""
    return SourceFeed(
        Playback(stored_sessions(paths, options), clock, speed=speed, name=name), Policy.BLOCK, _STORED_RECORDS
    )


def _source(source: SourceConfig, config: Config, ledger: Ledger, instruments: Instruments) -> SourceFeed:
    clock, telemetry, sample_hz = instruments.clock, instruments.metrics, config.video.sample_hz
    match source:
        case CameraSource(name=name, camera=camera):
            settings = CameraConfig(camera.session, str(camera.device), sample_hz, name=name)
            return SourceFeed(Camera(settings, clock), Policy.DROP_OLDEST, _CAMERA_PICTURES)
        case MicrophoneSource(name=name, microphone=microphone):
            heard = MicrophoneConfig(
                microphone.session, str(microphone.device), microphone.rate_hz, microphone.channels, name
            )
            return SourceFeed(Microphone(heard, clock, telemetry), Policy.DROP_OLDEST, _MICROPHONE_RECORDS)
        case ChatSource():
            return SourceFeed(_chat(source, clock, telemetry), Policy.BLOCK, _CHAT_LINES)
        case MediaSource(name=name, media=media):
            options = StoredOptions(media.start_ns, sample_hz, telemetry)
            return stored_feed([Path(path) for path in media.paths], media.factor, options, clock, name)
        case RecordedSource(name=name, recorded=recorded):
            options = StoredOptions(sample_hz=sample_hz, telemetry=telemetry)
            return stored_feed([Path(recorded.path)], recorded.factor, options, clock, name)
        case KafkaSource():
            of_kafka = kafka_source.KafkaSource(_kafka_settings(source, config), ledger, clock, telemetry)
            return SourceFeed(of_kafka, Policy.BLOCK, None)


def _chat(source: ChatSource, clock: Clock, telemetry: Telemetry) -> Source:
    chat, name = source.chat, source.name
    match chat.transport:
        case "stdin":
            return StdinChat(chat.session, clock, telemetry, name=name)
        case "file":
            return TailedChat(Path(chat.path), chat.session, clock, telemetry, name=name)
        case "unix":
            return SocketChat(f"unix:{chat.path}", chat.session, clock, telemetry, name=name)
        case "tcp":
            return SocketChat(f"tcp:{chat.address}", chat.session, clock, telemetry, name=name)
        case "http":
            return PostedChat(clock, telemetry, name=name)


def _sink(sink: SinkConfig, config: Config, clock: Clock) -> Sink:
    match sink:
        case StdoutSink():
            return JsonLines.stdout()
        case FileSink(file=file):
            return JsonLines.file(Path(file.path))
        case KafkaSink(kafka=kafka):
            return kafka_sink.KafkaSink("kafka", output(kafka, config), clock)


def _kafka_settings(source: KafkaSource, config: Config) -> KafkaSourceConfig:
    kafka = source.kafka
    results = [sink.kafka for sink in config.sinks if isinstance(sink, KafkaSink) and not sink.kafka.bootstrap_servers]
    wanted = Wanted(
        tuple(kafka.topics.values()),
        tuple(topic for result in results for topic in result.topics if topic != result.dead_letters_topic),
        dead_letters=results[0].dead_letters_topic if results else "",
        group_id=kafka.group_id,
        session_timeout_s=kafka.session_timeout_s,
        create=kafka.create_topics,
        partitions=kafka.partitions,
        replication_factor=kafka.replication_factor,
    )
    return KafkaSourceConfig(
        source.name,
        kafka.connection,
        kafka.group_id,
        tuple(input_topics(kafka).values()),
        kafka.instance_id,
        kafka.start,
        kafka.session_timeout_s,
        kafka.high_mark_bytes,
        kafka.high_mark_bytes // 2,
        kafka.commit_interval_s,
        config.delivery.guarantee == "at_least_once",
        config.delivery.revoke_timeout_s,
        wanted,
    )


def _in_transactions(sink: SinkConfig, config: Config) -> bool:
    return isinstance(sink, KafkaSink) and config.delivery.guarantee == "exactly_once"


def _transactions(
    config: Config, feeds: Sequence[SourceFeed], ledger: Ledger, clock: Clock
) -> TransactionalSink | None:
    """The configuration has seen to it that there is one Kafka source and one Kafka sink, on the same cluster."""
    sink = next((sink.kafka for sink in config.sinks if isinstance(sink, KafkaSink)), None)
    settings = next((source.kafka for source in config.sources if isinstance(source, KafkaSource)), None)
    source = next((feed.source for feed in feeds if isinstance(feed.source, kafka_source.KafkaSource)), None)
    if sink is None or settings is None or source is None or config.delivery.guarantee != "exactly_once":
        return None
    transactional_id = config.delivery.transactional_id_of(settings, f"{socket.gethostname()}-{os.getpid()}")
    return Transactions("kafka", output(sink, config), transactional_id, ledger, source.group_metadata, clock)
