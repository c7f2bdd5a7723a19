"""Entries of lists set by flags and environment, values that no configuration holds, and secrets that stay unsaid."""

from pathlib import Path

import pytest

from daemon.cli.main import main
from daemon.config.endpoints import CameraSourceTable, KafkaSourceTable
from daemon.config.errors import ConfigurationError
from daemon.config.source import load
from daemon.exit_codes import ExitCode

pytestmark = pytest.mark.unit

Captured = pytest.CaptureFixture[str]
TWO = """
[[sources]]
kind = "kafka"
[sources.kafka]
bootstrap_servers = ["127.0.0.1:9092"]
[[sources]]
kind = "camera"
[sources.camera]
session = "room-1"
"""


def write(folder: Path, text: str) -> Path:
    file = folder / "affectd.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_flag_and_the_environment_set_a_key_of_an_entry_of_a_list(tmp_path: Path) -> None:
    environ = {"AFFECTD__SOURCES__0__KAFKA__GROUP_ID": "7", "AFFECTD__SOURCES__1__CAMERA__SESSION": "lobby"}
    flags = ["sources.0.kafka.bootstrap_servers=['kafka:9092']", "sources.1.camera.session=hall"]
    kafka, camera = load(write(tmp_path, TWO), environ, flags).sources
    assert isinstance(kafka, KafkaSourceTable)
    assert isinstance(camera, CameraSourceTable)
    assert (kafka.kafka.bootstrap_servers, kafka.kafka.group_id) == (("kafka:9092",), "7")
    assert camera.camera.session == "hall"


def test_entries_can_be_made_in_the_order_of_their_numbers_without_a_file() -> None:
    environ = {
        f"AFFECTD__SOURCES__{index}__{key}": value
        for index in range(11)
        for key, value in (("KIND", "camera"), ("NAME", f"c{index}"), ("CAMERA", f'{{session="s", device={index}}}'))
    }
    assert [source.name for source in load(None, environ).sources] == [f"c{index}" for index in range(11)]


def test_the_environment_sets_an_entry_of_the_list_that_it_set(tmp_path: Path) -> None:
    environ = {
        "AFFECTD__SOURCES": '[{"kind": "camera", "camera": {"session": "a"}}]',
        "AFFECTD__SOURCES__0__CAMERA__SESSION": "b",
    }
    (camera,) = load(write(tmp_path, TWO), environ).sources
    assert isinstance(camera, CameraSourceTable)
    assert camera.camera.session == "b"


@pytest.mark.parametrize(
    ("flag", "problem"),
    [
        ("sources.5.name=a", "--set sources.5.name: there is no such key; set a whole list, or section and key"),
        ("sinks.0.file.path=a", "--set sinks.0.file.path sinks[0].kind: is required"),
        ("sources.name=a", "--set sources.name: there is no such key; set a whole list, or section and key"),
        (
            "sources.1.camera.sesion=a",
            "--set sources.1.camera.sesion sources[1].camera.sesion: unknown key; did you mean session?",
        ),
    ],
)
def test_a_key_that_is_in_no_list_is_named(flag: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(write(tmp_path, TWO), {}, [flag])
    assert raised.value.problems == (problem,)


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("a = 1\nb = " + "[" * 5000 + "]" * 5000, 2, "nested too deep"),
        ("a = 1\nb = " + "[" * 40 + "]" * 40, 2, "nested too deep"),
        ("[windows]\nsize_s" + ".a" * 500 + " = 1\nb = 1", 2, "nested too deep"),
        ("a = 1\n\nb = 1" + "0" * 5000, 3, "a number of too many digits"),
    ],
    ids=["very deep", "deep", "dotted", "long number"],
)
def test_what_is_too_deep_or_too_long_to_read_is_named_with_its_line(
    text: str, line: int, sentence: str, tmp_path: Path, capsys: Captured
) -> None:
    file = write(tmp_path, text)
    assert main(["check-config", str(file)]) == ExitCode.CONFIGURATION
    assert capsys.readouterr().err == f"{file}:{line}: {sentence}\n"


@pytest.mark.parametrize("value", ["[" * 5000, "[" * 5000 + "]" * 5000, "9" * 5000, '{"a":' * 50 + "1" + "}" * 50])
def test_what_is_too_deep_or_too_long_in_a_flag_is_a_wrong_value(value: str, capsys: Captured) -> None:
    assert main(["show-config", "--set", f"windows.size_s={value}"]) == ExitCode.CONFIGURATION
    assert capsys.readouterr().err.startswith(
        "--set windows.size_s windows.size_s: must be a number, without quotes (is"
    )


@pytest.mark.parametrize("value", ["0", "-1", "1e308", "1e-300", "nan", "inf", "-inf", "1" + "0" * 400])
@pytest.mark.parametrize(
    "key",
    [
        *("windows.size_s", "windows.step_s", "windows.idle_after_s", "windows.session_timeout_s"),
        *("video.sample_hz", "video.max_side_px", "video.max_pixels", "video.detect_every_s"),
        *("text.max_line_bytes", "model.batch_rows", "delivery.revoke_timeout_s"),
    ],
)
def test_no_absurd_number_is_taken(key: str, value: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(None, {}, [f"{key}={value}"])
    assert all(problem.startswith(f"--set {key} {key}: must be ") for problem in raised.value.problems)


@pytest.mark.parametrize("value", ["-1", "0", "1e308", "1e-300", "inf", '"fast"', "true"])
def test_no_absurd_speed_is_taken(value: str, tmp_path: Path) -> None:
    file = write(tmp_path, f"[[sources]]\nkind = 'media'\n[sources.media]\npaths = ['a.mp4']\nspeed = {value}\n")
    with pytest.raises(ConfigurationError, match=r'^\S*:5 sources\[0\].media.speed: must be "max" or a number from'):
        load(file, {})


@pytest.mark.parametrize("start", ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59Z"])
def test_no_time_that_nanoseconds_cannot_count_is_taken(start: str, tmp_path: Path) -> None:
    file = write(tmp_path, f"[[sources]]\nkind = 'media'\n[sources.media]\npaths = ['a.mp4']\nstart = {start}\n")
    with pytest.raises(ConfigurationError, match=r"media.start: must be a time from 1971 to 2199"):
        load(file, {})
    assert main(["replay", "a.mp4", "--start", start]) == ExitCode.USAGE


def test_windows_may_not_overlap_a_thousandfold(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"step_s: must be at least a thousandth of windows.size_s, 0\.6"):
        load(write(tmp_path, "[windows]\nsize_s = 600\nstep_s = 0.5\n"), {})


CAMERA = "[[sources]]\nkind = 'camera'\n[sources.camera]\nsession = 'a'\n"


@pytest.mark.parametrize(
    "wrong",
    [
        CAMERA.replace("'a'", "'rtsp://me:s3cret@10.0.0.9/1'")
        + "device = 1.5\nsize_s = 1\n[windows]\nsize_s = 'http://h/?s3cret'",
        "sources = [{kind = 'camera', camera = 'rtsp://me:s3/cr@s3cret@10.0.0.9/1'}]",
        "[model]\npath = ['http://10.0.0.9/?token=s3cret']",
        "[http]\ntoken_file = ['s3cret']",
        "[http]\ntoken_file = 's3cret'\nallow_anonymous = true",
        "[windows]\n'rtsp://me:s3cret@10.0.0.9/1' = 1",
        CAMERA + "device = 'rtps://me:s3cret@10.0.0.9/1'",
        CAMERA + "device = 'rtsp://me:s3cret@10.0.0.9/1'\n" + CAMERA + "device = 'rtsp://me:s3cret@10.0.0.9/1'",
    ],
)
def test_no_message_about_a_configuration_repeats_a_secret(wrong: str, tmp_path: Path, capsys: Captured) -> None:
    assert main(["check-config", str(write(tmp_path, wrong))]) == ExitCode.CONFIGURATION
    heard = capsys.readouterr()
    assert "s3cret" not in heard.err + heard.out
    assert heard.err


@pytest.mark.parametrize(
    "flag", ["http://me:s3cret@h/", "sources.0.camera.device=rtps://me:s3cret@h/", "model.device=http://h?t=s3cret"]
)
def test_no_message_about_a_flag_repeats_a_secret(flag: str, tmp_path: Path, capsys: Captured) -> None:
    assert main(["show-config", str(write(tmp_path, CAMERA)), "--set", flag]) == ExitCode.CONFIGURATION
    assert "s3cret" not in capsys.readouterr().err


def test_show_config_masks_the_passwords_of_addresses(tmp_path: Path, capsys: Captured) -> None:
    second = CAMERA.replace("camera'\n", "camera'\nname = 'b'\n", 1)
    text = f"{CAMERA}device = 'rtsp://me:s3cret@10.0.0.9/1'\n{second}device = 'http://10.0.0.9/v?token=s3cret'\n"
    assert main(["show-config", str(write(tmp_path, text))]) == ExitCode.OK
    shown = capsys.readouterr().out
    assert "s3cret" not in shown
    assert 'device = "rtsp://...@10.0.0.9/1"' in shown
    assert 'device = "http://10.0.0.9/v?..."' in shown


def test_text_of_the_environment_that_is_no_unicode_is_a_wrong_value(capsys: Captured) -> None:
    assert main(["show-config", "--set", "privacy.purpose=\udcff"]) == ExitCode.CONFIGURATION
    assert "privacy.purpose" in capsys.readouterr().err


def test_a_nul_is_told_where_it_stands(tmp_path: Path, capsys: Captured) -> None:
    file = write(tmp_path, '[model]\npath = "a\\u0000b"\n')
    assert main(["check-config", str(file)]) == ExitCode.CONFIGURATION
    assert capsys.readouterr().err == f"{file}:2 model.path: must not hold a NUL character\n"
