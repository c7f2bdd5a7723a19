"""What `check-config` and `run` say of files, folders and devices that a configuration names and that are not there."""

from pathlib import Path

import pytest

from daemon.cli.main import main
from daemon.exit_codes import ExitCode

pytestmark = pytest.mark.unit

Captured = pytest.CaptureFixture[str]
CHAT = "[[sources]]\nkind = 'chat'\nchat = { transport = 'http' }\n"


def says(folder: Path, text: str, capsys: Captured, status: ExitCode = ExitCode.CONFIGURATION) -> list[str]:
    """What check-config says of `text`, without the folder; `run` must refuse it in the same words."""
    file = folder / "affectd.toml"
    file.write_text(text, encoding="utf-8")
    assert main(["check-config", str(file)]) == status
    heard = capsys.readouterr().err
    if status is not ExitCode.OK:
        assert main(["run", "--config", str(file)]) == status
        assert capsys.readouterr().err == heard
    return [line.replace(f"{folder}/", "").removesuffix(" (is ") for line in heard.splitlines()]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            CHAT + "[model]\npath = '{}/nowhere'\n",
            "5 model.path: is no model folder: model.json and weights.safetensors cannot be read there",
        ),
        (
            "[[sources]]\nkind = 'media'\n[sources.media]\npaths = ['{}/a.mp4', '{}/affectd.toml']\n",
            "4 sources[0].media.paths[0]: is not there",
        ),
        (
            "[[sources]]\nkind = 'recorded'\n[sources.recorded]\npath = '{}/room'\n",
            "4 sources[0].recorded.path: is not there",
        ),
        (
            "[[sources]]\nkind = 'chat'\nchat = {{ transport = 'unix', session = 's', path = '{}/none/chat' }}\n",
            "3 sources[0].chat.path: lies in a folder that is missing or may not be written",
        ),
        (
            CHAT + "[[sinks]]\nkind = 'file'\nfile.path = '{}/affectd.toml/out/predictions.jsonl'\n",
            "6 sinks[0].file.path: cannot be made: affectd.toml is no folder",
        ),
        (CHAT + "[[sinks]]\nkind = 'file'\nfile.path = '{}'\n", "6 sinks[0].file.path: is a folder; a file is needed"),
        (CHAT + "[http]\ntoken_file = '{}/none'\n", "5 http.token_file: is not there (is set, and not shown)"),
        (CHAT + "[http]\ntoken_file = '{}/empty'\n", "5 http.token_file: cannot be used: is empty"),
        (
            "[[sources]]\nkind = 'kafka'\n[sources.kafka]\nbootstrap_servers = ['k:9092']\n"
            "[sources.kafka.security]\nprotocol = 'tls'\nca_file = '{}/none.pem'\n",
            "7 sources[0].kafka.security.ca_file: is not there",
        ),
        (
            "[[sources]]\nkind = 'kafka'\n[sources.kafka]\nbootstrap_servers = ['k:9092']\n"
            "[sources.kafka.security]\nprotocol = 'tls'\nca_file = '{}/affectd.toml'\n",
            '5 sources[0].kafka.security: affectd.toml holds no certificates of authorities (PEM) (is "tls")',
        ),
    ],
)
def test_what_is_not_there_is_named_with_its_line_and_key(
    text: str, problem: str, tmp_path: Path, capsys: Captured
) -> None:
    (tmp_path / "empty").touch(0o600)
    said = says(tmp_path, text.replace("{{", "{").replace("}}", "}").replace("{}", str(tmp_path)), capsys)
    assert len(said) == 1
    assert said[0].startswith(f"affectd.toml:{problem}")


def test_one_mistake_hides_no_other(tmp_path: Path, capsys: Captured) -> None:
    text = """\
[windows]
step_s = 0
[model]
path = "nowhere"
[http]
bind = "0.0.0.0:80"
[[sources]]
kind = "chat"
[sources.chat]
transport = "tcp"
session = "a"
[[sources]]
kind = "microfone"
[[sinks]]
kind = "file"
[sinks.file]
path = "affectd.toml/x"
"""
    (tmp_path / "affectd.toml").touch()
    said = says(tmp_path, text.replace('"affectd.toml/x"', f'"{tmp_path}/affectd.toml/x"'), capsys)
    assert [line.split(": ")[0] for line in said] == [
        "affectd.toml:2 windows.step_s",
        "affectd.toml:13 sources[1].kind",
        "affectd.toml:6 http.bind",
        "affectd.toml:9 sources[0].chat.address",
        "affectd.toml:4 model.path",
        "affectd.toml:17 sinks[0].file.path",
    ]


def test_without_sources_there_is_nothing_to_run(tmp_path: Path, capsys: Captured) -> None:
    said = says(tmp_path, "[windows]\nsize_s = 2\n", capsys)
    assert said == ["affectd.toml sources: none is configured; give at least one [[sources]] table"]
    assert main(["show-config", str(tmp_path / "affectd.toml")]) == ExitCode.OK, "replay needs no sources"


@pytest.mark.parametrize(
    ("mode", "is_warned"), [(0o666, True), (0o644, True), (0o660, True), (0o640, False), (0o600, False)]
)
def test_a_secret_that_others_may_read_is_a_warning(
    mode: int, is_warned: bool, tmp_path: Path, capsys: Captured
) -> None:
    (tmp_path / "token").write_text("secret")
    (tmp_path / "token").chmod(mode)
    said = says(tmp_path, f"{CHAT}[http]\ntoken_file = '{tmp_path}/token'\n", capsys, ExitCode.OK)
    warning = (
        f"warning: affectd.toml:5 http.token_file: may be read or changed by others (mode {mode:04o}); chmod 600 it"
    )
    assert said == [f"{warning} (is set, and not shown)"] * is_warned + ["affectd.toml: good"]


def test_a_camera_that_is_not_there_may_still_come(tmp_path: Path, capsys: Captured) -> None:
    text = "[[sources]]\nkind = 'camera'\n[sources.camera]\nsession = 'a'\ndevice = 77\n"
    assert says(tmp_path, text, capsys, ExitCode.OK) == [
        "warning: affectd.toml:5 sources[0].camera.device: is not there now; the daemon waits for it "
        '(affectd devices lists cameras) (is "77")',
        "affectd.toml: good",
    ]


def test_credentials_of_systemd_are_looked_at_where_it_gives_them(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"{CHAT}[http]\ntoken_file = 'credential:token'\n"
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    (warning, good) = says(tmp_path, text, capsys, ExitCode.OK)
    assert "only systemd gives credentials" in warning
    assert good == "affectd.toml: good"
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert says(tmp_path, text, capsys) == ["affectd.toml:5 http.token_file: is not there (is set, and not shown)"]
    (tmp_path / "token").write_text("secret")
    (tmp_path / "token").chmod(0o600)
    assert says(tmp_path, text, capsys, ExitCode.OK) == ["affectd.toml: good"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            CHAT + "[[sinks]]\nkind = 'file'\nfile.path = 'a'\n[[sinks]]\nkind = 'file'\nfile.path = './x/../a'\n",
            '9 sinks[1].file.path: is used by sinks[0].file.path too; give each its own (is "',
        ),
        (
            CHAT + "[[sinks]]\nkind = 'stdout'\n[[sinks]]\nkind = 'stdout'\n",
            "7 sinks[1].kind: is used by sinks[0].kind too",
        ),
        (
            CHAT + CHAT.replace("'chat'\n", "'chat'\nname = 'b'\n", 1),
            "7 sources[1].chat.transport: is used by sources[0].chat.transport too",
        ),
        (
            "[[sources]]\nkind = 'chat'\n[sources.chat]\ntransport = 'tcp'\nsession = 's'\n"
            "address = '127.0.0.1:9109'\n",
            "6 sources[0].chat.address: is used by http.bind too",
        ),
        (
            "[[sources]]\nkind = 'chat'\n[sources.chat]\ntransport = 'file'\nsession = 's'\npath = '/dev/null'\n"
            "[[sinks]]\nkind = 'file'\nfile.path = '/dev/null'\n",
            "9 sinks[0].file.path: is used by sources[0].chat.path too",
        ),
    ],
)
def test_what_only_one_can_use_is_given_to_one(text: str, problem: str, tmp_path: Path, capsys: Captured) -> None:
    said = says(tmp_path, text, capsys)
    assert len(said) == 1
    assert said[0].startswith(f"affectd.toml:{problem}")
