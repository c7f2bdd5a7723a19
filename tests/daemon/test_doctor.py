"""What `affectd doctor` and `affectd devices` say of a machine on which something is missing."""

from pathlib import Path

import pytest

from daemon.cli.main import main
from daemon.commands import doctor
from daemon.config.source import load
from daemon.exit_codes import ExitCode
from streams.findings import Finding, Verdict
from streams.sources.base import SourceError
from streams.sources.devices import discovery
from streams.sources.devices.discovery import CameraDevice, MicrophoneDevice

pytestmark = pytest.mark.unit

Captured = pytest.CaptureFixture[str]
CAMERA = CameraDevice(Path("/dev/video0"), "Integrated", None)
MICROPHONE = MicrophoneDevice(3, "USB", "ALSA", 1, 48_000, True)


def no_portaudio() -> list[MicrophoneDevice]:
    raise SourceError("microphones need PortAudio (Debian: libportaudio2)")


def test_cameras_are_listed_where_microphones_cannot_be(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setattr(discovery, "cameras", lambda: [CAMERA])
    monkeypatch.setattr(discovery, "microphones", no_portaudio)
    assert main(["devices"]) == ExitCode.UNAVAILABLE
    heard = capsys.readouterr()
    assert heard.out == "camera\t/dev/video0\tIntegrated\n"
    assert heard.err == "microphones need PortAudio (Debian: libportaudio2)\n"


def test_devices_are_listed_and_none_is_said_to_be_none(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setattr(discovery, "cameras", list)
    monkeypatch.setattr(discovery, "microphones", lambda: [MICROPHONE])
    assert main(["devices"]) == ExitCode.OK
    assert capsys.readouterr().out == "microphone\t3\tUSB (ALSA, 1 channels, 48000 Hz, default)\n"
    monkeypatch.setattr(discovery, "microphones", list)
    assert main(["devices"]) == ExitCode.OK
    assert capsys.readouterr().err == "no camera and no microphone was found\n"


def test_what_the_configuration_names_and_is_not_there_is_found_without_a_secret(tmp_path: Path) -> None:
    file = tmp_path / "affectd.toml"
    file.write_text(
        "[[sources]]\nkind = 'camera'\n[sources.camera]\nsession = 'a'\ndevice = 'http://me:s3cret@10.0.0.9/v?t=s3cret'\n"
        "[[sources]]\nkind = 'media'\n[sources.media]\npaths = ['/nowhere/a.mp4']\n"
        f"[http]\ntoken_file = '{tmp_path}/none'\n"
    )
    found = list(doctor._named(load(file, {})))
    assert found == [
        Finding(Verdict.BAD, "sources[1].media.paths[0]", 'is not there (is "/nowhere/a.mp4")'),
        Finding(Verdict.BAD, "http.token_file", "is not there (is set, and not shown)"),
    ]


def test_doctor_says_that_there_is_nothing_to_run() -> None:
    (sources, files) = doctor._named(load(None, {}))
    assert (sources.verdict, sources.subject) == (Verdict.NOTE, "sources")
    assert files.verdict is Verdict.GOOD


@pytest.mark.parametrize(
    ("settings", "verdict", "parts"),
    [
        (("model=tiny", "language=en"), Verdict.GOOD, ("tiny.en of an installed package", "language en")),
        (("enabled=false",), Verdict.NOTE, ("switched off", "transcription.enabled")),
        (("model=tiny", "language=de"), Verdict.BAD, ("has no language 'de'", "set transcription.model")),
        (("model=large-v9/none",), Verdict.BAD, ("not in the local cache", "to fetch it", "transcription.enabled")),
    ],
)
def test_the_recogniser_is_tried_with_its_language(
    settings: tuple[str, ...], verdict: Verdict, parts: tuple[str, ...]
) -> None:
    (found,) = doctor._recognizer(load(None, {}, [f"transcription.{each}" for each in settings]))
    assert (found.verdict, found.subject) == (verdict, "recogniser")
    assert [part for part in parts if part not in found.sentence] == [], found.sentence


def test_a_recogniser_folder_that_is_not_whole_is_named_by_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (found,) = doctor._recognizer(load(None, {}, [f"transcription.model={tmp_path}"]))
    assert found.verdict is Verdict.BAD
    assert str(tmp_path) in found.sentence
    assert "model.bin" in found.sentence
