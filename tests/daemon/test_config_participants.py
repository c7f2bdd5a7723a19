"""The people of a session in the configuration: whom to score, their roles, and whose each source is."""

from pathlib import Path

import pytest

from daemon.config.endpoints import KafkaSourceTable, MicrophoneSourceTable
from daemon.config.errors import ConfigurationError
from daemon.config.reference import effective
from daemon.config.source import load
from daemon.kafka.endpoints import input_topics
from daemon.wiring import build_endpoints, timeline_config
from streams.participants import NamedBy, Participant, ParticipantRules
from streams.records import Modality
from streams.sources.devices.camera import Camera
from streams.sources.devices.microphone import Microphone
from streams.sources.stored.media_session import MediaSession
from streams.sources.stored.playback import Playback
from tests.daemon.making import instruments

pytestmark = pytest.mark.unit

MICROPHONE = '[[sources]]\nkind = "microphone"\n[sources.microphone]\nsession = "call"\n'
PEOPLE = """
[participants]
most_participants = 3
score = ["customer", "ann"]
[participants.roles]
ann = "customer"
"Ben K." = "agent"
"""


def write(folder: Path, text: str) -> Path:
    file = folder / "affectd.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_roles_and_who_is_scored_reach_the_timeline(tmp_path: Path) -> None:
    config = load(write(tmp_path, PEOPLE), {})
    rules = ParticipantRules({"ann": "customer", "Ben K.": "agent"}, frozenset({"customer", "ann"}))
    assert timeline_config(config).participants == rules
    assert config.participants.most_participants == 3


def test_what_is_in_effect_is_written_as_it_can_be_read_back(tmp_path: Path) -> None:
    config = load(write(tmp_path, PEOPLE + MICROPHONE + 'channels = ["agent", "customer"]\n'), {})
    assert load(write(tmp_path, effective(config)), {}) == config


def test_roles_can_be_set_by_flag_and_environment() -> None:
    environ = {"AFFECTD__PARTICIPANTS__ROLES": '{"Ann": "customer"}'}
    config = load(None, environ, ['participants.score=["customer"]'])
    assert (config.participants.roles, config.participants.score) == ({"Ann": "customer"}, ("customer",))


def test_each_source_names_whose_its_records_are(tmp_path: Path) -> None:
    text = """
[[sources]]
kind = "camera"
[sources.camera]
session = "call"
participant = "ann"
[[sources]]
kind = "microphone"
[sources.microphone]
session = "call"
channels = ["agent", "customer"]
[[sources]]
kind = "media"
[sources.media]
paths = ["x.mp4"]
participant = "ben"
"""
    camera, microphone, media = (
        feed.source for feed in build_endpoints(load(write(tmp_path, text), {}), instruments()).feeds
    )
    assert isinstance(camera, Camera)
    assert isinstance(microphone, Microphone)
    assert isinstance(media, Playback)
    assert camera._config.participant == Participant("ann", NamedBy.CONFIG)
    assert (microphone._config.channels, microphone._config.channel_names) == (2, ("agent", "customer"))
    [session] = media._sessions
    assert isinstance(session, MediaSession)
    assert session.participant == Participant("ben", NamedBy.CONFIG)


def test_channels_of_a_kafka_source_are_those_of_sound_alone(tmp_path: Path) -> None:
    text = (
        '[[sources]]\nkind = "kafka"\n[sources.kafka]\nbootstrap_servers = ["k:1"]\nchannels = ["agent", "customer"]\n'
    )
    (kafka,) = load(write(tmp_path, text), {}).sources
    assert isinstance(kafka, KafkaSourceTable)
    named = {modality: topic.channels for modality, topic in input_topics(kafka.kafka).items()}
    assert named == {Modality.VIDEO: (), Modality.AUDIO: ("agent", "customer"), Modality.TEXT: ()}


@pytest.mark.parametrize("channels", ["1", "8", '["one"]', '["agent", "customer"]'])
def test_a_microphone_has_a_number_of_channels_or_a_name_for_each(tmp_path: Path, channels: str) -> None:
    (microphone,) = load(write(tmp_path, f"{MICROPHONE}channels = {channels}\n"), {}).sources
    assert isinstance(microphone, MicrophoneSourceTable)
    settings = microphone.microphone
    assert settings.channel_count == (len(settings.channel_names) or int(channels))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"{MICROPHONE}channels = 9\n", "affectd.toml:5 sources[0].microphone.channels: must be a number from 1 to 8"),
        (
            f"{MICROPHONE}channels = true\n",
            "affectd.toml:5 sources[0].microphone.channels: must be a number from 1 to 8",
        ),
        (f"{MICROPHONE}channels = []\n", "affectd.toml:5 sources[0].microphone.channels: must be a number from 1 to 8"),
        (f'{MICROPHONE}channels = ["a", "a"]\n', "affectd.toml:5 sources[0].microphone.channels: must be a number"),
        (
            f'{MICROPHONE}participant = "{"x" * 1000}"\n',
            "affectd.toml:5 sources[0].microphone.participant: must have 1",
        ),
        (
            f'{MICROPHONE}channels = ["a", "b"]\nparticipant = "ann"\n',
            "affectd.toml:6 sources[0].microphone.participant: has no meaning with names of channels",
        ),
        (
            "[participants]\nmost_participants = -1\n",
            "affectd.toml:2 participants.most_participants: must be at least 0",
        ),
        ('[participants]\nscore = [""]\n', "affectd.toml:2 participants.score"),
        ('[participants]\nroles = {ann = ""}\n', "affectd.toml:2 participants.roles.ann"),
        (f'[participants.roles]\n"{"x" * 1000}" = "agent"\n', "participants.roles"),
        ('[participants]\nrole = {ann = "x"}\n', "affectd.toml:2 participants.role"),
    ],
)
def test_a_mistake_is_named_with_file_line_and_key(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as found:
        load(write(tmp_path, text), {})
    [sentence] = found.value.problems
    assert problem in sentence
