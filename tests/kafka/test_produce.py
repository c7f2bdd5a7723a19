"""`affectd produce` on a real broker sends what `affectd replay` plays."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord

from daemon.cli.main import main
from daemon.exit_codes import ExitCode
from daemon.sample import SAMPLE
from streams.clock import NS_PER_S, ManualClock, SystemClock
from streams.decoding import pictures
from streams.events import Picture
from streams.formats import rfc3339
from streams.kafka import bounded_producer
from streams.kafka.contract import InputTopic, from_kafka
from streams.records import MEDIA, RAW_PICTURE, Modality, Record
from streams.sources.stored.discovery import StoredOptions, stored_sessions
from streams.sources.stored.playback import Playback
from tests.kafka.broker import Broker
from tests.kafka.conftest import Topics

pytestmark = pytest.mark.kafka

Captured = pytest.CaptureFixture[str]
MAX_SIDE_PX = 640
SAMPLE_HZ = 1.0
START = "2000-01-01T00:00:00Z"  # where replay starts


def configured(topics: Topics, tmp_path: Path) -> str:
    """A configuration file that names the topics."""
    file = tmp_path / "kafka.toml"
    names = "\n".join(f'{modality}_topic = "{getattr(topics, modality)}"' for modality in MEDIA)
    file.write_text(
        f"[video]\nsample_hz = {SAMPLE_HZ}\nmax_side_px = {MAX_SIDE_PX}\n"
        f'[[sources]]\nkind = "kafka"\n[sources.kafka]\nbootstrap_servers = ["{topics.cluster.bootstrap}"]\n{names}\n'
    )
    return str(file)


def messages(topics: Topics, modality: Modality) -> list[ConsumerRecord]:
    """All messages of a modality's topic, partition by partition."""
    name = getattr(topics, modality)
    with KafkaConsumer(bootstrap_servers=topics.cluster.bootstrap, auto_offset_reset="earliest") as consumer:
        partitions = [TopicPartition(name, number) for number in consumer.partitions_for_topic(name)]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        found: list[ConsumerRecord] = []
        while any(consumer.position(at) < ends[at] for at in partitions):
            for polled in consumer.poll(timeout_ms=1000).values():
                found += polled
    return found


def arrived(topics: Topics, modality: Modality) -> list[Record]:
    topic = InputTopic(getattr(topics, modality), modality, "application/octet-stream")
    items = [from_kafka(message, topic, message.timestamp * 1_000_000) for message in messages(topics, modality)]
    return [item for item in items if isinstance(item, Record)]


def played(*paths: Path) -> Iterator[Record]:
    """What `affectd replay` would play."""
    items: list[object] = []
    sessions = stored_sessions(paths, StoredOptions(sample_hz=SAMPLE_HZ))
    Playback(sessions, ManualClock()).read(items.append, threading.Event())
    return (item for item in items if isinstance(item, Record))


def seen(record: Record) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    return pictures.decode_picture(Picture(record.content_type, record.payload), MAX_SIDE_PX)


def test_what_arrives_is_what_replay_plays(topics: Topics, tmp_path: Path, capsys: Captured) -> None:
    topics.create()
    assert main(["produce", str(SAMPLE), "--config", configured(topics, tmp_path), "--start", START]) == ExitCode.OK
    output = capsys.readouterr()
    expected = defaultdict(list)
    for record in played(SAMPLE):
        expected[record.modality].append(record)
    numbers = set()
    for modality in MEDIA:
        found, wanted = arrived(topics, modality), expected[modality]
        assert [(each.session, each.event_time_ns) for each in found] == [
            (each.session, each.event_time_ns) for each in wanted
        ]
        numbers |= {each.coordinates.partition.number for each in found if each.coordinates is not None}
        if modality is Modality.VIDEO:
            assert {each.content_type for each in found} == {"image/png"}
            assert {each.content_type for each in wanted} == {RAW_PICTURE}
            assert all((seen(one) == seen(other)).all() for one, other in zip(found, wanted, strict=True))
        else:
            assert [(each.content_type, each.payload) for each in found] == [
                (each.content_type, each.payload) for each in wanted
            ]
        assert f"{getattr(topics, modality)}" in output.err
        assert f"{len(found)} records" in output.err
    assert len(numbers) == 1  # so that one instance owns all three
    assert output.out == ""


def test_messages_are_cloud_events_whose_timestamp_is_when_they_were_sent(topics: Topics, tmp_path: Path) -> None:
    topics.create()
    config = configured(topics, tmp_path)
    for _ in range(2):
        assert main(["produce", str(SAMPLE), "--config", config, "--start", START]) == ExitCode.OK
    found = messages(topics, Modality.VIDEO)
    sent_ms = [message.timestamp for message in found]
    assert sent_ms == sorted(sent_ms)
    assert min(sent_ms) > 1_600_000_000_000
    ids = [dict(message.headers)["ce_id"] for message in found]
    assert ids[: len(ids) // 2] == ids[len(ids) // 2 :]
    assert len(set(ids)) == len(ids) // 2


def test_a_picture_wider_than_is_looked_at_is_sent_as_it_will_be_seen(topics: Topics, tmp_path: Path) -> None:
    topics.create()
    path = tmp_path / "wide.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 5, (1280, 720))
    for shade in range(5):
        noise = np.random.default_rng(shade).integers(0, 255, (90, 160, 3), np.uint8)
        writer.write(cv2.resize(noise, (1280, 720)))
    writer.release()
    assert main(["produce", str(path), "--config", configured(topics, tmp_path)]) == ExitCode.OK
    found = arrived(topics, Modality.VIDEO)
    assert [seen(each).shape for each in found] == [(360, 640, 3)]
    assert all((seen(one) == seen(other)).all() for one, other in zip(found, played(path), strict=True))


def test_a_picture_that_is_too_large_without_loss_goes_as_jpeg_and_is_counted(
    topics: Topics, tmp_path: Path, capsys: Captured
) -> None:
    topics.create(max_message_bytes="150000")
    assert main(["produce", str(SAMPLE), "--config", configured(topics, tmp_path)]) == ExitCode.OK
    found = arrived(topics, Modality.VIDEO)
    jpegs = [each for each in found if each.content_type == "image/jpeg"]
    assert jpegs
    assert len(found) == len([each for each in played(SAMPLE) if each.modality is Modality.VIDEO])
    assert f"{len(jpegs)} pictures went as JPEG" in capsys.readouterr().err


def test_jpeg_makes_small_pictures(topics: Topics, tmp_path: Path) -> None:
    topics.create()
    arguments = ["produce", str(SAMPLE), "--config", configured(topics, tmp_path), "--pictures", "jpeg"]
    assert main(arguments) == ExitCode.OK
    assert {each.content_type for each in arrived(topics, Modality.VIDEO)} == {"image/jpeg"}


def test_a_session_can_be_named_where_there_is_only_one(topics: Topics, tmp_path: Path, capsys: Captured) -> None:
    topics.create()
    chat = tmp_path / "a.chat.jsonl"
    chat.write_text('{"at_s": 1, "text": "hello"}\n')
    (tmp_path / "b.chat.jsonl").write_text('{"at_s": 1, "text": "hello"}\n')
    config = configured(topics, tmp_path)
    assert main(["produce", str(tmp_path), "--config", config, "--session", "room"]) == ExitCode.USAGE
    assert "there are 2" in capsys.readouterr().err
    assert main(["produce", str(chat), "--config", config, "--session", "room"]) == ExitCode.OK
    assert [each.session for each in arrived(topics, Modality.TEXT)] == ["room"]


def test_a_file_that_cannot_be_read_does_not_keep_the_others_from_being_sent(
    topics: Topics, tmp_path: Path, capsys: Captured
) -> None:
    topics.create()
    chat = tmp_path / "a.chat.jsonl"
    chat.write_text('{"at_s": 1, "text": "hello"}\n')
    paths = [str(chat), str(tmp_path / "absent.mp4")]
    assert main(["produce", *paths, "--config", configured(topics, tmp_path)]) == ExitCode.BAD_DATA
    assert "absent.mp4" in capsys.readouterr().err
    assert len(arrived(topics, Modality.TEXT)) == 1


def test_a_topic_that_is_not_there_is_named(
    topics: Topics, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded_producer, "_REQUEST_TIMEOUT_MS", 1500)
    assert main(["produce", str(SAMPLE), "--config", configured(topics, tmp_path)]) == ExitCode.UNAVAILABLE
    assert f"topic {topics.video} is not there" in capsys.readouterr().err


def test_a_broker_that_cannot_be_reached_is_named(capsys: Captured) -> None:
    assert main(["produce", str(SAMPLE), "--bootstrap-servers", "127.0.0.1:1"]) == ExitCode.UNAVAILABLE
    assert "127.0.0.1:1 cannot be reached: Connection refused" in capsys.readouterr().err


def test_a_broker_that_goes_away_ends_the_command(
    own_broker: Callable[..., Broker],
    topics: Topics,
    tmp_path: Path,
    capsys: Captured,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounded_producer, "_REQUEST_TIMEOUT_MS", 1000)
    monkeypatch.setattr(bounded_producer, "_DELIVERY_TIMEOUT_MS", 2000)
    monkeypatch.setattr(bounded_producer, "_CLOSE_TIMEOUT_S", 0.5)
    broker = own_broker()
    here = topics.on(broker).create()
    leaving = threading.Timer(1.5, broker.kill)
    leaving.start()
    config = configured(here, tmp_path)
    assert main(["produce", str(SAMPLE), "--config", config, "--speed", "2"]) == ExitCode.UNAVAILABLE
    leaving.join()
    assert f"Kafka at {broker.bootstrap}: messages cannot be sent" in capsys.readouterr().err


def test_sessions_happen_now_unless_a_start_is_given_so_that_each_call_is_news(topics: Topics, tmp_path: Path) -> None:
    topics.create()
    chat = tmp_path / "a.chat.jsonl"
    chat.write_text('{"at_s": 1, "text": "hello"}\n')
    command = ["produce", str(chat), "--config", configured(topics, tmp_path)]
    began_ns = SystemClock().wall_ns()
    assert main(command) == main(command) == main([*command, "--start", START]) == ExitCode.OK
    times_ns = [each.event_time_ns for each in arrived(topics, Modality.TEXT)]
    first_ns, second_ns, third_ns = (time_ns - NS_PER_S for time_ns in times_ns)
    assert began_ns <= first_ns <= second_ns < SystemClock().wall_ns() + NS_PER_S
    assert third_ns == rfc3339.parse(START)
