"""From configuration to sources, sinks and limits."""

import json
from pathlib import Path

import pytest

from daemon.config import Config
from daemon.config.source import load
from daemon.telemetry.instruments import Instruments
from daemon.wiring import SourceFeed, build_endpoints, limits, timeline_config
from streams.channels.channel import OverflowPolicy
from streams.clock import NS_PER_MS, NS_PER_S
from streams.kafka.source import KafkaSource
from streams.records import MEDIA, Modality
from streams.sinks.base import SinkError
from streams.sources.chat.posted import PostedChat
from streams.sources.chat.socket_server import SocketChat
from streams.sources.chat.standard_input import StdinChat
from streams.sources.chat.tailed_file import TailedChat
from streams.sources.devices.camera import Camera
from streams.sources.devices.microphone import Microphone
from streams.sources.stored.playback import Playback
from tests.daemon.making import instruments

pytestmark = pytest.mark.unit


def configured(folder: Path, toml: str) -> Config:
    file = folder / "affectd.toml"
    file.write_text(toml, encoding="utf-8")
    return load(file, {})


def source(folder: Path, kind: str, settings: str, of: Instruments | None = None) -> SourceFeed:
    toml = f'[[sources]]\nkind = "{kind}"\nname = "front"\n[sources.{kind}]\n{settings}\n'
    [feed] = build_endpoints(configured(folder, toml), of or instruments()).feeds
    return feed


@pytest.mark.parametrize(
    ("kind", "settings", "type_", "policy", "live", "modalities"),
    [
        ("camera", 'session = "room"', Camera, OverflowPolicy.DROP_OLDEST, True, {Modality.VIDEO}),
        (
            "camera",
            'session = "room"\ndevice = "rtsp://x/1"',
            Camera,
            OverflowPolicy.DROP_OLDEST,
            True,
            {Modality.VIDEO},
        ),
        ("microphone", 'session = "room"', Microphone, OverflowPolicy.DROP_OLDEST, True, {Modality.AUDIO}),
        ("chat", 'transport = "stdin"\nsession = "room"', StdinChat, OverflowPolicy.BLOCK, True, {Modality.TEXT}),
        (
            "chat",
            'transport = "file"\npath = "x"\nsession = "room"',
            TailedChat,
            OverflowPolicy.BLOCK,
            True,
            {Modality.TEXT},
        ),
        (
            "chat",
            'transport = "unix"\npath = "x"\nsession = "room"',
            SocketChat,
            OverflowPolicy.BLOCK,
            True,
            {Modality.TEXT},
        ),
        (
            "chat",
            'transport = "tcp"\naddress = "127.0.0.1:0"\nsession = "room"',
            SocketChat,
            OverflowPolicy.BLOCK,
            True,
            {Modality.TEXT},
        ),
        ("chat", 'transport = "http"', PostedChat, OverflowPolicy.BLOCK, True, {Modality.TEXT}),
        ("media", 'paths = ["x.mp4"]', Playback, OverflowPolicy.BLOCK, False, set(MEDIA)),
        ("recorded", 'path = "room"', Playback, OverflowPolicy.BLOCK, False, set(MEDIA)),
        ("kafka", 'bootstrap_servers = ["127.0.0.1:9092"]', KafkaSource, OverflowPolicy.BLOCK, True, set(MEDIA)),
    ],
)
def test_each_kind_becomes_its_source_with_its_policy(
    tmp_path: Path, kind: str, settings: str, type_: type, policy: OverflowPolicy, live: bool, modalities: set[Modality]
) -> None:
    feed = source(tmp_path, kind, settings)
    assert type(feed.source) is type_
    assert feed.source.name == "front"
    assert feed.policy is policy
    assert feed.source.live is live
    assert feed.source.modalities == modalities
    assert (feed.capacity is None) is (kind == "kafka")  # a log watches how much waits by itself


def test_a_camera_holds_no_more_than_the_newest_pictures(tmp_path: Path) -> None:
    assert source(tmp_path, "camera", 'session = "room"').capacity == 2


def test_sources_and_sinks_keep_the_order_of_their_tables(tmp_path: Path) -> None:
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    config = configured(
        tmp_path,
        f"""
        [[sources]]
        kind = "media"
        [sources.media]
        paths = ["x.mp4"]
        [[sources]]
        kind = "chat"
        [sources.chat]
        transport = "http"
        [[sinks]]
        kind = "file"
        [sinks.file]
        path = {json.dumps(str(one))}
        [[sinks]]
        kind = "stdout"
        [[sinks]]
        kind = "file"
        [sinks.file]
        path = {json.dumps(str(two))}
        """,
    )
    assert [feed.source.name for feed in build_endpoints(config, instruments()).feeds] == ["media", "chat"]
    sinks = build_endpoints(config, instruments()).sinks
    assert [sink.name for sink in sinks] == [str(one), "stdout", str(two)]
    for sink in sinks:
        sink.close()


def test_without_sinks_predictions_go_to_standard_output() -> None:
    assert [sink.name for sink in build_endpoints(Config(), instruments()).sinks] == ["stdout"]


def test_a_file_of_predictions_is_appended_to(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_bytes(b"before\n")
    toml = f'[[sinks]]\nkind = "file"\n[sinks.file]\npath = "{out}"\n'
    [sink] = build_endpoints(configured(tmp_path, toml), instruments()).sinks
    sink.close()
    assert out.read_bytes() == b"before\n"


def test_a_sink_that_cannot_be_written_is_found_when_it_is_built(tmp_path: Path) -> None:
    config = configured(tmp_path, f'[[sinks]]\nkind = "file"\n[sinks.file]\npath = "{tmp_path}"\n')
    with pytest.raises(SinkError, match=str(tmp_path)):
        build_endpoints(config, instruments())


def test_windows_and_sampling_are_those_configured(tmp_path: Path) -> None:
    made = timeline_config(
        configured(
            tmp_path,
            """
            [windows]
            size_s = 6.0
            step_s = 2.0
            disorder_bound_ms = 250
            smoothing_s = 4.0
            grace_s = 1.5
            idle_after_s = 2.0
            [video]
            sample_hz = 2.5
            """,
        )
    )
    assert (made.grid.size_ns, made.grid.step_ns) == (6 * NS_PER_S, 2 * NS_PER_S)
    assert (made.watermark.disorder_bound_ns, made.watermark.idle_after_ns) == (250 * NS_PER_MS, 2 * NS_PER_S)
    assert made.grace_ns == 1_500 * NS_PER_MS
    assert (made.lookback_ns, made.lookback_windows) == (4 * NS_PER_S, 2)
    assert made.sample_hz == 2.5


def test_limits_are_those_configured(tmp_path: Path) -> None:
    made = limits(configured(tmp_path, "[video]\nmax_pixels = 5000\n[text]\nmax_line_bytes = 100\n"))
    assert (made.max_pixels, made.max_line_bytes) == (5000, 100)


KAFKA = """
[[sources]]
kind = "kafka"
[sources.kafka]
bootstrap_servers = ["127.0.0.1:9092"]
[[sinks]]
kind = "kafka"
[[sinks]]
kind = "stdout"
"""


def test_predictions_go_to_kafka_beside_other_sinks(tmp_path: Path) -> None:
    endpoints = build_endpoints(configured(tmp_path, KAFKA), instruments())
    assert [sink.name for sink in endpoints.sinks] == ["kafka", "stdout"]
    assert endpoints.transactions is None


def test_exactly_once_takes_kafka_out_of_the_sinks_and_into_transactions(tmp_path: Path) -> None:
    toml = KAFKA + '[delivery]\nguarantee = "exactly_once"\n'
    endpoints = build_endpoints(configured(tmp_path, toml), instruments())
    assert [sink.name for sink in endpoints.sinks] == ["stdout"]
    assert endpoints.transactions is not None
