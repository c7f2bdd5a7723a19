"""The documents agree with the code: every command, field, code, metric, key and name in them is there."""

import ast
import json
import re
import shlex
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest

from daemon.cli.main import cli
from daemon.config import Config
from daemon.exit_codes import ExitCode
from daemon.http.view import RefusalReason
from daemon.lifecycle import LifecycleState
from models.labels import EMOTIONS
from models.scores import Abstention
from streams.predictions import Prediction, json_schema, prediction_id
from streams.reasons import ClosedBy, DropReason, UntoldReason, UtteranceOutcome
from streams.source_state import SourceState
from streams.telemetry import CommitOutcome, OffsetResetReason, SequenceFault, SoundFault
from tests.daemon.test_metrics import everything_happened
from tests.documents import (
    DOCUMENTS,
    NOT_RUN,
    ROOT,
    RUN_HERE,
    RUN_WITH_A_BROKER,
    blocks,
    code_words,
    commands,
    prose,
    rows,
    text,
)

pytestmark = pytest.mark.unit

PACKAGES = ("daemon", "streams", "models", "tests")
SIGN = "daemon/README.md"
CLIENTS = ("bash", "javascript", "python")  # tests/daemon/test_document_clients.py runs them
HISTORY = "CHANGELOG.md"  # names what there was
NAMING = [document for document in DOCUMENTS if document != HISTORY]
PRINTED = [(document, command) for document in DOCUMENTS for command in commands(document)]


# Sizes and pictures.


def test_readme_is_read_in_five_minutes() -> None:
    assert (ROOT / "README.md").stat().st_size <= 8192


def test_every_package_has_a_sign_at_its_door() -> None:
    assert {f"{package}/README.md" for package in (*PACKAGES, "deploy")} <= set(DOCUMENTS)


def test_the_picture_of_the_sample_is_small() -> None:
    picture = ROOT / "daemon" / "sample" / "timeline.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size <= 150_000


# Commands.


def test_every_command_is_run_by_a_test_or_says_why_not() -> None:
    run = {each for place in RUN_HERE + RUN_WITH_A_BROKER for each in commands(*place)}
    printed = {command for _, command in PRINTED}
    assert printed - run - NOT_RUN.keys() == set()
    assert NOT_RUN.keys() - printed == set()


def test_the_tests_that_stand_for_a_command_are_there() -> None:
    named = {path for reason in NOT_RUN.values() for path in re.findall(r"tests/[\w/.]+\w", reason)}
    assert named
    assert {path for path in named if not (ROOT / path).exists()} == set()


def test_only_blocks_that_tests_read_hold_commands_and_code() -> None:
    languages = {(document, name) for document in DOCUMENTS for name in re.findall(r"^```(.*)$", text(document), re.M)}
    shown = {"", "sh", "text", "json", "toml"}  # "": the end of a block
    assert {each for each in languages if each[1] not in shown} == {(SIGN, name) for name in CLIENTS}
    assert not [document for document in DOCUMENTS if blocks(document, "")]


@pytest.mark.parametrize("command", sorted({each for _, each in PRINTED if each.startswith("affectd ")}))
def test_every_command_of_affectd_is_understood(command: str) -> None:
    _, name, *arguments = shlex.split(command)
    cli.commands[name].make_context(name, arguments, parent=click.Context(cli))


def test_make_knows_its_printed_targets() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    printed = {word for _, command in PRINTED if command.startswith("make") for word in command.split()[1:]}
    assert {word for word in printed if "=" not in word} <= targets


def test_the_table_of_commands_is_that_of_affectd() -> None:
    assert sorted(row[0].strip("`") for row in rows(SIGN, "Commands")) == sorted(cli.commands)


def test_modules_that_are_run_by_name_can_be() -> None:
    modules = {command.split()[2] for _, command in PRINTED if command.startswith("python -m ")}
    assert modules
    for module in modules:
        assert "__main__" in ROOT.joinpath(*module.split(".")).with_suffix(".py").read_text(encoding="utf-8")


# Names.


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_to_what_is_there(document: str) -> None:
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", prose(document)) if "://" not in link]
    assert not [link for link in links if not is_there(document, *link.partition("#")[::2])]


def is_there(document: str, path: str, anchor: str) -> bool:
    """Whether the file is, and in it the heading that the anchor names."""
    file = (ROOT / document).parent / path if path else ROOT / document
    if not anchor or not file.is_file():
        return file.exists()
    headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", NAMING)
def test_paths_in_documents_are_there(document: str) -> None:
    tops = {path.name for path in ROOT.iterdir() if path.is_dir()} & {*PACKAGES, "deploy"}
    printed = [word for command in commands(document) for word in command.split()]
    named = {word for word in code_words(document) | set(printed) if word.partition("/")[0] in tops and "/" in word}
    assert {word for word in named if not list(ROOT.glob(word.rstrip("/")))} == set()


@pytest.mark.parametrize("document", NAMING)
def test_dotted_names_in_documents_are_there(document: str) -> None:
    printed = [word for command in commands(document) for word in command.split()]
    dotted = re.compile(rf"(?:{'|'.join(PACKAGES)})(?:\.\w+)+")
    named = {word for word in code_words(document) | set(printed) if dotted.fullmatch(word)}
    assert {name for name in named if not defined(name)} == set()


def defined(name: str) -> bool:
    """Whether a dotted name is a module, or something at the top of one."""
    parts = name.split(".")
    for i in range(len(parts), 0, -1):
        place = ROOT.joinpath(*parts[:i])
        file = next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)
        if file is not None:
            return i == len(parts) or (i == len(parts) - 1 and parts[-1] in top_names(file))
    return False


def top_names(file: Path) -> set[str]:
    names = set[str]()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {each.id for each in node.targets if isinstance(each, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


@pytest.mark.parametrize("document", NAMING)
def test_configuration_keys_in_documents_are_there(document: str) -> None:
    single = {name: field.annotation for name, field in Config.model_fields.items()}
    tables = {name: kind for name, kind in single.items() if hasattr(kind, "model_fields")}
    keyed = re.compile(rf"({'|'.join(tables)})\.(\w+)(?: = .*)?")
    named = [match for word in code_words(document) if (match := keyed.fullmatch(word))]
    wrong = {match[0] for match in named if match[2] not in getattr(tables[match[1]], "model_fields", ())}
    assert wrong - fields(json_schema()).keys() - {"model.json", "model.bin"} == set()


@pytest.mark.parametrize("document", NAMING)
def test_metrics_in_documents_are_there(document: str) -> None:
    named = {match for word in code_words(document) for match in re.findall(r"affectd_[a-z_]+", word)} - {"affectd_"}
    assert named - metrics().keys() == set()


def test_the_guards_see_names() -> None:
    assert defined("streams.predictions.Prediction")
    assert not defined("streams.predictions.Prophecy")
    assert not defined("streams.prophecy")
    assert "windows.size_s = 4" in code_words(SIGN)


# The tables of daemon/README.md.


def metrics() -> dict[str, set[str]]:
    """Every metric's name, as it is scraped but for the endings of histograms, with its labels."""
    found = dict[str, set[str]]()
    for family in everything_happened().registry.collect():
        ending = {"counter": "_total", "info": "_info"}.get(family.type, "")
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        found[family.name + ending] = labels
    return found


def metric_rows() -> dict[str, list[str]]:
    return {row[0].strip("`"): row for row in rows(SIGN, "Metrics")}


def test_every_metric_stands_in_the_table_with_its_labels() -> None:
    printed = {name: set(re.findall(r"`(\w+)`", labels)) for name, (_, labels, _) in metric_rows().items()}
    assert printed == metrics()


@pytest.mark.parametrize(
    ("metric", "values"),
    [
        ("affectd_source_state", SourceState),
        ("affectd_source_offset_resets_total", OffsetResetReason),
        ("affectd_events_dropped_total", DropReason),
        ("affectd_sequence_faults_total", SequenceFault),
        ("affectd_sound_discontinuities_total", SoundFault),
        ("affectd_windows_closed_total", ClosedBy),
        ("affectd_abstentions_total", Abstention),
        ("affectd_http_refused_total", RefusalReason),
        ("affectd_commits_total", CommitOutcome),
        ("affectd_lifecycle_state", LifecycleState),
        ("affectd_utterances_total", UtteranceOutcome),
        ("affectd_participants_untold_total", UntoldReason),
    ],
)
def test_the_values_of_a_label_are_those_of_its_enumeration(metric: str, values: Any) -> None:
    assert set(re.findall(r"`([a-z_]+)`", metric_rows()[metric][2])) - {"ce_sequence"} == set(values)


def test_every_exit_code_stands_in_the_table() -> None:
    assert {int(row[0]) for row in rows(SIGN, "Exit codes")} == {int(code) for code in ExitCode} | {130}


def fields(schema: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every field of a prediction with its schema; probabilities and categories are one, and so are the modalities."""
    wholes = {"EmotionProbabilities", "RiskCategories"}

    def walk(node: dict[str, Any], path: str) -> dict[str, dict[str, Any]]:
        options = node.get("anyOf", [node])
        if path == "participants":
            person = schema["$defs"]["ParticipantReport"]["properties"]
            return {path: {}} | {f"{path}[].{name}": inner for name, inner in person.items()}
        if path == "modalities.signals":
            return {path: {}}
        names = [option["$ref"].rpartition("/")[2] for option in options if "$ref" in option]
        if not names:
            item = node.get("items", {})
            return walk(item, f"{path}[]") if "$ref" in item else {path: node}
        found = {path: node} if len(options) > 1 or names[0] in wholes else {}
        if names[0] not in wholes:
            for name, inner in schema["$defs"][names[0]]["properties"].items():
                every = path == "modalities" and name != "signals"
                found |= walk(inner, f"{path}.{'*' if every else name}")
        return found

    found = dict[str, dict[str, Any]]()
    for name, inner in schema["properties"].items():
        found |= walk(inner, name)
    return found


def codes(node: Any) -> set[str]:
    """The words that a field may hold."""
    if isinstance(node, list):
        return {code for each in node for code in codes(each)}
    if not isinstance(node, dict):
        return set()
    return {*node.get("enum", ()), *codes(list(node.values()))}


def test_every_field_of_a_prediction_stands_in_the_table() -> None:
    printed = {row[0].strip("`") for row in rows(SIGN, "A prediction") if len(row) == 2}
    assert printed == fields(json_schema()).keys()


def test_every_code_of_a_prediction_stands_in_its_row() -> None:
    about = {row[0].strip("`"): row[1] for row in rows(SIGN, "A prediction") if len(row) == 2}
    coded = {path: found for path, field in fields(json_schema()).items() if (found := codes(field))}
    assert coded.keys() >= {"window.closed_by", "emotion.label", "risk.reasons[].code", "abstained.reason"}
    for path, values in coded.items():
        assert {value for value in values if f"`{value}`" not in about[path]} == set(), path


def example() -> Any:
    (printed,) = blocks(SIGN, "json", "A prediction")
    return json.loads(printed)


def test_the_example_is_a_prediction() -> None:
    jsonschema.validate(example(), json.loads((ROOT / "streams" / "schemas" / "prediction-1.json").read_text()))
    parsed = Prediction.model_validate(example())
    window = parsed.window
    assert parsed.id == prediction_id(parsed.session, window.start, window.end, parsed.model.digest)


def test_the_example_adds_up() -> None:
    probabilities = example()["emotion"]["probabilities"]
    assert sum(probabilities.values()) == pytest.approx(1, abs=0.004)
    added = sum(each["contribution"] for each in example()["modalities"].values())
    assert added == pytest.approx(max(probabilities.values()) - 1 / len(EMOTIONS), abs=0.004)
    assert example()["risk"]["score"] >= max(example()["risk"]["categories"].values())


def test_the_sections_that_tests_name_are_there() -> None:
    assert [place for place in RUN_HERE + RUN_WITH_A_BROKER if not commands(*place)] == []
