"""`affectd replay` of a session in which somebody speaks: the same words and predictions, whatever the pace."""

from pathlib import Path

import pytest
import soundfile

from tests.daemon.hearing import errors, said
from tests.e2e.test_replay import affectd, predictions, probabilities
from tests.speech.synthesis import RATE_HZ

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

_SENTENCES = ("Please close the window before it starts to rain.", "There is a letter for you on the kitchen table.")
_SETTINGS = (
    "transcription.model=tiny",
    "transcription.language=en",
    "privacy.transcript=true",
    "windows.step_s=4",
    "model.threads=1",
)
_OPTIONS = tuple(part for setting in _SETTINGS for part in ("--set", setting))


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("talk") / "talk.wav"
    soundfile.write(file, said(_SENTENCES, pause_s=0.7), RATE_HZ, "PCM_16")
    return file


def test_a_replay_in_real_time_and_one_at_full_speed_hear_the_same(talk: Path) -> None:
    fast, paced = (affectd("replay", talk, "--speed", speed, *_OPTIONS) for speed in ("max", "1"))
    assert (fast.returncode, paced.returncode) == (0, 0), fast.stderr + paced.stderr
    first, second = predictions(fast.stdout), predictions(paced.stdout)
    assert first.keys() == second.keys()
    for id_, one in first.items():
        other = second[id_]
        assert one["transcript"] == other["transcript"]
        assert probabilities(one) == pytest.approx(probabilities(other), abs=1e-5)
    in_order = sorted(first.values(), key=lambda each: each["window"]["start"])
    text = " ".join(each["transcript"] or "" for each in in_order)
    assert errors(_SENTENCES, text) < 0.2
    assert any(each["modalities"]["text"]["present"] for each in in_order)


def test_where_transcription_is_off_there_is_no_text(talk: Path) -> None:
    done = affectd("replay", talk, *_OPTIONS, "--set", "transcription.enabled=false")
    found = predictions(done.stdout).values()
    assert found
    assert not any(each["modalities"]["text"]["present"] or each["transcript"] for each in found)
