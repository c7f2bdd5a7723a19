"""A configuration starts from a profile, adds to it, and is told where either is wrong."""

from pathlib import Path

import pytest

from daemon.cli.main import main
from daemon.config.errors import ConfigurationError
from daemon.config.profiles import profile_file, profile_names, profile_settings
from daemon.config.source import load
from daemon.exit_codes import ExitCode
from streams.participants import NamedBy, Participant

pytestmark = pytest.mark.unit


def write(folder: Path, text: str, name: str = "own.toml") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def problems(file: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        load(file, {})
    return [problem.removeprefix(f"{file.parent}/") for problem in raised.value.problems]


def test_there_is_a_profile_for_each_field_of_use() -> None:
    assert profile_names() == ["customer-service", "driving", "education", "entertainment", "finance", "health"]


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_is_valid_and_says_what_it_is_for_and_what_not(name: str) -> None:
    config, settings = load(None, {}, [f"extends={name}"]), profile_settings(name)
    assert config.profile == settings
    assert settings.intended
    assert settings.prohibited
    assert config.privacy.purpose in settings.purposes
    assert config.profile_name == name


def test_what_a_file_sets_is_stronger_than_its_profile_and_the_rest_is_the_profiles(tmp_path: Path) -> None:
    config = load(write(tmp_path, 'extends = "health"\n[windows]\nstep_s = 4.0\n'), {})
    assert (config.windows.size_s, config.windows.step_s) == (8.0, 4.0)


def test_environment_and_flags_are_stronger_than_both_and_may_name_another_profile(tmp_path: Path) -> None:
    file = write(tmp_path, 'extends = "health"\n')
    environ = {"AFFECTD__EXTENDS": "finance", "AFFECTD__WINDOWS__SIZE_S": "5.0"}
    config = load(file, environ, ["windows.step_s=0.5"])
    assert (config.profile_name, config.windows.size_s, config.windows.step_s) == ("finance", 5.0, 0.5)


def test_a_file_extends_a_file_beside_it_which_extends_a_profile(tmp_path: Path) -> None:
    write(tmp_path, 'extends = "health"\n[windows]\nstep_s = 4.0\n', "clinic.toml")
    config = load(write(tmp_path, 'extends = "clinic.toml"\n[privacy]\njurisdiction = "EU"\n'), {})
    assert (config.windows.size_s, config.windows.step_s, config.privacy.jurisdiction) == (8.0, 4.0, "EU")
    assert config.profile_name == "clinic"


def test_a_list_of_a_file_takes_the_place_of_the_profiles(tmp_path: Path) -> None:
    write(tmp_path, '[[sinks]]\nkind = "file"\nfile = { path = "a.jsonl" }\n', "base.toml")
    config = load(write(tmp_path, 'extends = "base.toml"\n[[sinks]]\nkind = "stdout"\n'), {})
    assert [sink.kind for sink in config.sinks] == ["stdout"]


def test_a_mistake_in_a_profile_is_told_where_the_profile_has_it(tmp_path: Path) -> None:
    write(tmp_path, "[windows]\nstep_s = 0\n", "base.toml")
    (problem,) = problems(write(tmp_path, 'extends = "base.toml"\n[log]\nlevel = "info"\n'))
    assert problem.startswith("base.toml:2 windows.step_s: must be at least 0.01")


def test_a_profile_that_is_not_there_is_told_with_the_line_and_those_there_are(tmp_path: Path) -> None:
    (problem,) = problems(write(tmp_path, '\nextends = "helth"\n'))
    assert problem.startswith("own.toml:2 extends: must be a profile (customer-service, driving,")
    assert problem.endswith('or the path of a file (is "helth")')


def test_a_profile_that_extends_itself_is_told_with_the_way(tmp_path: Path) -> None:
    file = write(tmp_path, 'extends = "own.toml"\n')
    assert problems(file) == ["own.toml:1 extends: a profile cannot extend itself (own -> own)"]
    write(tmp_path, 'extends = "b.toml"\n', "a.toml")
    write(tmp_path, 'extends = "a.toml"\n', "b.toml")
    (problem,) = problems(write(tmp_path, 'extends = "a.toml"\n'))
    assert problem == "b.toml:1 extends: a profile cannot extend itself (a -> b -> a)"


def test_a_purpose_that_the_profile_does_not_permit_is_an_error(tmp_path: Path) -> None:
    file = write(tmp_path, 'extends = "education"\n[privacy]\npurpose = "grading"\n')
    (problem,) = problems(file)
    assert problem.startswith("own.toml:3 privacy.purpose: must be one of student-safety, trial, which the profile")


def test_the_command_lists_the_profiles_and_prints_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profiles"]) == ExitCode.OK
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == profile_names()
    file = profile_file("health")
    assert main(["profiles", "health"]) == ExitCode.OK
    assert file is not None
    assert capsys.readouterr().out == file.read_text(encoding="utf-8")
    assert main(["profiles", "nothing"]) == ExitCode.USAGE
    assert "must be one of customer-service" in capsys.readouterr().err


def test_education_scores_words_alone() -> None:
    assert load(None, {}, ["extends=education"]).model.modalities == ("text",)


@pytest.mark.parametrize("name", ["customer-service", "finance"])
def test_a_line_of_service_scores_customers_and_nobody_else(name: str) -> None:
    rules = load(None, {}, [f"extends={name}"]).participants.rules
    assert rules.scores(Participant("ann", NamedBy.CHANNEL, "customer"))
    assert not rules.scores(Participant("bob", NamedBy.CHANNEL, "agent"))
    assert not rules.scores(None)
