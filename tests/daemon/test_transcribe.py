"""`affectd transcribe`: what was said, at which time, from files of any kind; a bad file costs itself only."""

import difflib
import json
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
import soxr

from daemon.cli.main import main
from daemon.exit_codes import ExitCode
from daemon.sample import SAMPLE
from daemon.scoring import inline_transcription
from streams.clock import NS_PER_S
from streams.formats import rfc3339
from streams.records import Modality, Record
from streams.sources.stored.media_session import START_NS
from streams.sources.stored.recording import RecordingWriter
from tests.speech.noise import telephone
from tests.speech.synthesis import RATE_HZ, Spoken, synthesize

pytestmark = pytest.mark.unit

TINY = ("--set", "transcription.model=tiny", "--set", "transcription.language=en")
LINES = (
    "Please close the window before it starts to rain.",
    "We bought bread, milk and a bag of apples this morning.",
    "My brother left his coat on the chair again.",
)
VOICES = ("en-us", "en-gb", "en-us+f4")
PAUSE_S = 1.0
Captured = pytest.CaptureFixture[str]


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def talk() -> Spoken:
    """The lines one after another, each in a voice of its own."""
    pcm, words = [np.zeros(round(PAUSE_S * RATE_HZ), np.float32)], []
    for line, voice in zip(LINES, VOICES, strict=True):
        begin_s = sum(map(len, pcm)) / RATE_HZ
        said = synthesize(line, voice)
        words += [type(w)(w.text, w.start_s + begin_s, w.end_s + begin_s) for w in said.words]
        pcm += [said.pcm, np.zeros(round(PAUSE_S * RATE_HZ), np.float32)]
    return Spoken(np.concatenate(pcm), tuple(words))


@pytest.fixture(scope="module")
def spoken() -> Spoken:
    return talk()


def transcribed(capsys: Captured, *arguments: str | Path, status: int = ExitCode.OK) -> tuple[str, str]:
    """stdout and stderr of the command with the small model."""
    assert main(["transcribe", *map(str, arguments), *TINY]) == status
    heard = capsys.readouterr()
    return heard.out, heard.err


def objects(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def wrong_words(found: list[dict[str, Any]], lines: tuple[str, ...] = LINES) -> int:
    """How many words of the lines were not recognised."""
    expected, heard = words_of(" ".join(lines)), words_of(" ".join(each["text"] for each in found))
    matched = difflib.SequenceMatcher(a=expected, b=heard, autojunk=False).get_matching_blocks()
    return len(expected) - sum(block.size for block in matched)


def start_errors_s(found: list[dict[str, Any]], spoken: Spoken) -> list[float]:
    """How far the starts of words are from the synthesiser's marks, of those that were recognised."""
    marks = [(words_of(mark.text)[0], mark.start_s) for mark in spoken.words]
    heard = [
        (words_of(word["text"])[0], (rfc3339.parse(word["start"]) - START_NS) / NS_PER_S)
        for each in found
        for word in each["words"]
        if words_of(word["text"])
    ]
    matcher = difflib.SequenceMatcher(a=[m[0] for m in marks], b=[h[0] for h in heard], autojunk=False)
    return [
        abs(heard[block.b + i][1] - marks[block.a + i][1])
        for block in matcher.get_matching_blocks()
        for i in range(block.size)
    ]


@pytest.mark.parametrize("kind", ["8 kHz telephone", "44.1 kHz stereo", "16 kHz FLAC"])
def test_sound_of_any_rate_is_transcribed_with_the_times_of_its_words(
    kind: str, spoken: Spoken, tmp_path: Path, capsys: Captured
) -> None:
    file = tmp_path / ("talk.flac" if "FLAC" in kind else "talk.wav")
    if kind == "8 kHz telephone":
        soundfile.write(file, soxr.resample(telephone(spoken.pcm), RATE_HZ, 8000), 8000)
    elif kind == "44.1 kHz stereo":
        wide = soxr.resample(spoken.pcm, RATE_HZ, 44_100)
        soundfile.write(file, np.stack([wide, wide], axis=1), 44_100)
    else:
        soundfile.write(file, spoken.pcm, RATE_HZ)
    out, err = transcribed(capsys, file)
    found = objects(out)
    assert {each["session"] for each in found} == {"talk"}
    assert {each["schema"] for each in found} == {"affectd.transcript/1"}
    assert len(found) >= len(LINES)
    assert wrong_words(found) < len(spoken.words) / 2, "the smallest model errs, but most words are right"
    errors_s = start_errors_s(found, spoken)
    assert len(errors_s) > len(spoken.words) / 3
    assert statistics.median(errors_s) < 0.1
    for each in found:
        starts = [rfc3339.parse(word["start"]) for word in each["words"]]
        assert starts == sorted(starts)
        assert (each["start"], each["language"]) == (each["words"][0]["start"], "en")
        assert 0 < each["confidence"] <= 1
    assert f"of 1 session heard: {len(found)} utterances" in err
    assert not any(word in err.lower() for word in ("window", "apples", "brother"))


def test_channels_with_names_say_who_speaks(tmp_path: Path, capsys: Captured) -> None:
    first, second = (synthesize(line, voice).pcm for line, voice in zip(LINES[:2], VOICES[:2], strict=True))
    call = np.zeros((len(first) + len(second) + 2 * RATE_HZ, 2), np.float32)
    call[: len(first), 0] = first
    call[-len(second) :, 1] = second
    soundfile.write(tmp_path / "call.wav", call, RATE_HZ)
    found = objects(transcribed(capsys, tmp_path, "--channels", "agent,customer")[0])
    by_speaker = {name: [each for each in found if each["participant"] == name] for name in ("agent", "customer")}
    assert sum(map(len, by_speaker.values())) == len(found)
    for line, said in zip(LINES, by_speaker.values(), strict=False):
        assert wrong_words(said, (line,)) < len(words_of(line)) / 2


def test_words_do_not_depend_on_the_batches_they_were_recognised_in(
    spoken: Spoken, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        soundfile.write(tmp_path / f"{name}.wav", spoken.pcm, RATE_HZ)
    together = objects(transcribed(capsys, tmp_path)[0])
    monkeypatch.setattr(inline_transcription, "BATCH_UTTERANCES", 2)
    apart = objects(transcribed(capsys, tmp_path)[0])
    for name in ("a", "b"):
        of_session = [each for each in together if each["session"] == name]
        assert of_session == [each for each in apart if each["session"] == name]
        starts = [rfc3339.parse(each["start"]) for each in of_session]
        assert len(starts) == len(LINES)
        assert starts == sorted(starts)


def test_sessions_are_told_apart_and_subtitles_name_who_speaks(tmp_path: Path, capsys: Captured) -> None:
    for name, line in zip(("anna", "ben"), LINES, strict=False):
        soundfile.write(tmp_path / f"{name}.wav", synthesize(line).pcm, RATE_HZ)
    out, _ = transcribed(capsys, tmp_path, "--format", "srt")
    assert re.search(r"^anna: .*window", out, re.M)
    assert re.search(r"^ben: .*milk", out, re.M)
    cues = out.strip().split("\n\n")
    assert [cue.split("\n")[0] for cue in cues] == [str(number) for number in range(1, len(cues) + 1)]


def test_chat_beside_a_file_is_not_transcribed(tmp_path: Path, capsys: Captured) -> None:
    soundfile.write(tmp_path / "room.wav", synthesize(LINES[0]).pcm, RATE_HZ)
    (tmp_path / "room.chat.jsonl").write_text('{"at_s": 0.5, "text": "banana"}\n', encoding="utf-8")
    out, _ = transcribed(capsys, tmp_path / "room.wav", "--format", "text")
    assert re.fullmatch(r"room 00:0\d .*rain\.?\n", out)
    assert "banana" not in out


def test_a_recording_is_timed_from_its_first_record(tmp_path: Path, capsys: Captured) -> None:
    pcm, began_ns = synthesize(LINES[0]).pcm, START_NS + 86_400 * NS_PER_S
    with RecordingWriter(tmp_path / "call", "call-7", began_ns) as recording:
        for first in range(0, len(pcm), RATE_HZ // 10):
            piece = (pcm[first : first + RATE_HZ // 10] * 32767).astype(np.int16).tobytes()
            at_ns = began_ns + round(first / RATE_HZ * NS_PER_S)
            recording.append(Record("call-7", Modality.AUDIO, f"audio/L16;rate={RATE_HZ}", piece, at_ns, at_ns))
    out, _ = transcribed(capsys, tmp_path / "call", "--format", "text")
    assert out.startswith("call-7 00:00 Please")


def test_a_file_in_which_nobody_speaks_is_no_error(tmp_path: Path, capsys: Captured) -> None:
    soundfile.write(tmp_path / "quiet.wav", np.zeros(3 * RATE_HZ, np.float32), RATE_HZ)
    for written_as in ("jsonl", "srt", "text"):
        out, err = transcribed(capsys, tmp_path / "quiet.wav", "--format", written_as)
        assert out == ""
        assert "no speech was found" in err


def test_what_cannot_be_read_is_named_and_the_rest_is_transcribed(tmp_path: Path, capsys: Captured) -> None:
    good = tmp_path / "good.wav"
    soundfile.write(good, synthesize(LINES[0]).pcm, RATE_HZ)
    (tmp_path / "damaged.mp4").write_bytes(SAMPLE.read_bytes()[:5000])
    (tmp_path / "noise.wav").write_bytes(b"no sound at all" * 40)
    without_sound(tmp_path / "mute.mp4")
    bad = ("damaged.mp4", "noise.wav", "mute.mp4", "nowhere.wav")
    out, err = transcribed(capsys, *(tmp_path / name for name in bad), good, status=ExitCode.BAD_DATA)
    assert [each["session"] for each in objects(out)] == ["good"]
    told = err.splitlines()[-1]
    assert all(name in told for name in bad), told
    assert f"{tmp_path / 'mute.mp4'}: holds no sound" in told
    assert "Traceback" not in err


def test_a_cut_file_is_transcribed_up_to_its_cut(spoken: Spoken, tmp_path: Path, capsys: Captured) -> None:
    soundfile.write(tmp_path / "whole.wav", spoken.pcm, RATE_HZ)
    whole = (tmp_path / "whole.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 2])
    out, err = transcribed(capsys, tmp_path / "cut.wav", status=ExitCode.BAD_DATA)
    assert objects(out)[0]["text"].startswith("Please close")
    assert "cut.wav" in err.splitlines()[-1]


def test_a_model_that_is_not_there_is_named_with_how_to_get_it(tmp_path: Path, capsys: Captured) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(RATE_HZ, np.float32), RATE_HZ)
    arguments = ["transcribe", str(tmp_path / "a.wav"), "--set", f"transcription.model={tmp_path / 'nowhere'}"]
    assert main(arguments) == ExitCode.CONFIGURATION
    assert "no such folder" in capsys.readouterr().err


def test_a_configuration_that_forbids_it_is_obeyed(tmp_path: Path, capsys: Captured) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(RATE_HZ, np.float32), RATE_HZ)
    arguments = ["transcribe", str(tmp_path / "a.wav"), "--set", "transcription.enabled=false"]
    assert main(arguments) == ExitCode.CONFIGURATION
    assert "transcription.enabled: must be true" in capsys.readouterr().err


def test_as_a_process_it_writes_the_transcript_to_stdout_and_the_rest_to_stderr(spoken: Spoken, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "talk.wav", spoken.pcm, RATE_HZ)
    command = [sys.executable, "-m", "daemon", "transcribe", "talk.wav", "nowhere.wav", "--format", "text", *TINY]
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root), "AFFECTD__LOG__FORMAT": "json"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == ExitCode.BAD_DATA
    lines = done.stdout.splitlines()
    assert len(lines) == len(LINES)
    assert all(re.match(r"talk 00:\d\d \w", line) for line in lines)
    assert "nowhere.wav" in done.stderr.splitlines()[-1]
    assert "loading" not in done.stderr, "progress is for terminals"


def without_sound(file: Path) -> None:
    """The sample's pictures alone, of the first second."""
    with av.open(str(SAMPLE)) as source, av.open(str(file), "w") as made:
        kept = made.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None and packet.dts * packet.time_base < 1:
                packet.stream = kept
                made.mux(packet)
