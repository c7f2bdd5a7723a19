"""What is declared, locked, shipped and imported: a stranger's install has all that it needs, and no more."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from daemon.cli.extras import EXTRA_BY_MODULE
from models.trusted_files import TRUSTED

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]
PACKAGES = ("daemon", "streams", "models")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCKS = ("constraints.txt", "deploy/constraints-dev.txt", "deploy/constraints-cuda.txt")

CARRIES_FILES = {file.distribution for file in TRUSTED} - {"affectd"}
NEVER_IMPORTED_HERE = {
    "crc32c": "kafka-python's checksums",
    "lz4": "kafka-python's decompression",
    "python-snappy": "kafka-python's decompression",
    "zstandard": "kafka-python's decompression",
    "tensorboard": "torch.utils.tensorboard",
    "mypy": "make lint",
    "pre-commit": "commits",
    "pytest-timeout": "pytest's option timeout",
    "pytest-xdist": "pytest's option numprocesses",
    "ruff": "make lint",
    "setuptools": "make's build without isolation",
}
# Several distributions carry this module, and an environment may hold more than one of them.
CARRIED_BY = {"cv2": "opencv-python"}


def declared(extra: str = "") -> dict[str, Requirement]:
    lines = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    found = [Requirement(line) for line in lines]
    return {canonicalize_name(requirement.name): requirement for requirement in found if requirement.name != "affectd"}


@cache
def distributions() -> dict[str, list[str]]:
    return {module: list(names) for module, names in packages_distributions().items()}


def distribution_of(module: str) -> str:
    return canonicalize_name(CARRIED_BY.get(module) or distributions()[module][0])


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def third_party(paths: set[Path]) -> set[str]:
    """The distributions whose modules are imported."""
    tops = {module.partition(".")[0] for path in paths for module in imports_of(path)}
    return {distribution_of(top) for top in tops - sys.stdlib_module_names - {*PACKAGES, "tests", "__future__"}}


def sources(*folders: str) -> set[Path]:
    return {path for folder in folders for path in (ROOT / folder).rglob("*.py")}


def file_of(module: str) -> Path | None:
    place = ROOT.joinpath(*module.split("."))
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


def reached_from(paths: set[Path], but: Path) -> set[Path]:
    """Our modules that these import, in functions too, and what those import, and so on; but one."""
    reached, left = set(paths), list(paths)
    while left:
        found = {file_of(module) for module in imports_of(left.pop()) if module.partition(".")[0] in PACKAGES}
        new = {path for path in found if path is not None} - reached - {but}
        reached |= new
        left += new
    return reached


# Declared and imported.


def test_what_is_imported_is_declared_and_what_is_declared_is_used() -> None:
    base, train, dev = declared(), declared("train"), declared("dev")
    imported = third_party(sources(*PACKAGES))
    assert imported - base.keys() - train.keys() == set()
    assert third_party(sources("tests", "deploy")) - base.keys() - train.keys() - dev.keys() == set()
    used = imported | CARRIES_FILES | NEVER_IMPORTED_HERE.keys()
    assert (base.keys() | train.keys()) - used == set()
    assert dev.keys() - third_party(sources("tests", "deploy")) - NEVER_IMPORTED_HERE.keys() == set()
    assert NEVER_IMPORTED_HERE.keys() & imported == set()


def test_the_service_and_its_commands_run_without_the_packages_of_training() -> None:
    """All that `daemon` imports, but for the commands that train and measure models."""
    training = ROOT / "daemon" / "cli" / "models.py"
    runs = reached_from(sources("daemon") - {training}, but=training)
    assert ROOT / "models" / "model.py" in runs
    needed = third_party(runs)
    assert needed - declared().keys() == set()
    assert "torch" in needed


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=200, check=False
    )


def modules_after(statement: str) -> set[str]:
    """The packages that have been imported after it."""
    ran = python(f"{statement}\nimport json, sys\nprint(json.dumps(list(sys.modules)))")
    assert ran.returncode == 0, ran.stderr
    return {name.partition(".")[0] for name in json.loads(ran.stdout.splitlines()[-1])}


HEAVY = {"torch", "sklearn", "scipy", "matplotlib", "onnxruntime", "faster_whisper", "transformers", "tensorboard"}


def test_help_imports_click_and_nothing_else_that_is_installed() -> None:
    shown = "from daemon.cli.main import main\nmain(['--help'])"
    installed = modules_after(shown) - modules_after("") - sys.stdlib_module_names - set(PACKAGES)
    assert installed == {"click"}


@pytest.mark.parametrize("command", ["run", "replay", "evaluate", "produce", "bench"])
def test_help_of_a_command_imports_nothing_that_the_command_works_with(command: str) -> None:
    works_with = HEAVY | {"cv2", "av", "numpy", "kafka", "pydantic", "starlette", "uvicorn", "prometheus_client"}
    assert modules_after(f"from daemon.cli.main import main\nmain(['{command}', '--help'])") & works_with == set()


def test_what_serves_no_http_and_reads_no_log_imports_no_library_for_them() -> None:
    loads = "import daemon.commands.replay, daemon.commands.demo, daemon.scoring.threads"
    assert modules_after(loads) & {"starlette", "uvicorn", "kafka"} == set()


def test_the_service_imports_what_scores_and_nothing_that_draws_or_trains() -> None:
    loads = "import daemon.runtime.service, daemon.scoring.threads, daemon.scoring.preparer, models.components"
    assert modules_after(loads) & HEAVY == {"torch", "onnxruntime", "faster_whisper"}


def test_a_command_whose_extra_is_missing_says_what_to_install() -> None:
    code = (
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] in {sorted(EXTRA_BY_MODULE)}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
        "from daemon.cli.main import main\n"
        "sys.exit(main(['evaluate', '--corpus', 'mosi', '--data', '.', '--split', 'test']))\n"
    )
    ran = python(code)
    assert ran.returncode == 75
    assert ran.stderr.strip() == "this needs sklearn, which a plain install leaves out: pip install 'affectd[train]'"
    assert {distribution_of(module) for module in EXTRA_BY_MODULE} <= declared("train").keys()


# Locked.


def locked(file: str) -> dict[str, tuple[Version, list[str]]]:
    """Version and digests of each package."""
    blocks = re.split(r"\n(?=[a-z0-9])", (ROOT / file).read_text(encoding="utf-8"))[1:]
    names = [re.match(r"([a-z0-9-]+)==(\S+)", block) for block in blocks]
    digests = [re.findall(r"--hash=sha256:([0-9a-f]{64})", block) for block in blocks]
    assert None not in names
    return {name[1]: (Version(name[2]), found) for name, found in zip(names, digests, strict=True) if name}


def test_every_package_is_locked_once_by_the_digests_of_its_files() -> None:
    run, dev, cuda = (locked(file) for file in LOCKS)
    assert len(run | dev | cuda) == len(run) + len(dev) + len(cuda)
    for name, (_, digests) in (run | dev | cuda).items():
        assert digests, name
    for name, requirement in declared().items():
        assert run[name][0] in requirement.specifier, name
    for name, requirement in (declared("train") | declared("dev")).items():
        assert (run | dev)[name][0] in requirement.specifier, name
    lines = [line for file in LOCKS for line in (ROOT / file).read_text(encoding="utf-8").splitlines()]
    assert not [line for line in lines if "://" in line or "--index" in line or "--find" in line]


def test_builds_of_torch_for_the_cpu_that_were_tried_are_locked_too() -> None:
    version, digests = locked("constraints.txt")["torch"]
    builds = [line.split() for line in (ROOT / "deploy" / "torch-cpu.sha256").read_text(encoding="utf-8").splitlines()]
    assert {digest for digest, wheel in builds if wheel.startswith(f"torch-{version}+cpu-")} <= set(digests)


# Shipped.


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of what git knows."""
    folder = tmp_path_factory.mktemp("wheel")
    tracked = subprocess.run(
        ["git", "ls-files", "-zco", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    ).stdout.decode()
    for name in filter(None, tracked.split("\0")):
        if not name.startswith("tests/") and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    build = "from setuptools.build_meta import build_wheel; print(build_wheel('dist'))"
    ran = subprocess.run(
        [sys.executable, "-c", build], cwd=folder, capture_output=True, text=True, timeout=200, check=True
    )
    return folder / "dist" / ran.stdout.splitlines()[-1]


def test_the_wheel_holds_what_the_commands_need_and_no_model_of_a_study(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "daemon/sample/sample.mp4",
        "daemon/sample/sample.chat.jsonl",
        "streams/schemas/prediction-1.json",
        *(f"models/weights/default/{name}" for name in ("model.json", "weights.safetensors", "MODEL_CARD.md")),
        "models/weights/centerface/centerface.onnx",
        "models/weights/centerface/LICENSE",
        "models/weights/eyes/eyes.safetensors",
    } <= names
    python = {str(path.relative_to(ROOT)) for path in sources(*PACKAGES)}
    assert {name for name in names if name.endswith(".py")} == python
    typed = {f"{package}/py.typed" for package in PACKAGES}
    assert typed <= names
    assert not {name for name in names if name.endswith(("README.md", "timeline.png"))}
    left = names - python - typed
    others = {name for name in left if not re.match(r"(affectd-[^/]+\.dist-info|daemon/sample)/", name)}
    assert {str(Path(name).parent) for name in others} == {
        "streams/schemas",
        "models/weights/default",
        "models/weights/centerface",
        "models/weights/eyes",
    }


def test_the_wheel_has_the_version_of_the_project_and_the_changelog_begins_with_it(wheel: Path) -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.findall(r"^## (\S+)", changelog, flags=re.MULTILINE)[0]
    assert newest == PROJECT["version"]
    assert wheel.name.startswith(f"affectd-{newest}-")


def test_an_installed_affectd_says_where_the_model_of_a_study_is(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    ran = subprocess.run(
        [sys.executable, "-P", "-m", "daemon", "evaluate", "--corpus", "mosi", "--data", ".", "--split", "test"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert (ran.returncode, ran.stderr.strip()) == (
        65,
        "models/weights/mosi, whose model answers mosi, is in a checkout of affectd alone: give --model a copy of it",
    )
