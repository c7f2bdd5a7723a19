"""Scripted sessions through the daemon and over Kafka: who is in trouble is seen in time, and nobody else is.

Real commands, the shipped model and a real broker. People write, or are said by a synthesiser, a channel each.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from streams.clock import NS_PER_S
from streams.formats import rfc3339
from tests.kafka.conftest import Topics
from tests.kafka.test_same_as_replay import affectd, assert_same, produce, published, replayed_at, running, until
from tests.models.scripted_sessions import CALM_LINES, CRISES, ESCALATION
from tests.speech.synthesis import RATE_HZ, synthesize

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]

START_NS = 946_684_800 * NS_PER_S  # 2000
EVERY_S = 6.0
HIGH = ("high", "critical")
SPOKEN = ("good morning, the parcel came today", "thank you, that is good to hear", "I want to kill myself")

Prediction = Mapping[str, Any]


def turns(*people: tuple[str, Sequence[str]]) -> list[tuple[float, str, str]]:
    """When, who and what: the people of a session take turns."""
    said = [
        (who, text)
        for texts in zip(*(texts for _, texts in people), strict=True)
        for (who, _), text in zip(people, texts, strict=True)
    ]
    return [(1 + at * EVERY_S, who, text) for at, (who, text) in enumerate(said)]


CHATS = {
    "two-people": turns(("ann", CALM_LINES[:5]), ("ben", ESCALATION)),
    "two-languages": turns(("ann", CALM_LINES[5:8]), ("ben", CRISES["two languages"])),
    "calm": turns(("ann", CALM_LINES[8:18]), ("ben", CALM_LINES[18:28])),
}


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scripted")
    for name, lines in CHATS.items():
        written = [{"at_s": at_s, "author": who, "text": text} for at_s, who, text in lines]
        (folder / f"{name}.chat.jsonl").write_text("".join(json.dumps(each) + "\n" for each in written), "utf-8")
    return folder


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A call: the first two lines are the agent's, the last is the customer's."""
    said = [synthesize(line, voice).pcm for line, voice in zip(SPOKEN, ("en-gb", "en-gb", "en-us+f4"), strict=True)]
    sound = np.zeros((round((len(SPOKEN) * EVERY_S + 2) * RATE_HZ), 2), np.float32)
    for at, pcm in enumerate(said):
        start = round((1 + at * EVERY_S) * RATE_HZ)
        sound[start : start + len(pcm), int(at == len(SPOKEN) - 1)] = pcm
    file = tmp_path_factory.mktemp("call") / "call.wav"
    soundfile.write(file, sound, RATE_HZ)
    return file


def replayed(paths: Path, folder: Path, *options: str) -> list[Prediction]:
    config, out = folder / "replay.toml", folder / "predictions.jsonl"
    config.write_text(
        '[model]\nthreads = 1\n[transcription]\nmodel = "base"\nlanguage = "en"\n[privacy]\ntranscript = true\n'
    )
    affectd("replay", paths, "--config", config, "--out", out, *options)
    return [json.loads(line) for line in out.read_text("utf-8").splitlines()]


def level_of(prediction: Prediction, who: str) -> str:
    return next((str(each["risk"]["level"]) for each in prediction["participants"] if each["id"] == who), "none")


def begins_s(prediction: Prediction) -> float:
    return (rfc3339.parse(prediction["window"]["start"]) - START_NS) / NS_PER_S


def assert_seen(found: Sequence[Prediction], who: str, at_s: float, others: Sequence[str]) -> None:
    """Asserts that the first two windows that hold a moment are high for one person, and no window for the others."""
    ordered = sorted(found, key=begins_s)
    holding = [each for each in ordered if begins_s(each) <= at_s < begins_s(each) + 4.0][:2]
    assert any(level_of(each, who) in HIGH and each["risk"]["level"] in HIGH for each in holding)
    for other in others:
        assert not [begins_s(each) for each in ordered if level_of(each, other) in HIGH]


def of(found: Sequence[Prediction], session: str) -> list[Prediction]:
    return [each for each in found if each["session"] == session]


def assert_right_people(found: Sequence[Prediction]) -> None:
    for name in ("two-people", "two-languages"):
        at_s, who, _ = CHATS[name][-1]
        assert_seen(of(found, name), who, at_s, ["ann"])
    assert not [each["window"] for each in of(found, "calm") if each["risk"]["level"] in HIGH]


def test_a_crisis_in_writing_is_seen_on_the_right_person_by_replay_and_over_kafka(
    sessions: Path, topics: Topics, tmp_path: Path
) -> None:
    expected = replayed_at(sessions, tmp_path / "predictions.jsonl")
    assert_right_people(list(expected.values()))
    topics.create()
    produce(sessions, topics, tmp_path, "max")
    with running(1, topics, tmp_path) as (instance,):
        until(lambda: {each["id"] for each in published(topics)} >= expected.keys(), "all that replay says")
        instance.terminate()
    found = published(topics)
    assert_right_people(found)
    for each in found:
        assert_same(each, expected[each["id"]])


def test_a_crisis_that_is_said_is_seen_on_the_right_channel(call: Path, tmp_path: Path) -> None:
    found = replayed(call, tmp_path, "--channels", "agent,customer")
    heard_s = min(begins_s(each) + 4.0 for each in found if "kill myself" in (each["transcript"] or "").lower())
    assert_seen(found, "customer", heard_s - 1.0, ["agent"])
