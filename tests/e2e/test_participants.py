"""Two people in one stored session, by the commands as a person runs them."""

import json
import wave
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from daemon.sample import SAMPLE
from tests.e2e.test_replay import RATE_HZ, affectd

pytestmark = pytest.mark.e2e

SPOKEN_S = (4, 12)  # somebody speaks in this part of the sample
QUIETLY = ("--set", "transcription.enabled=false")


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A customer who speaks on the second channel, an agent who is silent, and a chat of two authors."""
    folder = tmp_path_factory.mktemp("call")
    with av.open(str(SAMPLE)) as container:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE_HZ)
        pieces = [piece.to_ndarray()[0] for frame in container.decode(audio=0) for piece in resampler.resample(frame)]
    voice = np.concatenate(pieces)[SPOKEN_S[0] * RATE_HZ : SPOKEN_S[1] * RATE_HZ].astype("<i2")
    with wave.open(str(folder / "call.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(np.stack([np.zeros_like(voice), voice], axis=1).tobytes())
    lines = [{"at_s": 2.5, "text": "I hate this, I am so angry", "author": "customer"}]
    lines += [{"at_s": 2.6, "text": "I am so happy, thank you!", "author": "Kim"}]
    (folder / "call.chat.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return folder / "call.wav"


def people(prediction: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["id"]: each for each in prediction.get("participants", ())}


def test_replay_scores_each_channel_and_each_author(call: Path) -> None:
    done = affectd("replay", call, "--channels", "agent,customer", *QUIETLY)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    (whole,) = [each for each in found if each["window"]["start"] == "2000-01-01T00:00:01Z"]
    kim, agent, customer = (people(whole)[name] for name in ("Kim", "agent", "customer"))
    assert list(people(whole)) == ["Kim", "agent", "customer"]
    assert (kim["named_by"], agent["named_by"]) == ("author", "channel")
    assert (kim["role"], agent["role"], customer["role"]) == (None, "agent", "customer")
    assert customer["named_by"] == "author", "the same name by a line is surer than by a channel"
    assert not agent["modalities"]["audio"]["present"]
    assert customer["modalities"]["audio"]["present"]
    assert (kim["emotion"]["label"], customer["emotion"]["label"]) == ("happiness", "anger")


def test_only_who_is_to_be_scored_is_in_a_prediction(call: Path) -> None:
    scored = ("--set", 'participants.score=["agent"]')
    done = affectd("replay", call, "--channels", "agent,customer", *QUIETLY, *scored)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert found
    assert {name for each in found for name in people(each)} == {"agent"}
    assert not any(report["present"] for each in found for report in each["modalities"].values())
