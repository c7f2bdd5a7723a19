"""What the configuration says about Kafka, and what it says when that contradicts itself."""

from pathlib import Path

import pytest

from daemon.config import Config
from daemon.config.errors import ConfigurationError
from daemon.config.kafka import DeliverySettings, KafkaSourceSettings
from daemon.config.reference import effective
from daemon.config.source import load
from streams.kafka.connection import Connection, Security

pytestmark = pytest.mark.unit

SOURCE = '[[sources]]\nkind = "kafka"\n[sources.kafka]\nbootstrap_servers = ["a:9092"]\n'
SINK = '[[sinks]]\nkind = "kafka"\n'


def read(folder: Path, text: str) -> Config:
    file = folder / "kafka.toml"
    file.write_text(text, encoding="utf-8")
    return load(file, {})


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        read(folder, text)
    return [problem.removeprefix(f"{folder}/") for problem in raised.value.problems]


def test_a_source_needs_nothing_but_its_servers(tmp_path: Path) -> None:
    source = read(tmp_path, SOURCE).kafka_source
    assert source is not None
    assert (source.name, source.kafka.group_id, source.kafka.start) == ("kafka", "affectd", "earliest")
    assert source.kafka.connection == Connection(("a:9092",), Security())
    assert source.kafka.topics == {"video": "affectd.video", "audio": "affectd.audio", "text": "affectd.text"}
    assert source.kafka.high_mark_bytes == 64 * 2**20


def test_a_modality_without_a_topic_is_not_read(tmp_path: Path) -> None:
    source = read(tmp_path, SOURCE + 'video_topic = ""\naudio_topic = "sound"\n').kafka_source
    assert source is not None
    assert source.kafka.topics == {"audio": "sound", "text": "affectd.text"}


def test_reading_from_kafka_and_writing_to_it_takes_a_few_lines(tmp_path: Path) -> None:
    text = """
        [windows]     # event time
        size_s = 4.0
        step_s = 1.0
        disorder_bound_ms = 500
        grace_s = 0.0
        idle_after_s = 3.0
        [[sources]]
        kind = "kafka"            # or camera, microphone, chat, media
        [sources.kafka]
        bootstrap_servers = ["127.0.0.1:9092"]
        group_id = "affectd"
        [model]
        path = "default"          # or a folder
        device = "auto"
        [[sinks]]
        kind = "kafka"
        [privacy]
        purpose = "customer-service"
        jurisdiction = "EU"
        [http]
        bind = "127.0.0.1:9109"
    """
    config = read(tmp_path, text)
    assert config.kafka_sink is not None
    sink = config.kafka_sink.kafka
    topics = (sink.predictions_topic, sink.alerts_topic, sink.dead_letters_topic)
    assert topics == ("affectd.predictions", "affectd.alerts", "affectd.dead-letters")
    assert config.kafka_sink_connection == Connection(("127.0.0.1:9092",))


def test_a_sink_without_servers_writes_to_the_cluster_that_is_read_from(tmp_path: Path) -> None:
    security = '[sources.kafka.security]\nprotocol = "tls"\nca_file = "ca.pem"\n'
    config = read(tmp_path, SOURCE + security + SINK)
    assert config.kafka_sink_connection == Connection(("a:9092",), Security("tls", ca_file="ca.pem"))


def test_a_sink_with_servers_has_a_security_of_its_own(tmp_path: Path) -> None:
    own = '[sinks.kafka]\nbootstrap_servers = ["b:9093"]\nsecurity = { protocol = "tls" }\n'
    config = read(tmp_path, SOURCE + SINK + own)
    assert config.kafka_sink_connection == Connection(("b:9093",), Security("tls"))


def test_without_a_kafka_sink_there_is_nowhere_to_write() -> None:
    assert Config().kafka_sink_connection is None


@pytest.mark.parametrize(
    ("delivery", "source", "expected"),
    [
        (DeliverySettings(transactional_id="mine"), KafkaSourceSettings(bootstrap_servers=("a:1",)), "mine"),
        (DeliverySettings(), KafkaSourceSettings(bootstrap_servers=("a:1",), instance_id="one"), "affectd.one"),
        (DeliverySettings(), KafkaSourceSettings(bootstrap_servers=("a:1",), group_id="g"), "g.host-7"),
    ],
)
def test_every_instance_has_a_transactional_id_of_its_own(
    delivery: DeliverySettings, source: KafkaSourceSettings, expected: str
) -> None:
    assert delivery.transactional_id_of(source, "host-7") == expected


@pytest.mark.parametrize(
    ("security", "expected"),
    [
        ('protocol = "sasl_tls"', ["mechanism: is required with protocol sasl_tls"]),
        ('mechanism = "PLAIN"', ["mechanism: has no meaning with protocol plaintext"]),
        (
            'protocol = "sasl_tls"\nmechanism = "PLAIN"',
            [
                "password_file: is required with mechanism PLAIN",
                "username: is required with mechanism PLAIN",
            ],
        ),
        (
            'protocol = "sasl_plaintext"\nmechanism = "OAUTHBEARER"\nusername = "u"',
            [
                "token_file: is required with mechanism OAUTHBEARER",
                "username: has no meaning with mechanism OAUTHBEARER",
            ],
        ),
        ('ca_file = "ca.pem"', ["ca_file: has no meaning with protocol plaintext"]),
        ('protocol = "tls"\nkey_file = "k"', ["certificate_file: is required with a key"]),
        ('protocol = "tls"\nusername = "u"', ["username: has no meaning with protocol tls"]),
        (
            'protocol = "tls"\nca_file = "credential:../ca"',
            [
                'ca_file: must be a path, or "credential:NAME" with a name that systemd\'s LoadCredential= gives '
                '(is "credential:../ca")'
            ],
        ),
    ],
)
def test_a_security_that_contradicts_itself_is_told_key_by_key(
    tmp_path: Path, security: str, expected: list[str]
) -> None:
    found = problems(tmp_path, f"{SOURCE}[sources.kafka.security]\n{security}\n")
    at_keys = [problem.partition(" sources[0].kafka.security.")[2] for problem in found]
    assert len(at_keys) == len(expected)
    assert all(told.startswith(sentence) for told, sentence in zip(at_keys, expected, strict=True)), at_keys


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            SINK,
            "kafka.toml:1 sinks[0].kafka.bootstrap_servers: is required where there is no Kafka source to take it from"
            " (is [])",
        ),
        (
            SOURCE + 'video_topic = ""\naudio_topic = ""\ntext_topic = ""\n',
            "kafka.toml:7 sources[0].kafka.text_topic: must be set, or another of the topics: this source reads nothing"
            ' (is "")',
        ),
        (
            SOURCE + 'video_topic = "x"\naudio_topic = "x"\n',
            "kafka.toml:6 sources[0].kafka.audio_topic: must be a topic of its own; another modality is read from it"
            ' (is "x")',
        ),
        (
            SOURCE + SINK + '[sinks.kafka]\ndead_letters_topic = "affectd.text"\n',
            "kafka.toml:8 sinks[0].kafka.dead_letters_topic: must be a topic of its own; records are read from it"
            ' (is "affectd.text")',
        ),
        (
            SOURCE + SINK + '[sinks.kafka]\nalerts_topic = "affectd.predictions"\n',
            "kafka.toml:8 sinks[0].kafka.alerts_topic: must be a topic of its own; something else is written to it"
            ' (is "affectd.predictions")',
        ),
        (
            SOURCE + SINK + '[sinks.kafka]\nsecurity = { protocol = "tls" }\n',
            "kafka.toml:8 sinks[0].kafka.security: has no meaning without bootstrap_servers: servers and security are"
            ' the Kafka source\'s (is "tls")',
        ),
        (
            SOURCE + SINK + SINK,
            'kafka.toml:8 sinks[1].kind: there may be one of this kind; sinks[0] is one (is "kafka")',
        ),
        (
            SOURCE + SOURCE + 'video_topic = "v"\n[[sources]]\nkind = "chat"\nchat = { transport = "http" }\n',
            'kafka.toml:5 sources[1].name: must be unique; another source has this name (is "kafka")',
        ),
        (
            SOURCE + "[delivery]\nguarantee = 'exactly_once'\n",
            'kafka.toml:6 delivery.guarantee: needs a Kafka source and a Kafka sink (is "exactly_once")',
        ),
        (
            SOURCE + SINK + "[sinks.kafka]\nbootstrap_servers = ['b:1']\n[delivery]\nguarantee = 'exactly_once'\n",
            "kafka.toml:10 delivery.guarantee: needs source and sink on one cluster; leave out the sink's"
            ' bootstrap_servers (is "exactly_once")',
        ),
        (
            SOURCE + SINK + "[windows]\ngrace_s = 1.0\n[delivery]\nguarantee = 'exactly_once'\n",
            "kafka.toml:8 windows.grace_s: must be 0 with delivery.guarantee exactly_once: a window that is revised is"
            " published again (is 1.0)",
        ),
        (
            SOURCE + "[delivery]\ntransactional_id = 'x'\n",
            'kafka.toml:6 delivery.transactional_id: has no meaning with guarantee at_least_once (is "x")',
        ),
        (
            '[[sources]]\nkind = "kafka"\n[sources.kafka]\nbootstrap_servers = ["SSL://a:9092"]\n',
            'kafka.toml:4 sources[0].kafka.bootstrap_servers: must be "host:port" each, such as "127.0.0.1:9092"'
            ' (is ["SSL://a:9092"])',
        ),
    ],
)
def test_what_cannot_be_meant_together_is_told_where_it_stands(tmp_path: Path, text: str, expected: str) -> None:
    assert problems(tmp_path, text)[0] == expected


def test_exactly_once_is_one_cluster_read_and_written(tmp_path: Path) -> None:
    config = read(tmp_path, SOURCE + SINK + "[delivery]\nguarantee = 'exactly_once'\n")
    assert config.delivery.guarantee == "exactly_once"


def test_a_password_has_no_key_and_is_not_shown_where_it_is_put_into_one(tmp_path: Path) -> None:
    security = '[sources.kafka.security]\nprotocol = "sasl_tls"\nmechanism = "PLAIN"\npassword = "hunter2"\n'
    found = problems(tmp_path, SOURCE + security)
    assert "kafka.toml:8 sources[0].kafka.security.password: unknown key; did you mean password_file?" in found
    assert "hunter2" not in "\n".join(found)


def test_the_effective_configuration_names_files_and_never_what_they_hold(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2\n", encoding="utf-8")
    security = (
        f'protocol = "sasl_plaintext"\nmechanism = "PLAIN"\nusername = "u"\npassword_file = "{tmp_path}/password"'
    )
    config = read(tmp_path, f"{SOURCE}[sources.kafka.security]\n{security}\n{SINK}")
    shown = effective(config)
    assert f'password_file = "{tmp_path}/password"' in shown
    assert "hunter2" not in shown
    assert read(tmp_path, shown) == config
