"""Which cluster and topics a command speaks to."""

from pathlib import Path

import click
import pytest

from daemon.config import Config
from daemon.config.errors import ConfigurationError
from daemon.config.source import load
from daemon.kafka.endpoints import dead_letter_topic, inputs
from streams.kafka.contract import InputTopic
from streams.records import Modality

pytestmark = pytest.mark.unit

SOURCE = """
[[sources]]
kind = "kafka"
[sources.kafka]
bootstrap_servers = ["in:1"]
video_topic = "faces"
video_content_type = "image/webp"
audio_topic = ""
"""
SINK = '[[sinks]]\nkind = "kafka"\n[sinks.kafka]\ndead_letters_topic = "aside"\n'
ELSEWHERE = SINK + 'bootstrap_servers = ["out:1"]\n'


def configured(tmp_path: Path, text: str) -> tuple[Config, Path]:
    file = tmp_path / "kafka.toml"
    file.write_text(text)
    return load(file, {}), file


def test_the_topics_of_a_configured_source_are_those_of_the_modalities_it_reads(tmp_path: Path) -> None:
    config, file = configured(tmp_path, SOURCE)
    found = inputs(config, file, None)
    assert found.connection.bootstrap_servers == ("in:1",)
    assert found.topics == {
        Modality.VIDEO: InputTopic("faces", Modality.VIDEO, "image/webp"),
        Modality.TEXT: InputTopic("affectd.text", Modality.TEXT, "text/plain"),
    }


@pytest.mark.parametrize(("server", "asked"), [(None, "127.0.0.1:9092"), ("there:9", "there:9")])
def test_without_a_configuration_the_topics_have_their_usual_names(server: str | None, asked: str) -> None:
    found = inputs(Config(), None, server)
    assert found.connection.bootstrap_servers == (asked,)
    assert {topic.name for topic in found.topics.values()} == {"affectd.video", "affectd.audio", "affectd.text"}
    letters = dead_letter_topic(Config(), None, server)
    assert (letters.name, letters.origin.bootstrap_servers) == ("affectd.dead-letters", (asked,))


@pytest.mark.parametrize(
    ("text", "kept", "came_from"),
    [(SOURCE + SINK, "in:1", "in:1"), (SOURCE + ELSEWHERE, "out:1", "in:1"), (ELSEWHERE, "out:1", "out:1")],
)
def test_dead_letters_lie_where_the_sink_writes_and_go_back_where_the_source_reads(
    tmp_path: Path, text: str, kept: str, came_from: str
) -> None:
    config, file = configured(tmp_path, text)
    letters = dead_letter_topic(config, file, None)
    assert letters.name == "aside"
    assert letters.connection.bootstrap_servers == (kept,)
    assert letters.origin.bootstrap_servers == (came_from,)


def test_a_configuration_without_kafka_is_no_configuration_of_a_cluster(tmp_path: Path) -> None:
    config, file = configured(tmp_path, "")
    with pytest.raises(ConfigurationError, match="none is of kind kafka"):
        inputs(config, file, None)


def test_a_broker_is_named_by_host_and_port() -> None:
    with pytest.raises(click.UsageError, match='must be "host:port"'):
        inputs(Config(), None, "nowhere")
