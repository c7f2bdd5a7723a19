"""What the configuration holds, where it comes from, and what it says when it cannot be used."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from daemon.config import Config
from daemon.config.endpoints import CameraSourceTable, ChatSourceTable, FileSinkTable, MediaSourceTable, StdoutSinkTable
from daemon.config.errors import ConfigurationError
from daemon.config.source import load
from daemon.config.toml_file import line_numbers
from daemon.config.values import split_address

pytestmark = pytest.mark.unit


def write(folder: Path, text: str) -> Path:
    file = folder / "camera.toml"
    file.write_text(text, encoding="utf-8")
    return file


def problems(
    folder: Path, text: str, environ: dict[str, str] | None = None, settings: tuple[str, ...] = ()
) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        load(write(folder, text), environ or {}, settings)
    return [problem.removeprefix(f"{folder}/") for problem in raised.value.problems]


def test_without_a_file_everything_has_its_default() -> None:
    config = load(None, {})
    assert config == Config()
    assert (config.windows.size_s, config.windows.step_s, config.windows.disorder_bound_ms) == (4.0, 1.0, 500)
    assert config.sinks == (StdoutSinkTable(kind="stdout"),)


def test_window_times_are_also_whole_nanoseconds() -> None:
    windows = load(None, {}, ["windows.size_s=1.1", "windows.step_s=0.1"]).windows
    assert (windows.size_ns, windows.step_ns) == (1_100_000_000, 100_000_000)
    assert (windows.disorder_bound_ns, windows.grace_ns, windows.idle_after_ns) == (500_000_000, 0, 3_000_000_000)


def test_each_kind_of_source_has_a_table_of_its_own(tmp_path: Path) -> None:
    text = """
        [[sources]]
        kind = "camera"
        name = "front"
        [sources.camera]
        device = "rtsp://127.0.0.1:5554/cam1"
        session = "room-1"

        [[sources]]
        kind = "chat"
        chat = { transport = "unix", path = "/run/affectd/chat", session = "room-1" }

        [[sources]]
        kind = "media"
        [sources.media]
        paths = ["a.mp4", "b.wav"]
        speed = "max"
        start = 2024-05-01T10:00:00+02:00

        [[sinks]]
        kind = "file"
        [sinks.file]
        path = "out.jsonl"
    """
    camera, chat, media = load(write(tmp_path, text), {}).sources
    assert isinstance(camera, CameraSourceTable)
    assert (camera.name, camera.camera.device) == ("front", "rtsp://127.0.0.1:5554/cam1")
    assert isinstance(chat, ChatSourceTable)
    assert (chat.name, chat.chat.path) == ("chat", "/run/affectd/chat")
    assert isinstance(media, MediaSourceTable)
    assert (media.media.paths, media.media.speed) == (("a.mp4", "b.wav"), "max")
    assert media.media.start == datetime(2024, 5, 1, 8, tzinfo=UTC)
    assert media.media.start_ns == 1_714_550_400_000_000_000
    (sink,) = load(write(tmp_path, text), {}).sinks
    assert isinstance(sink, FileSinkTable)
    assert sink.file.path == "out.jsonl"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\n[windows]\nstep_s = 0\n", "camera.toml:3 windows.step_s: must be at least 0.01 (is 0)"),
        ('[windows]\nsize_s = "4"\n', 'camera.toml:2 windows.size_s: must be a number, without quotes (is "4")'),
        (
            "[video]\nmax_pixels = 1.5\n",
            "camera.toml:2 video.max_pixels: must be a whole number, without quotes (is 1.5)",
        ),
        ("[windows]\nsize_s = nan\n", "camera.toml:2 windows.size_s: must be a finite number (is NaN)"),
        ("[text]\nmax_line_bytes = 1\n", "camera.toml:2 text.max_line_bytes: must be at least 64 (is 1)"),
        ("[windows]\nstep_s = 5\n", "camera.toml:2 windows.step_s: must be at most windows.size_s, 4.0 (is 5.0)"),
        (
            "[windows]\nsize_s = 1.5\nstep_s = 1.5\n",
            "camera.toml:3 windows.step_s: leaves seconds of sound that lie whole in no window; "
            "take a step of whole seconds, or a longer window (is 1.5)",
        ),
        (
            "[risk]\ndrowsiness = true\n[video]\nsample_hz = 2\n",
            "camera.toml:4 video.sample_hz: must be at least 5 with risk.drowsiness, which tells blinks by their "
            "length (is 2.0)",
        ),
        (
            "[windows]\nstep_s = 0.5\nsmoothing_s = 1.2\n",
            "camera.toml:3 windows.smoothing_s: must be a multiple of windows.step_s, 0.5 (is 1.2)",
        ),
        (
            "[windows]\nsmoothing_s = 6\nsession_timeout_s = 9\n",
            "camera.toml:3 windows.session_timeout_s: must be at least windows.size_s and windows.smoothing_s "
            "together, 10.0: a session that is forgotten is not smoothed by what was before (is 9.0)",
        ),
        ('[privacy]\ntranscript = "yes"\n', 'camera.toml:2 privacy.transcript: must be true or false (is "yes")'),
        ('[model]\ndevice = "gpu"\n', "camera.toml:2 model.device: must be 'auto', 'cpu' or 'cuda' (is \"gpu\")"),
        (
            '[http]\nbind = "9109"\n',
            'camera.toml:2 http.bind: must be "host:port", such as "127.0.0.1:9109" (is "9109")',
        ),
        ("windows = 4\n", "camera.toml:1 windows: must be a table (is 4)"),
        ("sources = 4\n", "camera.toml:1 sources: must be a list (is 4)"),
        ("[[sources]]\nname = 'a'\n", "camera.toml:1 sources[0].kind: is required"),
    ],
)
def test_a_bad_value_is_reported_with_its_line_its_key_and_what_it_is(tmp_path: Path, text: str, expected: str) -> None:
    assert problems(tmp_path, text) == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[windows]\nsize_ms = 4000\n", "camera.toml:2 windows.size_ms: unknown key; it is set in seconds, as size_s"),
        ("[windows]\nsize = 4\n", "camera.toml:2 windows.size: unknown key; it is set in seconds, as size_s"),
        ("[video]\nface_polcy = 'all'\n", "camera.toml:2 video.face_polcy: unknown key; did you mean face_policy?"),
        ("[text]\nzzz = 1\n", "camera.toml:2 text.zzz: unknown key; known here are max_line_bytes"),
        ("[windws]\nsize_s = 1\n", "camera.toml:1 windws: unknown key; did you mean windows?"),
    ],
)
def test_an_unknown_key_is_an_error_that_names_the_right_one(tmp_path: Path, text: str, expected: str) -> None:
    assert problems(tmp_path, text) == [expected]


def test_all_errors_are_reported_at_once_each_in_its_own_table(tmp_path: Path) -> None:
    text = """\
[windows]
size_s = 0
[[sources]]
kind = "camera"
[sources.camera]
session = "room-1"
device = 0
[[sources]]
kind = "camera"
name = "back"
fps = 25
[sources.camera]
device = 1.5
[[sources]]
kind = "kinect"
[lifecycle]
drain_timeout_s = -1
"""
    assert problems(tmp_path, text) == [
        "camera.toml:2 windows.size_s: must be at least 0.01 (is 0)",
        "camera.toml:13 sources[1].camera.device: must be a number from 0 to 9999 or a name (is 1.5)",
        "camera.toml:12 sources[1].camera.session: is required",
        "camera.toml:11 sources[1].fps: unknown key; known here are kind, name, required, camera",
        "camera.toml:15 sources[2].kind: must be one of 'camera', 'microphone', 'chat', 'media', 'recorded', 'kafka'"
        ' (is "kinect")',
        "camera.toml:17 lifecycle.drain_timeout_s: must be at least 0 (is -1)",
    ]


@pytest.mark.parametrize(
    ("chat", "expected"),
    [
        ("transport = 'unix'\nsession = 'a'", "3 sources[0].chat.path: is required with transport unix"),
        ("transport = 'tcp'\nsession = 'a'", "3 sources[0].chat.address: is required with transport tcp"),
        ("transport = 'stdin'", "3 sources[0].chat.session: is required with transport stdin"),
        ("transport = 'http'\npath = 'x'", "5 sources[0].chat.path: has no meaning with transport http"),
    ],
)
def test_a_chat_source_says_what_its_transport_needs(tmp_path: Path, chat: str, expected: str) -> None:
    (problem,) = problems(tmp_path, f"[[sources]]\nkind = 'chat'\n[sources.chat]\n{chat}\n")
    assert problem.startswith(f"camera.toml:{expected}")


OPEN = (
    "is reached from other machines, so it needs http.token_file, or http.allow_anonymous = true for no token (is {!s})"
)


@pytest.mark.parametrize("bind", ["0.0.0.0:9109", "[::]:9109", "192.0.2.1:80", "affectd.example:9109"])
def test_an_address_that_others_reach_needs_a_token_or_to_be_open_on_purpose(tmp_path: Path, bind: str) -> None:
    text = f'[http]\nbind = "{bind}"\n'
    assert problems(tmp_path, text) == [f"camera.toml:2 http.bind: {OPEN.format(json.dumps(bind))}"]
    assert load(write(tmp_path, text + "token_file = 'token'\n"), {}).http.token_file == "token"
    assert load(write(tmp_path, text + "allow_anonymous = true\n"), {}).http.allow_anonymous


@pytest.mark.parametrize("bind", ["127.0.0.1:9109", "127.8.8.8:1", "[::1]:9109", "localhost:0", ""])
def test_a_loopback_address_needs_no_token(bind: str) -> None:
    assert load(None, {"AFFECTD__HTTP__BIND": bind}).http.bind == bind


def test_a_token_and_access_without_one_contradict_each_other(tmp_path: Path) -> None:
    assert problems(tmp_path, "[http]\ntoken_file = 'token'\nallow_anonymous = true\n") == [
        "camera.toml:3 http.allow_anonymous: has no meaning with http.token_file (is true)"
    ]


def test_two_sources_may_not_share_a_name(tmp_path: Path) -> None:
    one = "[[sources]]\nkind = 'camera'\n[sources.camera]\nsession = 'a'\n"
    (problem,) = problems(tmp_path, f"{one}{one}device = 1\n")
    assert problem == 'camera.toml:5 sources[1].name: must be unique; another source has this name (is "camera")'


def test_the_environment_is_stronger_than_the_file_and_a_flag_than_both(tmp_path: Path) -> None:
    file = write(tmp_path, "[windows]\nsize_s = 2\nstep_s = 0.5\n[video]\nsample_hz = 1\n")
    environ = {"AFFECTD__WINDOWS__SIZE_S": "3", "AFFECTD__VIDEO__SAMPLE_HZ": "2", "AFFECTD_DATA": "unrelated"}
    config = load(file, environ, ["video.sample_hz=4"])
    assert (config.windows.size_s, config.windows.step_s, config.video.sample_hz) == (3, 0.5, 4)


@pytest.mark.parametrize(
    "value",
    ['[{"kind": "chat", "chat": {"transport": "http"}}]', '[{kind = "chat", chat = {transport = "http"}}]'],
    ids=["json", "toml"],
)
def test_the_environment_sets_a_whole_list(tmp_path: Path, value: str) -> None:
    file = write(tmp_path, "[[sources]]\nkind = 'camera'\n[sources.camera]\nsession = 'a'\n")
    (source,) = load(file, {"AFFECTD__SOURCES": value}).sources
    assert isinstance(source, ChatSourceTable)


def test_text_needs_no_quotes_in_the_environment_even_where_it_looks_like_a_number() -> None:
    config = load(None, {"AFFECTD__PRIVACY__PURPOSE": "123", "AFFECTD__HTTP__BIND": ""}, ["model.path=/srv/a=b"])
    assert (config.privacy.purpose, config.http.bind, config.model.path) == ("123", "", "/srv/a=b")


def test_an_error_in_the_environment_or_in_a_flag_names_it(tmp_path: Path) -> None:
    environ = {"AFFECTD__WINDOWS__SIZE_S": "long", "AFFECTD__WINDOWS__SIZE_S__X": "1", "AFFECTD__SINKS": "[1]"}
    found = problems(tmp_path, "[windows]\nsize_s = 2\n", environ, ("text.max_line_bytes=0", "nonsense"))
    assert found == [
        "AFFECTD__WINDOWS__SIZE_S__X: there is no such key; set a whole list, or section and key",
        'AFFECTD__WINDOWS__SIZE_S windows.size_s: must be a number, without quotes (is "long")',
        "--set text.max_line_bytes text.max_line_bytes: must be at least 64 (is 0)",
        "AFFECTD__SINKS sinks[0]: must be a table (is 1)",
        f"--set nonsense nonsense: unknown key; known here are {', '.join(Config.model_fields)}",
    ]


def test_a_file_that_is_missing_or_no_text_or_no_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent\.toml: cannot be read: No such file or directory"):
        load(tmp_path / "absent.toml", {})
    (tmp_path / "binary.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(ConfigurationError, match=r"binary\.toml: is not UTF-8 text \(byte 5\)"):
        load(tmp_path / "binary.toml", {})
    assert problems(tmp_path, "[windows]\nsize_s = = 2\n") == ["camera.toml:2 is not TOML: Invalid value, column 10"]


def test_lines_are_found_in_every_way_toml_can_be_written() -> None:
    text = '''# comment
a.b = 1
text = """
[not.a.table]
x = 1
"""

list = [
  1, # two
  2,
]
[[t]]
k = 1
[t.sub]
k = 1
[[t]]
[t.sub]
"quoted key" = { x = 1 }
'''
    lines = line_numbers(text)
    assert lines == {
        ("a",): 2,
        ("a", "b"): 2,
        ("text",): 3,
        ("list",): 8,
        ("t", 0): 12,
        ("t", 0, "k"): 13,
        ("t", 0, "sub"): 14,
        ("t", 0, "sub", "k"): 15,
        ("t", 1): 16,
        ("t", 1, "sub"): 17,
        ("t", 1, "sub", "quoted key"): 18,
        ("t", 1, "sub", "quoted key", "x"): 18,
    }


def test_an_address_is_split_and_ipv6_keeps_its_colons() -> None:
    assert split_address("127.0.0.1:80") == ("127.0.0.1", 80)
    assert split_address("[::1]:80") == ("::1", 80)


@pytest.mark.parametrize("address", ["localhost", ":80", "a:", "a:x", "a:65536", "a:-1"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        split_address(address)


DEEP = "x = " + "[" * 2_000 + "]" * 2_000
LONG = "size_s = " + "9" * 5_000


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"[http]\n{DEEP}\n[windows]\n", "camera.toml:2: nested too deep"),
        (DEEP, "camera.toml:1: nested too deep"),
        ("x = [\n" + "[\n" * 2_000 + "]\n" * 2_001, "nested too deep"),
        (f"[windows]\nstep_s = 1.0\n{LONG}", "camera.toml:3: a number of too many digits"),
        ("[windows]\nsize_s = 0x" + "f" * 5_000, "camera.toml:2 windows.size_s: "),
    ],
)
def test_what_is_too_deep_or_too_long_to_read_is_named_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    (found,) = problems(tmp_path, text)
    assert problem in found
    assert len(found) < 300


@pytest.mark.parametrize("value", ["[" * 5_000, '{"a":' * 5_000, "9" * 5_000, "0x" + "f" * 5_000])
def test_a_flag_that_is_too_deep_or_too_long_to_read_is_named(tmp_path: Path, value: str) -> None:
    (found,) = problems(tmp_path, "", settings=(f"windows.size_s={value}",))
    assert found.startswith("--set windows.size_s windows.size_s: ")
    assert len(found) < 300


def test_a_byte_order_mark_is_no_part_of_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "camera.toml"
    file.write_text("windows.size_s = 2.0\n", encoding="utf-8-sig")
    assert load(file, {}).windows.size_s == 2.0


def test_a_pipe_in_place_of_the_configuration_is_named_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "camera.toml")
    with pytest.raises(ConfigurationError, match=r"camera\.toml: is a pipe, not a file"):
        load(tmp_path / "camera.toml", {})


@pytest.mark.parametrize(
    ("windows", "smoothing_s"),
    [
        ("", 50),
        ("step_s = 4", 48),
        ("session_timeout_s = 20", 16),
        ("session_timeout_s = 3", 0),
        ("step_s = 0.01", 2.4),
        ("size_s = 600\nstep_s = 60", 0),
        ("smoothing_s = 0", 0),
        ("smoothing_s = 60\nsession_timeout_s = 90", 60),
    ],
)
def test_windows_are_smoothed_by_most_of_a_minute_or_what_fits_their_steps_and_the_session_timeout(
    windows: str, smoothing_s: float, tmp_path: Path
) -> None:
    file = tmp_path / "windows.toml"
    file.write_text(f"[windows]\n{windows}\n")
    assert load(file, {}).windows.smoothing_s == pytest.approx(smoothing_s)
