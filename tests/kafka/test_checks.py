"""Findings about a Kafka cluster before it is used."""

import os
import socket
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.record import util as kafka_checksums
from kafka.structs import OffsetAndMetadata

from daemon.commands.doctor import diagnose
from daemon.config.source import load
from daemon.kafka.clusters import required_clusters
from streams.findings import Finding, Verdict
from streams.kafka.checks import ChecksFailed, ClusterRequirements, check_cluster, diagnose_cluster
from streams.kafka.connection import Connection
from streams.kafka.reachability import Unreachable
from tests.kafka.broker import Broker, Cluster
from tests.kafka.conftest import Topics

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

TOPICS_SH = Path(__file__).parents[2] / "deploy" / "kafka" / "topics.sh"


def wanted(topics: Topics, **more: object) -> ClusterRequirements:
    every = {
        "inputs": topics.inputs,
        "results": (topics.predictions, topics.alerts),
        "dead_letters": topics.dead_letters,
        "group_id": topics.group,
    }
    return ClusterRequirements(**(every | more))  # type: ignore[arg-type]


def to(cluster: Cluster) -> Connection:
    return Connection((cluster.bootstrap,))


def sentences(findings: tuple[Finding, ...] | list[Finding], verdict: Verdict) -> dict[str, str]:
    return {finding.subject: finding.sentence for finding in findings if finding.verdict is verdict}


def test_a_cluster_as_it_must_be_is_good_throughout(broker: Cluster, topics: Topics) -> None:
    topics.create(partitions=2)
    good = sentences(check_cluster(to(broker), wanted(topics, session_timeout_s=10.0)), Verdict.GOOD)
    assert all(good[name] == "2 partitions" for name in (*topics.inputs, *topics.outputs))
    assert good[broker.bootstrap].startswith("Kafka ")


def test_every_missing_topic_is_reported_with_the_command_that_creates_it(broker: Cluster, topics: Topics) -> None:
    broker.create_topics([topics.video], partitions=1)
    with pytest.raises(ChecksFailed) as raised:
        check_cluster(to(broker), wanted(topics))
    assert len(raised.value.problems) == 5
    assert raised.value.problems[0] == (
        f"{topics.audio}: does not exist; create it (kafka-topics.sh --bootstrap-server {broker.bootstrap} --create "
        f"--topic {topics.audio}, or deploy/kafka/topics.sh for all), or set create_topics"
    )


def test_missing_topics_are_created_where_that_is_wanted(broker: Cluster, topics: Topics) -> None:
    broker.create_topics([topics.video], partitions=5)
    good = sentences(check_cluster(to(broker), wanted(topics, create=True, partitions=5)), Verdict.GOOD)
    assert {good[name] for name in (*topics.inputs, *topics.outputs)} == {"5 partitions"}


def test_a_dead_letter_topic_that_is_created_takes_the_largest_record_and_what_is_added(
    broker: Cluster, topics: Topics
) -> None:
    notes = sentences(check_cluster(to(broker), wanted(topics, create=True)), Verdict.NOTE)
    assert topics.dead_letters not in notes


def test_a_topic_that_cannot_be_created_is_reported_with_the_clusters_reason(broker: Cluster, topics: Topics) -> None:
    with pytest.raises(ChecksFailed, match=rf"{topics.video}: cannot be created: .*replicat"):
        check_cluster(to(broker), wanted(topics, create=True, replication_factor=99))


def test_input_topics_with_unequal_partitions_are_reported_with_the_command_that_corrects_it(
    broker: Cluster, topics: Topics
) -> None:
    broker.create_topics([topics.video], partitions=3)
    broker.create_topics([topics.audio, topics.text, *topics.outputs], partitions=2)
    with pytest.raises(ChecksFailed) as raised:
        check_cluster(to(broker), wanted(topics))
    assert [problem.partition(":")[0] for problem in raised.value.problems] == [topics.audio, topics.text]
    command = f"kafka-topics.sh --bootstrap-server {broker.bootstrap} --alter --topic {topics.audio} --partitions 3"
    assert raised.value.problems[0].endswith(command)


def test_limits_that_would_set_records_aside_are_noted(broker: Cluster, topics: Topics) -> None:
    topics.create(max_message_bytes="2000")
    notes = sentences(check_cluster(to(broker), wanted(topics, largest_record_bytes=1000)), Verdict.NOTE)
    assert notes[topics.text] == "takes records of 2000 bytes; larger ones than 1000 are dead-lettered"
    assert notes[topics.predictions] == "takes at most 2000 bytes; set its max.message.bytes to 100000 or more"
    assert notes[topics.dead_letters].endswith("set its max.message.bytes to 18384 or more")


def test_a_cluster_that_takes_too_little_with_a_commit_is_reported(
    own_broker: Callable[..., Broker], topics: Topics
) -> None:
    small = own_broker(properties={"offset.metadata.max.bytes": "1000"})
    topics.on(small).create()
    with pytest.raises(
        ChecksFailed, match=r"take 1000 bytes with a commit; set their offset\.metadata\.max\.bytes to 4096"
    ):
        check_cluster(to(small), wanted(topics, session_timeout_s=10.0))


def test_a_session_timeout_that_the_cluster_does_not_allow_is_reported(broker: Cluster, topics: Topics) -> None:
    topics.create()
    with pytest.raises(ChecksFailed, match=r"session_timeout_s is 7200; the cluster allows \S+ to 1800"):
        check_cluster(to(broker), wanted(topics, session_timeout_s=7200.0))


def test_a_checksum_in_python_alone_is_too_slow_to_start(
    broker: Cluster, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics.create()
    monkeypatch.setattr(kafka_checksums, "crc32c_c", None)
    with pytest.raises(ChecksFailed, match=r"crc32c: is missing, .* install the package crc32c"):
        check_cluster(to(broker), wanted(topics))


def test_what_the_group_has_still_to_read_is_seen(broker: Cluster, topics: Topics) -> None:
    topics.create(partitions=2)
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap)
    for partition in (0, 0, 0, 1):
        producer.send(topics.text, b"x", partition=partition)
    producer.close(10)
    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap, group_id=topics.group, enable_auto_commit=False)
    first, second = (TopicPartition(topics.text, number) for number in (0, 1))
    consumer.assign([first, second])
    consumer.commit({first: OffsetAndMetadata(1, "", -1), second: OffsetAndMetadata(1, "", -1)})
    consumer.close()
    found = sentences(list(diagnose_cluster(to(broker), wanted(topics))), Verdict.GOOD)
    assert found[topics.group] == f"2 records behind the end of {topics.text}"


def test_a_group_that_never_read_has_nothing_to_be_behind_of(broker: Cluster, topics: Topics) -> None:
    topics.create()
    found = [finding for finding in diagnose_cluster(to(broker), wanted(topics)) if finding.subject == topics.group]
    assert [finding.verdict for finding in found] != [Verdict.BAD]
    assert len(found) == 1


def test_looking_creates_nothing(broker: Cluster, topics: Topics) -> None:
    found = list(diagnose_cluster(to(broker), wanted(topics, create=True)))
    assert sentences(found, Verdict.NOTE)[topics.video] == "does not exist, and is created at the start"
    with pytest.raises(ChecksFailed):
        check_cluster(to(broker), wanted(topics))


def test_a_broker_that_is_away_is_reported_without_waiting_for_it() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        server = f"127.0.0.1:{unused.getsockname()[1]}"
        (found,) = diagnose_cluster(Connection((server,)), ClusterRequirements(inputs=("x",)))
    assert found == Finding(Verdict.BAD, "kafka", f"{server} cannot be reached: Connection refused")


def test_a_broker_that_hangs_is_reported_as_one_that_gives_no_answer(own_broker: Callable[..., Broker]) -> None:
    broker = own_broker()
    broker.pause()
    with pytest.raises(Unreachable, match=r"takes connections and gives no answer; does it hang\?"):
        check_cluster(to(broker), ClusterRequirements(inputs=("x",)))


def test_the_doctor_checks_the_cluster_of_source_and_sink_once(broker: Cluster, topics: Topics, tmp_path: Path) -> None:
    broker.create_topics([*topics.inputs, topics.predictions, topics.dead_letters], partitions=2)  # alerts go nowhere
    file = tmp_path / "kafka.toml"
    file.write_text(
        f"""
        [[sources]]
        kind = "kafka"
        [sources.kafka]
        bootstrap_servers = ["{broker.bootstrap}"]
        group_id = "{topics.group}"
        video_topic = "{topics.video}"
        audio_topic = "{topics.audio}"
        text_topic = "{topics.text}"
        [[sinks]]
        kind = "kafka"
        [sinks.kafka]
        predictions_topic = "{topics.predictions}"
        alerts_topic = "{topics.alerts}"
        dead_letters_topic = "{topics.dead_letters}"
        """,
        encoding="utf-8",
    )
    config = load(file, {})
    assert len(list(required_clusters(config))) == 1
    found = [finding for finding in diagnose(config) if finding.subject in (*topics.inputs, *topics.outputs)]
    assert len(sentences(found, Verdict.GOOD)) == 5
    assert sentences(found, Verdict.BAD) == {}


def run_topics_sh(*arguments: str) -> subprocess.CompletedProcess[str]:
    if not os.environ.get("KAFKA_HOME"):
        pytest.skip("set KAFKA_HOME (folder of an unpacked Apache Kafka 4): its tools are needed")
    starts_sooner = {"KAFKA_JVM_PERFORMANCE_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}
    environment = os.environ | starts_sooner
    return subprocess.run([str(TOPICS_SH), *arguments], env=environment, capture_output=True, text=True, check=False)


def test_the_script_creates_topics_that_pass_every_check_and_can_be_run_again(broker: Cluster) -> None:
    topics = Topics(broker, f"test-{uuid.uuid4().hex[:12]}")
    arguments = ("--bootstrap-server", broker.bootstrap, "--prefix", topics.prefix, "--partitions", "2")
    first = run_topics_sh(*arguments, "--replication-factor", "1")
    assert first.returncode == 0, first.stderr
    found = check_cluster(to(broker), wanted(topics))
    assert sentences(found, Verdict.NOTE) == {}
    again = run_topics_sh(*arguments)
    assert again.returncode == 0, again.stderr
    assert check_cluster(to(broker), wanted(topics)) == found


def test_the_script_says_how_it_is_used() -> None:
    helped, wrong = run_topics_sh("--help"), run_topics_sh("--partitions", "0", "--bootstrap-server", "x:1")
    assert helped.stdout.startswith("usage: topics.sh --bootstrap-server")
    assert (helped.returncode, wrong.returncode) == (0, 64)
    assert "--partitions must be a whole number above 0" in wrong.stderr
