"""Builds sources, sinks and limits from the configuration."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from daemon.config import Config
from daemon.config.endpoints import (
    CameraSourceTable,
    ChatSourceTable,
    FileSinkTable,
    KafkaSinkTable,
    KafkaSourceTable,
    MediaSourceTable,
    MicrophoneSourceTable,
    RecordedSourceTable,
    SinkTable,
    SourceTable,
    StdoutSinkTable,
)
from daemon.telemetry.instruments import Instruments
from streams.alignment.timeline_config import TimelineConfig
from streams.alignment.watermark import WatermarkConfig
from streams.channels.channel import OverflowPolicy
from streams.clock import Clock
from streams.decoding.decode import Limits
from streams.delivery.crash_journal import CrashJournal
from streams.delivery.ledger import Ledger
from streams.participants import NamedBy, Participant
from streams.records import Modality
from streams.sinks.base import Sink, TransactionalSink
from streams.sinks.json_lines import JsonLines
from streams.sources.base import Source
from streams.sources.chat.posted import PostedChat
from streams.sources.chat.socket_server import SocketChat
from streams.sources.chat.standard_input import StdinChat
from streams.sources.chat.tailed_file import TailedChat
from streams.sources.devices.camera import Camera, CameraConfig
from streams.sources.devices.microphone import Microphone, MicrophoneConfig
from streams.sources.stored.discovery import StoredOptions, stored_sessions
from streams.sources.stored.playback import Playback
from streams.telemetry import Telemetry

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SourceFeed:
    """A source, and the overflow policy and capacity of its channel."""

    source: Source
    policy: OverflowPolicy
    capacity: int | None
    required: bool = True
    """Whether the service is not ready while the source is away."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where records enter and predictions leave, and the ledger between the two."""

    feeds: Sequence[SourceFeed]
    sinks: Sequence[Sink]
    ledger: Ledger
    transactions: TransactionalSink | None = None
    """The sink that delivers exactly once, where that was asked for."""
    warm_up: bool = True
    """Whether the model runs once before the sources open; where nobody waits for the first window it need not."""


_CAMERA_PICTURES = 2  # one being taken and the newest: an older one is never worth scoring
_MICROPHONE_RECORDS = 50  # 100 ms each: five seconds of falling behind before there is a gap
_CHAT_LINES = 256  # a second of one session that floods, on one core: what another line of it waits for
_STORED_RECORDS = 64  # reading ahead of a file; its pictures are whole frames


def timeline_config(config: Config) -> TimelineConfig:
    """How sessions are cut into windows and units."""
    windows = config.windows
    return TimelineConfig(
        grid=windows.grid,
        watermark=WatermarkConfig(windows.disorder_bound_ns, windows.idle_after_ns),
        grace_ns=windows.grace_ns,
        sample_hz=config.video.sample_hz,
        segments=windows.segments,
        lookback_ns=windows.smoothing_ns,
        speech=config.transcription.speech,
        participants=config.participants.rules,
        modalities=frozenset({*map(Modality, config.model.modalities), Modality.SIGNALS}),
    )


def limits(config: Config) -> Limits:
    """What is too large to be read."""
    return Limits(
        max_pixels=config.video.max_pixels,
        max_line_bytes=config.text.max_line_bytes,
        max_sound_s=config.audio.max_record_s,
    )


def open_crash_journal(config: Config, clock: Clock) -> CrashJournal:
    """Opens the crash journal; CrashJournalError if its folder cannot be used."""
    folder = config.lifecycle.state_dir or os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if config.kafka_source is None:
        return CrashJournal(None, clock)
    if not folder:
        log.info("records that end the process are not remembered: there is no lifecycle.state_dir")
    return CrashJournal(Path(folder) if folder else None, clock)


def build_endpoints(config: Config, instruments: Instruments) -> Endpoints:
    """Builds a source and a sink for each table, in order.

    SourceError where stored sessions contradict each other, SinkError where a file cannot be written.
    """
    ledger = Ledger(timeline_config(config).grid)
    feeds = [
        replace(_source(source, config, ledger, instruments), required=source.required) for source in config.sources
    ]
    transactions = _transactions(config, feeds, ledger, instruments)
    sinks = [_sink(sink, config, instruments.clock) for sink in config.sinks if not _in_transactions(sink, config)]
    return Endpoints(feeds, sinks, ledger, transactions)


def stored_endpoints(config: Config, feed: SourceFeed, sink: Sink) -> Endpoints:
    """One feed of stored sessions, and one sink."""
    return Endpoints([feed], [sink], Ledger(timeline_config(config).grid), warm_up=False)


def stored_feed(
    paths: Sequence[Path], speed: float | None, options: StoredOptions, clock: Clock, name: str = "media"
) -> SourceFeed:
    """Stored sessions, to be played.

    speed: times real time; None for as fast as they are taken.
    """
    return SourceFeed(
        Playback(stored_sessions(paths, options), clock, speed=speed, name=name), OverflowPolicy.BLOCK, _STORED_RECORDS
    )


def _source(source: SourceTable, config: Config, ledger: Ledger, instruments: Instruments) -> SourceFeed:
    clock, telemetry, sample_hz = instruments.clock, instruments.metrics, config.video.sample_hz
    match source:
        case CameraSourceTable(name=name, camera=camera):
            participant = _configured(camera.participant)
            settings = CameraConfig(camera.session, str(camera.device), sample_hz, name=name, participant=participant)
            return SourceFeed(Camera(settings, clock), OverflowPolicy.DROP_OLDEST, _CAMERA_PICTURES)
        case MicrophoneSourceTable(name=name, microphone=microphone):
            heard = MicrophoneConfig(
                microphone.session,
                str(microphone.device),
                microphone.rate_hz,
                microphone.channel_count,
                name,
                _configured(microphone.participant),
                microphone.channel_names,
            )
            return SourceFeed(Microphone(heard, clock, telemetry), OverflowPolicy.DROP_OLDEST, _MICROPHONE_RECORDS)
        case ChatSourceTable():
            return SourceFeed(_chat(source, clock, telemetry), OverflowPolicy.BLOCK, _CHAT_LINES)
        case MediaSourceTable(name=name, media=media):
            options = StoredOptions(
                media.start_ns,
                sample_hz,
                telemetry,
                participant=_configured(media.participant),
                channels=media.channels,
            )
            return stored_feed([Path(path) for path in media.paths], media.factor, options, clock, name)
        case RecordedSourceTable(name=name, recorded=recorded):
            options = StoredOptions(sample_hz=sample_hz, telemetry=telemetry)
            return stored_feed([Path(recorded.path)], recorded.factor, options, clock, name)
        case KafkaSourceTable():
            from daemon.kafka.wiring import kafka_source

            return SourceFeed(kafka_source(config, ledger, clock, telemetry), OverflowPolicy.BLOCK, None)


def _configured(participant: str) -> Participant | None:
    return Participant(participant, NamedBy.CONFIG) if participant else None


def _transactions(
    config: Config, feeds: Sequence[SourceFeed], ledger: Ledger, instruments: Instruments
) -> TransactionalSink | None:
    if config.delivery.guarantee != "exactly_once":
        return None
    from daemon.kafka.wiring import transactions

    return transactions(config, [feed.source for feed in feeds], ledger, instruments.clock, instruments.metrics)


def _chat(source: ChatSourceTable, clock: Clock, telemetry: Telemetry) -> Source:
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


def _sink(sink: SinkTable, config: Config, clock: Clock) -> Sink:
    match sink:
        case StdoutSinkTable():
            return JsonLines.stdout()
        case FileSinkTable(file=file):
            return JsonLines.file(Path(file.path))
        case KafkaSinkTable():
            from daemon.kafka.wiring import kafka_sink

            return kafka_sink(config, clock)


def _in_transactions(sink: SinkTable, config: Config) -> bool:
    return isinstance(sink, KafkaSinkTable) and config.delivery.guarantee == "exactly_once"
