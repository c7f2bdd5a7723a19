"""`affectd explain` on the beginning of the sample: what moved the answers, and nothing that was seen or said."""

import json
from pathlib import Path
from typing import Any

import av
import pytest
import soundfile

from daemon.cli.main import main
from daemon.exit_codes import ExitCode
from daemon.sample import SAMPLE
from models.artifact import SHIPPED, read_model_folder
from models.explanation.attribution import TOLERANCE
from models.labels import MODALITIES
from streams.predictions import prediction_id
from tests.speech.synthesis import RATE_HZ, synthesize

pytestmark = pytest.mark.unit

USED_S = 5.0
AT_S = 2.0
Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def beginning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample's first seconds, as they are."""
    file = tmp_path_factory.mktemp("sample") / "talk.mp4"
    with av.open(str(SAMPLE)) as source, av.open(str(file), "w") as made:
        streams = {stream.index: made.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is not None and packet.dts * packet.time_base < USED_S:
                packet.stream = streams[packet.stream.index]
                made.mux(packet)
    lines = SAMPLE.with_name("sample.chat.jsonl").read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if json.loads(line)["at_s"] < USED_S]
    file.with_name("talk.chat.jsonl").write_text("\n".join(kept) + "\n", encoding="utf-8")
    return file


def explained(capsys: Captured, *arguments: str | Path) -> tuple[list[dict[str, Any]], str, str]:
    assert main(["explain", *map(str, arguments)]) == ExitCode.OK
    heard = capsys.readouterr()
    return [json.loads(line) for line in heard.out.splitlines()], heard.out, heard.err


def test_every_window_of_a_moment_is_explained_and_nothing_is_quoted(beginning: Path, capsys: Captured) -> None:
    windows, out, err = explained(capsys, beginning, "--at", str(AT_S), "--set", "windows.step_s=2")
    assert [window["window"]["start"] for window in windows] == ["2000-01-01T00:00:00Z", "2000-01-01T00:00:02Z"]
    digest = read_model_folder(SHIPPED).manifest.digest()
    lines = [json.loads(line) for line in beginning.with_name("talk.chat.jsonl").read_text("utf-8").splitlines()]
    for window in windows:
        span = window["window"]
        assert window["id"] == prediction_id("talk", span["start"], span["end"], digest)
        assert set(window["modalities"]) == set(MODALITIES)
        total = sum(each["share"] for each in window["modalities"].values())
        assert total == pytest.approx(window["worth"] - window["without"], abs=4 * TOLERANCE)
        for each in window["modalities"].values():
            shares = [event["share"] for event in each["events"]]
            assert sum(shares) == pytest.approx(each["share"], abs=len(shares) * TOLERANCE)
            starts = [event["start_s"] for event in each["events"]]
            assert starts == sorted(starts)
            assert 0 <= starts[0] <= starts[-1] < 4
        events = window["modalities"]["text"]["events"]
        written = [event for event in events if "words" in event]
        assert written
        assert all(event["words"] for event in written)
        spoken = [event for event in events if "words" not in event]
        assert sum(event["events"] for event in spoken) >= 5, "words of a sentence that is said"
        assert all(0 <= event["end_s"] - event["start_s"] < 4 for event in spoken)
    assert not any(word in out + err for line in lines for word in line["text"].split() if len(word) > 3)
    assert err.count("(+") >= len(windows)


def test_a_risk_can_be_asked_about_and_words_lie_in_their_line(tmp_path: Path, capsys: Captured) -> None:
    line = "I cannot go on, I want to kill myself"
    file = tmp_path / "room.chat.jsonl"
    file.write_text(json.dumps({"at_s": 1.0, "text": line}) + "\n", encoding="utf-8")
    (window,), _, err = explained(capsys, file, "--target", "self_harm", "--set", "windows.step_s=4")
    assert (window["target"], window["unit"], set(window["modalities"])) == ("self_harm", "probability", {"text"})
    assert f"  Self-harm has {window['worth']:.2f}: the words (+" in err
    assert "Risk is" not in err, "only what was asked about"
    (event,) = window["modalities"]["text"]["events"]
    most = max(event["words"], key=lambda word: word["logit"])
    assert line[most["start"] : most["end"]] in ("kill", "myself")


def test_a_moment_outside_of_the_session_is_said_to_hold_nothing(tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "room.chat.jsonl"
    file.write_text(json.dumps({"at_s": 1.0, "text": "hello"}) + "\n", encoding="utf-8")
    assert main(["explain", str(file), "--at", "60"]) == ExitCode.BAD_DATA
    assert "no window was found to explain" in capsys.readouterr().err


def test_a_record_that_cannot_be_used_is_reported_and_the_rest_is_explained(tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "room.chat.jsonl"
    lines = [{"at_s": 1.0, "text": "hello"}, {"at_s": 2.0, "text": " "}]
    file.write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    windows, _, err = explained(capsys, file, "--set", "windows.step_s=4")
    assert len(windows) == 1
    (report,) = [json.loads(line) for line in err.splitlines() if "a record is rejected" in line]
    assert (report["session"], report["modality"], report["reason"]) == ("room", "text", "empty")
    assert report["why"]
    assert "1 of 2 records were refused: empty 1" in err


def test_sessions_of_which_every_record_is_refused_are_bad_data(tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "room.chat.jsonl"
    file.write_text(json.dumps({"at_s": 2.0, "text": " "}) + "\n", encoding="utf-8")
    assert main(["explain", str(file)]) == ExitCode.BAD_DATA
    assert "1 of 1 records were refused: empty 1" in capsys.readouterr().err


def test_what_is_said_is_explained_by_the_ids_and_answers_of_a_replay(tmp_path: Path, capsys: Captured) -> None:
    soundfile.write(tmp_path / "call.wav", synthesize("I am afraid. I do not know what to do.").pcm, RATE_HZ)
    settings = ("model=tiny", "language=en")
    options = [each for name in settings for each in ("--set", f"transcription.{name}")]
    options += ["--set", "windows.step_s=2", "--set", "windows.smoothing_s=0"]
    windows, out, err = explained(capsys, tmp_path / "call.wav", *options)
    file = tmp_path / "predictions.jsonl"
    assert main(["replay", str(tmp_path / "call.wav"), "--out", str(file), *options]) == ExitCode.OK
    replayed = {each["id"]: each for each in map(json.loads, file.read_text(encoding="utf-8").splitlines())}
    assert {window["id"] for window in windows} == set(replayed)
    assert any("text" in window["modalities"] for window in windows)
    for window in windows:
        prediction = replayed[window["id"]]
        assert window["worth"] == pytest.approx(max(prediction["emotion"]["probabilities"].values()), abs=2e-3)
        spoken = window["modalities"].get("text", {"events": []})["events"]
        assert sum(event["events"] for event in spoken) == prediction["modalities"]["text"]["events"]
    assert "afraid" not in out + err


def test_the_answer_of_one_person_is_explained_by_what_is_theirs(tmp_path: Path, capsys: Captured) -> None:
    chat = tmp_path / "talk.chat.jsonl"
    said = (("ann", "I am so happy, thank you!"), ("ben", "I hate this, I am so angry"))
    lines = [json.dumps({"at_s": at, "text": text, "author": who}) for at, (who, text) in enumerate(said)]
    chat.write_text("\n".join(lines), encoding="utf-8")
    asked = ("--at", "0.5", "--set", "windows.step_s=4", "--participant")
    [window], _, _ = explained(capsys, chat, *asked, "ann")
    assert (window["participant"], window["target"]) == ("ann", "happiness")
    assert [event["start_s"] for event in window["modalities"]["text"]["events"]] == [0]
    assert main(["explain", str(chat), *asked, "eve"]) == ExitCode.BAD_DATA
    assert "no window" in capsys.readouterr().err
