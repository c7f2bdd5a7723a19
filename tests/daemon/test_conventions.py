"""Conventions that nobody should have to remember: import directions, names, sizes, time and pickle."""

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
PACKAGES = ("daemon", "streams", "models")
FORBIDDEN = {"streams": {"daemon", "models", "torch"}, "models": {"daemon", "streams", "kafka"}, "daemon": set[str]()}
BANNED_NAMES = re.compile(r"Manager|Helper|Util|Handler|^_*process_")
READS_TIME = {("time", name) for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "sleep")}
READS_TIME |= {("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today")}
LONGEST_LINES = 400
LONGEST_FIRST_LINE_WORDS = 12
FLOORS = ("served", "metrics", "data", "evaluation", "training", "studies")

MODULES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


NAMES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in MODULES}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_from_the_daemon_to_streams_and_models_and_nowhere_else(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    tops = {module.partition(".")[0] for module in imported(ast.parse(path.read_text(encoding="utf-8")))}
    assert not tops & FORBIDDEN[package]
    assert "tests" not in tops


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nothing_is_pickled(path: Path) -> None:
    tops = {module.partition(".")[0] for module in imported(ast.parse(path.read_text(encoding="utf-8")))}
    assert not tops & {"pickle", "dill", "cloudpickle", "joblib", "shelve"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_names_say_what_a_thing_is(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {
        node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert not {name for name in names if BANNED_NAMES.search(name)}
    assert path.stem not in {"utils", "helpers", "common", "misc"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_can_be_read_in_one_sitting(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_LINES


@pytest.mark.parametrize("path", [path for path in MODULES if name_of(path) != "streams/clock.py"], ids=name_of)
def test_only_the_clock_reads_time(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {
        (node.func.value.id, node.func.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name)
    }
    assert not called & READS_TIME
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "time"
        for alias in node.names
    }
    measures_itself = name_of(path).startswith(("models/evaluation/", "models/studies/"))  # `models` has no clock
    assert imported <= ({"perf_counter"} if measures_itself else set())


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_docstrings_begin_with_one_short_line(path: Path) -> None:
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    nodes = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, documented)]
    first_lines = [(ast.get_docstring(node) or "").split("\n")[0] for node in nodes]
    assert not [line for line in first_lines if len(line.split()) > LONGEST_FIRST_LINE_WORDS]


def test_imports_make_no_circle() -> None:
    graph = {dotted(path): set(modules_imported(path)) for path in MODULES}
    TopologicalSorter(graph).prepare()  # CycleError names a circle


def test_rooms_of_the_daemon_make_no_circle() -> None:
    rooms: dict[str, set[str]] = {}
    for path in MODULES:
        if (room := room_of(dotted(path))).startswith("daemon."):
            rooms.setdefault(room, set()).update({room_of(module) for module in modules_imported(path)} - {room})
    TopologicalSorter(rooms).prepare()


@pytest.mark.parametrize("path", [path for path in MODULES if name_of(path).startswith("models/")], ids=name_of)
def test_floors_of_models_import_only_what_lies_below(path: Path) -> None:
    above = FLOORS[floor(dotted(path)) + 1 :]
    assert not {module for module in modules_imported(path) if FLOORS[floor(module)] in above}


@pytest.mark.parametrize(
    "path", [path for path in MODULES if name_of(path).startswith(("daemon/runtime/", "daemon/scoring/"))], ids=name_of
)
def test_the_service_does_not_know_kafka(path: Path) -> None:
    assert not [module for module in modules_imported(path) if module.startswith("streams.kafka")]


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def modules_imported(path: Path) -> Iterator[str]:
    """Our modules that a module imports, wherever in it, by dotted name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in NAMES)
        elif isinstance(node, ast.ImportFrom) and node.module in NAMES:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in NAMES else node.module


def room_of(module: str) -> str:
    """The folder below the package, or the module itself where it stands in none."""
    return ".".join(module.split(".")[:2])


def floor(module: str) -> int:
    """The index in FLOORS; what has no room of a floor is served."""
    room = module.split(".")[1] if module.count(".") else ""
    return FLOORS.index(room) if room in FLOORS else 0


def test_the_guards_look_at_real_modules() -> None:
    assert {"streams/clock.py", "daemon/cli/main.py", "models/labels.py"} <= {name_of(path) for path in MODULES}
