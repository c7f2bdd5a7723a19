"""An instance that is killed while somebody speaks: every window is published, with the words that replay hears.

Real commands, the shipped model, the small recogniser and a real broker. Two sessions are written in real time by
`affectd produce`; `affectd run` is killed in the middle of utterances and started again.
"""

import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streams.clock import NS_PER_S, SystemClock
from streams.formats import rfc3339
from tests.kafka.conftest import Topics
from tests.kafka.test_same_as_replay import (
    AFFECTD,
    ENVIRON,
    Instance,
    assert_same,
    configuration,
    published,
    replayed_at,
    until,
)
from tests.speech.sentences import SENTENCES
from tests.speech.synthesis import RATE_HZ, Samples, synthesize

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(900)]

_SPEAKERS = {"kitchen": ("en-us", 0.0, SENTENCES["en"][:7]), "shop": ("en-gb", 1.3, SENTENCES["en"][30:37])}
"""Of each session the voice, when it begins, and what is said."""
_PAUSE_S = 0.5
_KILLS = 2
_SESSION_TIMEOUT_S = 5.0  # after which the broker believes a death


def speech(voice: str, starts_s: float, sentences: list[str]) -> Samples:
    """Sentences with pauses so short that nearly any moment is in an utterance."""
    pieces = [np.zeros(round(starts_s * RATE_HZ), np.float32)]
    for text in sentences:
        pieces += [synthesize(text, voice).pcm, np.zeros(round(_PAUSE_S * RATE_HZ), np.float32)]
    return np.concatenate(pieces)


@pytest.fixture(scope="module")
def talks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("talks")
    for session, (voice, starts_s, sentences) in _SPEAKERS.items():
        soundfile.write(folder / f"{session}.wav", speech(voice, starts_s, list(sentences)), RATE_HZ, "PCM_16")
    return folder


@contextmanager
def spoken(talks: Path, file: Path, start: str) -> Iterator[None]:
    """Writes the sessions in real time, from the start on."""
    command = [*AFFECTD, "produce", talks, "--config", file, "--speed", "1", "--start", start]
    writing = subprocess.Popen([str(part) for part in command], stderr=subprocess.PIPE, text=True, env=ENVIRON)
    try:
        yield
        _, told = writing.communicate()
        assert writing.returncode == 0, told
    finally:
        writing.kill()
        writing.wait()


def killed_in_mid_utterance(folder: Path, of: str, topics: Topics, instance: Instance) -> Instance:
    """Kills an instance a moment after it published something new, and starts the next one."""
    before = len(published(topics))
    until(lambda: len(published(topics)) > before, "a prediction between two deaths")
    time.sleep(random.uniform(0.0, 1.5))  # in the time of other processes
    instance.process.kill()
    instance.process.wait()
    return Instance(folder, of)


def test_after_deaths_in_mid_utterance_every_window_was_published_with_the_words_of_replay(
    talks: Path, topics: Topics, tmp_path: Path
) -> None:
    topics.create()
    of = configuration(topics, session_timeout_s=_SESSION_TIMEOUT_S)
    (file := tmp_path / "produce.toml").write_text(of)
    instance = Instance(tmp_path, of)
    try:
        until(instance.ready, "the instance is ready")
        start = rfc3339.format_ns((SystemClock().wall_ns() // NS_PER_S + 1) * NS_PER_S)
        with spoken(talks, file, start):
            for _ in range(_KILLS):
                instance = killed_in_mid_utterance(tmp_path, of, topics, instance)
        wanted = replayed_at(talks, tmp_path / "replayed.jsonl", "--start", start)
        until(lambda: {each["id"] for each in published(topics)} >= wanted.keys(), "all that replay says")
        instance.terminate()
    finally:
        instance.process.kill()
        instance.process.wait()

    found = published(topics)
    assert {each["id"] for each in found} == wanted.keys()
    for each in found:
        assert_same(each, wanted[each["id"]])
    for session in _SPEAKERS:
        transcripts = [each["transcript"] for each in wanted.values() if each["session"] == session]
        assert sum(bool(said) for said in transcripts) >= len(transcripts) // 2
