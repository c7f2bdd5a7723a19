"""`affectd replay` as a person runs it: same input, same output, whatever the pace; bad files cost only themselves."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

pytestmark = pytest.mark.e2e

MOST_S = 120
FPS = 10
RATE_HZ = 16_000


def affectd(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "daemon", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=MOST_S,
        check=False,
        env=os.environ | {"AFFECTD__LOG__FORMAT": "json"},
    )


def predictions(output: str) -> dict[str, dict[str, Any]]:
    found = [json.loads(line) for line in output.splitlines()]
    assert len({each["id"] for each in found}) == len(found), "an id was published twice"
    return {each["id"]: each for each in found}


def test_a_paced_replay_and_one_at_full_speed_give_the_same_predictions(session: Path) -> None:
    fast, paced = affectd("replay", session, "--speed", "max"), affectd("replay", session, "--speed", "2")
    assert (fast.returncode, paced.returncode) == (0, 0), fast.stderr + paced.stderr
    first, second = predictions(fast.stdout), predictions(paced.stdout)
    assert first
    assert first.keys() == second.keys()
    for id_, one in first.items():
        other = second[id_]
        assert probabilities(one) == pytest.approx(probabilities(other), abs=1e-5)
        assert [m["present"] for m in one["modalities"].values()] == [
            m["present"] for m in other["modalities"].values()
        ]


def test_windows_cover_the_session_and_show_who_was_there(session: Path) -> None:
    found = list(predictions(affectd("replay", session).stdout).values())
    assert {each["session"] for each in found} == {"talk"}
    starts = [each["window"]["start"] for each in found]
    assert starts[0] == "1999-12-31T23:59:57Z"
    assert starts == sorted(starts)
    full = next(each for each in found if each["window"]["start"] == "2000-01-01T00:00:02Z")
    assert full["modalities"]["video"]["events"] == 20
    assert full["modalities"]["text"]["present"]
    assert not full["modalities"]["audio"]["present"], "there is sound, but no voice in it"
    assert full["modalities"]["audio"]["quality"]["received"] == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("cut", [0.5, 0.9])
def test_a_truncated_file_is_named_and_the_others_are_scored(session: Path, tmp_path: Path, cut: float) -> None:
    broken = tmp_path / "broken.mp4"
    whole = session.read_bytes()
    broken.write_bytes(whole[: int(len(whole) * cut)])
    done = affectd("replay", broken, session)
    assert done.returncode == 65
    assert "broken.mp4" in done.stderr
    assert {each["session"] for each in predictions(done.stdout).values()} >= {"talk"}


def test_files_that_are_not_there_are_named_before_a_model_is_loaded(tmp_path: Path) -> None:
    names = ["gone.mp4", "away.chat.jsonl"]
    code = (
        "import sys; from daemon.cli.main import main; status = main(sys.argv[1:]); "
        "print([name for name in ('torch', 'sklearn', 'onnxruntime') if name in sys.modules]); sys.exit(status)"
    )
    command = [sys.executable, "-c", code, "replay", *(str(tmp_path / name) for name in names)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=MOST_S, check=False)
    assert (done.returncode, done.stdout) == (65, "[]\n")
    assert all(f"{tmp_path / name}: No such file or directory" in done.stderr for name in names)


def test_a_reader_that_leaves_ends_a_replay_quietly(session: Path) -> None:
    command = f"{sys.executable} -m daemon replay {session} --set log.level=warning | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=MOST_S, check=False)
    first, status = done.stdout.splitlines()
    assert json.loads(first)["session"] == "talk"
    all_was_written_before = status == "0" and done.stderr.endswith("predictions: on stdout\n")
    assert (status, done.stderr) == ("141", "") or all_was_written_before


def test_a_wav_without_sound_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").write_bytes(b"")
    done = affectd("replay", tmp_path / "empty.wav")
    assert done.returncode == 65
    assert "empty.wav" in done.stderr
    assert "Traceback" not in done.stderr


def test_chat_alone_is_a_session_and_bad_lines_are_counted_out(tmp_path: Path) -> None:
    lines = [
        b'{"at_s": 1.0, "text": "I am so happy today, thank you all!"}',
        b'{"at_s": 2.0, "text": "' + b"x" * 1_000_000 + b'"}',
        b'{"at_s": 2.5, "text": "\xff\xfe"}',
        b'{"at_s": -1e12, "text": "long ago"}',
        b'{"at_s": 3.2e9, "text": "in a hundred years"}',
        b"no json at all",
        b'{"at_s": 9.0, "text": "I am terribly sad, everything is lost."}',
    ]
    chat = tmp_path / "words.chat.jsonl"
    chat.write_bytes(b"\n".join(lines) + b"\n")
    done = affectd("replay", chat)
    found = list(predictions(done.stdout).values())
    assert {each["session"] for each in found} == {"words"}
    happy = next(each for each in found if each["window"]["start"] == "2000-01-01T00:00:00Z")
    sad = next(each for each in found if each["window"]["start"] == "2000-01-01T00:00:08Z")
    assert probabilities(happy)[1] > probabilities(sad)[1]
    assert probabilities(sad)[3] > probabilities(happy)[3]
    assert happy["modalities"]["text"]["events"] == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.count('"reason"') >= 3
    assert done.returncode == 0
    refused = "5 of 7 records were refused: invalid_chat_line 2, invalid_json 1, invalid_utf8 1, oversized 1"
    assert refused in done.stderr
    assert f"8 s of 1 session played: {len(found)} windows scored" in done.stderr
    assert done.stderr.endswith("predictions: on stdout\n")


def test_a_replay_of_which_every_record_is_refused_is_bad_data(tmp_path: Path) -> None:
    chat = tmp_path / "words.chat.jsonl"
    chat.write_bytes(b'{"at_s": 1.0, "text": " "}\n{"at_s": 2.0, "text": ""}\n')
    done = affectd("replay", chat)
    assert done.returncode == 65
    assert "2 of 2 records were refused: empty 2" in done.stderr
    assert done.stdout == ""


def probabilities(prediction: dict[str, Any]) -> list[float]:
    return list(prediction["emotion"]["probabilities"].values())


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight seconds: a face that comes into the picture, a tone, and two lines of chat."""
    from skimage import data

    folder = tmp_path_factory.mktemp("media")
    portrait = np.asarray(data.astronaut())  # type: ignore[no-untyped-call]
    face = np.asarray(cv2.cvtColor(portrait[0:300, 100:360], cv2.COLOR_RGB2BGR))
    path = folder / "talk.mp4"
    write_media(path, room_with(face, range(20, 80)), tone(8.0))
    (folder / "talk.chat.jsonl").write_text(
        '{"at_s": 3.0, "text": "Wow, I did not expect that!"}\n{"at_s": 6.5, "text": "我很高兴见到你"}\n'
    )
    return path


def room_with(face: np.ndarray[Any, Any], shown: Sequence[int]) -> Iterator[np.ndarray[Any, Any]]:
    for number in range(80):
        picture = np.full((480, 640, 3), 120, np.uint8)
        if number in shown:
            left = 150 + number
            picture[100:400, left : left + 260] = face
        yield picture


def tone(seconds: float) -> np.ndarray[Any, Any]:
    at = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return np.asarray(8000 * np.sin(2 * np.pi * 300 * at), np.int16)


def write_media(path: Path, frames: Iterator[np.ndarray[Any, Any]], samples: np.ndarray[Any, Any]) -> None:
    with av.open(str(path), "w") as container:
        picture = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast"})
        picture.width, picture.height, picture.pix_fmt = 640, 480, "yuv420p"
        sound = container.add_stream("aac", rate=RATE_HZ)
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="bgr24")
            frame.pts = number
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
        for first in range(0, len(samples), 1024):
            block = av.AudioFrame.from_ndarray(samples[None, first : first + 1024], format="s16", layout="mono")
            block.sample_rate, block.pts = RATE_HZ, first
            container.mux(sound.encode(block))
        container.mux(sound.encode(None))
