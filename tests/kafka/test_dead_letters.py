"""`affectd dead-letters` on a real broker: lists and resubmits, each once."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord

from daemon.cli.main import main
from daemon.commands import dead_letters
from daemon.exit_codes import ExitCode
from streams.clock import NS_PER_S
from streams.coordinates import Coordinates, Partition
from streams.formats import rfc3339
from streams.kafka import bounded_producer, dead_letter_topic
from streams.kafka.bounded_producer import BoundedProducer
from streams.kafka.contract import InputTopic, KafkaMessage, from_kafka
from streams.kafka.dead_letters import dead_letter_message
from streams.kafka.errors import BrokerUnavailable
from streams.reasons import DeadLetterReason
from streams.records import Modality, Record, RejectedRecord
from tests.kafka.conftest import Topics

pytestmark = pytest.mark.kafka

Captured = pytest.CaptureFixture[str]
START_NS = rfc3339.parse("2026-01-01T00:00:00Z")
PLAIN = (("content-type", b"text/plain"),)


@pytest.fixture(autouse=True)
def _own_group(topics: Topics, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was sent once more is remembered for one test alone."""
    monkeypatch.setattr(dead_letter_topic, "GROUP_ID", topics.group)


def rejected(
    topics: Topics, number: int, reason: str = "corrupt", headers: Any = PLAIN, at: Any = None
) -> RejectedRecord:
    """Record `number` of the text topic, written `number` seconds after the first."""
    at_ns = START_NS + number * NS_PER_S
    partition = at or Partition(topics.text, 1)
    coordinates = Coordinates(partition, number, at_ns, b"room", headers)
    return RejectedRecord(
        Modality.TEXT, b"hello %d" % number, at_ns, coordinates, DeadLetterReason(reason), f"{number} is wrong"
    )


def write(
    topics: Topics, letters: Sequence[RejectedRecord | KafkaMessage], aborted: bool = False, **options: Any
) -> None:
    """Into partition 0 of the dead-letter topic, in this order."""
    with KafkaProducer(bootstrap_servers=topics.cluster.bootstrap, **options) as producer:
        transactional = "transactional_id" in options
        if transactional:
            producer.init_transactions()
            producer.begin_transaction()
        for letter in letters:
            key, value, headers = dead_letter_message(letter) if isinstance(letter, RejectedRecord) else letter
            producer.send(topics.dead_letters, value, key, headers, 0)
        producer.flush()
        if transactional:
            producer.abort_transaction() if aborted else producer.commit_transaction()


def run(topics: Topics, tmp_path: Path, *arguments: str) -> int:
    file = tmp_path / "kafka.toml"
    file.write_text(
        f'[[sources]]\nkind = "kafka"\n[sources.kafka]\nbootstrap_servers = ["{topics.cluster.bootstrap}"]\n'
        f'[[sinks]]\nkind = "kafka"\n[sinks.kafka]\ndead_letters_topic = "{topics.dead_letters}"\n'
    )
    return main(["dead-letters", *arguments, "--config", str(file)])


def shown(capsys: Captured) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def sent(topics: Topics) -> list[ConsumerRecord]:
    """What lies in the text topic."""
    with KafkaConsumer(bootstrap_servers=topics.cluster.bootstrap, auto_offset_reset="earliest") as consumer:
        partitions = [TopicPartition(topics.text, number) for number in consumer.partitions_for_topic(topics.text)]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        found: list[ConsumerRecord] = []
        while any(consumer.position(at) < ends[at] for at in partitions):
            for polled in consumer.poll(timeout_ms=1000).values():
                found += polled
    return found


def values(topics: Topics) -> list[bytes]:
    return [message.value for message in sent(topics)]


def test_letters_are_listed_without_content_and_names(topics: Topics, tmp_path: Path, capsys: Captured) -> None:
    topics.create()
    write(topics, [rejected(topics, 5)])
    assert run(topics, tmp_path) == ExitCode.OK
    output = capsys.readouterr().out
    assert json.loads(output) == {
        "topic": topics.dead_letters,
        "partition": 0,
        "offset": 0,
        "original": {"topic": topics.text, "partition": 1, "offset": 5},
        "reason": "corrupt",
        "message": "5 is wrong",
        "first_seen": "2026-01-01T00:00:05Z",
        "attempts": 0,
        "size_bytes": 7,
        "sent_before": False,
    }
    assert "hello" not in output
    assert "room" not in output


@pytest.mark.parametrize(
    ("arguments", "offsets"),
    [
        ([], [0, 1, 2]),
        (["list"], [0, 1, 2]),
        (["--reason", "empty"], [1]),
        (["--reason", "empty", "--reason", "oversized"], [1, 2]),
        (["--since", "2026-01-01T00:00:01Z"], [1, 2]),
        (["--offset", "0:0", "--offset", "0:2"], [0, 2]),
        (["--reason", "empty", "--offset", "0:2"], []),
    ],
)
def test_letters_can_be_picked(
    topics: Topics, tmp_path: Path, capsys: Captured, arguments: list[str], offsets: list[int]
) -> None:
    topics.create()
    write(topics, [rejected(topics, number, why) for number, why in enumerate(["corrupt", "empty", "oversized"])])
    assert run(topics, tmp_path, *arguments) == ExitCode.OK
    assert [letter["offset"] for letter in shown(capsys)] == offsets


def test_an_empty_topic_has_no_letters(topics: Topics, tmp_path: Path, capsys: Captured) -> None:
    topics.create()
    assert run(topics, tmp_path) == run(topics, tmp_path, "replay") == ExitCode.OK
    output = capsys.readouterr()
    assert (output.out, output.err) == ("", "no letter is to be sent\n")


def test_a_letter_goes_back_as_it_came_and_keeps_its_event_time(topics: Topics, tmp_path: Path) -> None:
    topics.create()
    write(topics, [rejected(topics, 5)])
    assert run(topics, tmp_path, "replay") == ExitCode.OK
    (message,) = sent(topics)
    assert (message.partition, message.key, message.value) == (1, b"room", b"hello 5")
    assert dict(message.headers) == {
        "content-type": b"text/plain",
        "ce_time": b"2026-01-01T00:00:05Z",
        "x-resubmitted": b"1",
    }
    record = from_kafka(message, InputTopic(topics.text, Modality.TEXT, "text/plain"), message.timestamp * 1_000_000)
    assert isinstance(record, Record)
    assert record.event_time_ns == START_NS + 5 * NS_PER_S


def test_a_letter_that_comes_back_says_how_often_it_was_sent(topics: Topics, tmp_path: Path, capsys: Captured) -> None:
    topics.create()
    write(topics, [rejected(topics, 5)])
    for _ in range(2):
        assert run(topics, tmp_path, "replay") == ExitCode.OK
        again = sent(topics)[-1]
        write(topics, [rejected(topics, 6, headers=tuple(again.headers))])
    capsys.readouterr()
    assert run(topics, tmp_path, "list") == ExitCode.OK
    assert [(letter["attempts"], letter["sent_before"]) for letter in shown(capsys)] == [
        (0, True),
        (1, True),
        (2, False),
    ]


def test_a_record_that_comes_back_each_time_is_sent_three_times_at_most_unless_all_are_selected(
    topics: Topics, tmp_path: Path, capsys: Captured
) -> None:
    topics.create()
    write(topics, [rejected(topics, 5)])
    for _ in range(5):
        assert run(topics, tmp_path, "replay") == ExitCode.OK
        again = sent(topics)[-1]
        if len(values(topics)) < 4:
            write(topics, [rejected(topics, 6, headers=tuple(again.headers))])
    assert len(values(topics)) == 3
    assert "1 came back 3 times or more" in capsys.readouterr().err
    assert run(topics, tmp_path, "replay", "--all", "--offset", "0:3") == ExitCode.OK
    assert dict(sent(topics)[-1].headers)["x-resubmitted"] == b"4"


def test_a_letter_is_sent_once_unless_all_are_selected(topics: Topics, tmp_path: Path, capsys: Captured) -> None:
    topics.create()
    write(topics, [rejected(topics, number) for number in range(3)])
    assert run(topics, tmp_path, "replay", "--offset", "0:1") == ExitCode.OK
    assert values(topics) == [b"hello 1"]
    assert run(topics, tmp_path, "replay") == ExitCode.OK
    assert values(topics) == [b"hello 1", b"hello 0", b"hello 2"]
    assert "1 were sent before" in capsys.readouterr().err
    assert run(topics, tmp_path, "replay") == ExitCode.OK
    assert len(values(topics)) == 3
    assert run(topics, tmp_path, "replay", "--all") == ExitCode.OK
    assert len(values(topics)) == 6


def test_a_dry_run_shows_what_would_be_sent_and_sends_nothing(topics: Topics, tmp_path: Path, capsys: Captured) -> None:
    topics.create()
    write(topics, [rejected(topics, 0), rejected(topics, 1, "empty")])
    assert run(topics, tmp_path, "replay", "--dry-run", "--reason", "empty") == ExitCode.OK
    output = capsys.readouterr()
    assert [json.loads(line)["offset"] for line in output.out.splitlines()] == [1]
    assert output.err == "1 letters would be sent\n"
    assert values(topics) == []


def test_letters_of_many_transactions_are_remembered_as_one_stretch(topics: Topics, tmp_path: Path) -> None:
    topics.create()
    write(topics, [rejected(topics, 0, "empty")])
    with KafkaProducer(bootstrap_servers=topics.cluster.bootstrap, transactional_id=topics.group) as producer:
        producer.init_transactions()
        for number in range(1, 4):
            producer.begin_transaction()
            key, value, headers = dead_letter_message(rejected(topics, number))
            producer.send(topics.dead_letters, value, key, headers, 0)
            producer.commit_transaction()
    assert run(topics, tmp_path, "replay", "--reason", "corrupt") == ExitCode.OK
    with KafkaConsumer(bootstrap_servers=topics.cluster.bootstrap, group_id=topics.group) as consumer:
        committed = consumer.committed(TopicPartition(topics.dead_letters, 0), metadata=True)
    assert (committed.offset, committed.metadata) == (0, "1-5")
    assert run(topics, tmp_path, "replay") == ExitCode.OK
    assert values(topics) == [b"hello 1", b"hello 2", b"hello 3", b"hello 0"]


def test_what_an_aborted_transaction_wrote_is_no_letter(topics: Topics, tmp_path: Path, capsys: Captured) -> None:
    topics.create()
    write(topics, [rejected(topics, 0)], transactional_id=topics.group)
    write(topics, [rejected(topics, 1)], transactional_id=topics.group, aborted=True)
    assert run(topics, tmp_path, "replay") == ExitCode.OK
    assert values(topics) == [b"hello 0"]
    write(topics, [rejected(topics, 2)])
    assert run(topics, tmp_path, "replay") == ExitCode.OK
    assert values(topics) == [b"hello 0", b"hello 2"]


def test_a_command_that_fails_goes_on_where_it_was(
    topics: Topics, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics.create()
    write(topics, [rejected(topics, number) for number in range(5)])
    monkeypatch.setattr(dead_letters, "_REMEMBERED_EVERY", 2)
    send = BoundedProducer.send

    def send_three(self: BoundedProducer, topic: str, message: KafkaMessage, partition: int | None = None) -> None:
        if message.value == b"hello 3":
            raise BrokerUnavailable("it is away")
        send(self, topic, message, partition)

    with monkeypatch.context() as broken:
        broken.setattr(BoundedProducer, "send", send_three)
        assert run(topics, tmp_path, "replay") == ExitCode.UNAVAILABLE
    assert "2 letters were sent once more\nit is away\n" in capsys.readouterr().err
    assert run(topics, tmp_path, "replay") == ExitCode.OK
    assert set(values(topics)) == {b"hello %d" % number for number in range(5)}
    assert values(topics).count(b"hello 0") == 1


def test_a_letter_that_cannot_be_addressed_is_reported_and_does_not_stop_the_others(
    topics: Topics, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_producer, "_REQUEST_TIMEOUT_MS", 1500)
    topics.create()
    strange = KafkaMessage(None, b"by hand", [("x-topic", b"\xff"), ("x-partition", b"one")])
    gone = [
        rejected(topics, 1, at=Partition(f"{topics.text}-gone", 0)),
        rejected(topics, 2, at=Partition(topics.text, 9)),
    ]
    write(topics, [strange, *gone, rejected(topics, 3)])
    assert run(topics, tmp_path, "replay") == ExitCode.BAD_DATA
    assert values(topics) == [b"hello 3"]
    assert "3 cannot be sent" in capsys.readouterr().err


def test_a_pick_too_scattered_to_be_remembered_is_refused_before_anything_is_sent(
    topics: Topics, tmp_path: Path, capsys: Captured
) -> None:
    topics.create()
    write(topics, [rejected(topics, number, "empty" if number % 2 else "corrupt") for number in range(1400)])
    assert run(topics, tmp_path, "replay", "--reason", "empty") == ExitCode.USAGE
    assert "nothing was sent" in capsys.readouterr().err
    assert values(topics) == []
    assert run(topics, tmp_path, "replay") == ExitCode.OK
    assert len(values(topics)) == 1400


def test_a_topic_that_is_not_there_is_named(topics: Topics, tmp_path: Path, capsys: Captured) -> None:
    assert run(topics, tmp_path) == ExitCode.UNAVAILABLE
    assert f"topic {topics.dead_letters} does not exist" in capsys.readouterr().err
