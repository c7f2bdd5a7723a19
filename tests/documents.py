"""What the documents print: commands, examples, tables and names, so that tests hold them to the code.

A command stands in a block marked `sh`, one on a line. Each is run by a test, as a reader would: in a fresh shell, in
the order of its section. `RUN_HERE` and `RUN_WITH_A_BROKER` name the sections; NOT_RUN says why a command is not run.
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENTS = tuple(
    str(path.relative_to(ROOT)) for path in (*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("[a-z]*/README.md")))
)

RUN_HERE = (
    ("README.md", "Use it"),
    ("daemon/README.md", "Configuration"),
    ("daemon/README.md", "HTTP"),
    ("deploy/README.md", "Watch it"),
)
RUN_WITH_A_BROKER = (("deploy/README.md", "Kafka"),)

_INSTALLS = "it installs packages: tests/daemon/test_packaging.py holds what is locked and builds the wheel"
_ROOT = "it changes the machine: tests/systemd runs the shipped unit under a systemd of its own"
_DAEMON = "it runs for ever and needs an installed unit: tests/systemd/test_service.py"
_MAKE = "it runs the tests, this one too"
_LONG = "it takes hours: tests/models trains each part on little data"
_OWN = "FOLDER is the reader's: tests/models/test_training_user.py and tests/models/test_calibrate.py make such folders"
_DATA = "it takes minutes: tests/models/test_evaluation.py evaluates a part of such rows"
_LOCKED = "pip install --only-binary :all: --require-hashes --no-deps -r constraints.txt"
_ITSELF = "pip install --no-deps --no-build-isolation ."
NOT_RUN = {
    "sudo apt-get install python3-venv libgl1 libglib2.0-0 libportaudio2": _INSTALLS,
    "sudo apt-get install python3-venv libgl1 libglib2.0-0": _INSTALLS,
    "sudo apt-get install libportaudio2": _INSTALLS,
    "python3 -m venv .venv": _INSTALLS,
    _LOCKED: _INSTALLS,
    _ITSELF: _INSTALLS,
    "sudo python3 -m venv /opt/affectd/.venv": _INSTALLS,
    f"sudo /opt/affectd/.venv/bin/{_LOCKED}": _INSTALLS,
    f"sudo /opt/affectd/.venv/bin/{_ITSELF}": _INSTALLS,
    "make run": "it installs packages and plays 48 s: tests/daemon/test_demo.py runs the same demo",
    "make test-fast": _MAKE,
    "make test": _MAKE,
    "make format": "it changes the code",
    "make reproduce": _LONG,
    "python -m models.training.speech.recurrent": _LONG,
    "python -m models.training.text.recurrent": _LONG,
    "python -m models.training.transcripts.command --data FOLDER --work FOLDER --out MODEL": _LONG,
    "sudo install -D -m 644 deploy/config/example.toml /etc/affectd/affectd.toml": _ROOT,
    "sudo install -m 644 deploy/systemd/affectd.service /etc/systemd/system/affectd.service": _ROOT,
    "sudo systemctl daemon-reload": _ROOT,
    "sudo systemctl enable --now affectd": _ROOT,
    "systemctl status affectd": _DAEMON,
    "journalctl -u affectd -f": _DAEMON,
    "affectd explain daemon/sample/sample.mp4 --at 23": "it takes minutes: tests/daemon/test_explain.py explains 5 s",
    "affectd evaluate --model default --corpus goemotions --data $AFFECTD_DATA --split valid --json": _DATA,
    "affectd train all --data $AFFECTD_DATA --out runs": _LONG,
    "affectd train all --data FOLDER --out runs": _OWN,
    "affectd evaluate --model runs/model --corpus manifest --data FOLDER --split test": _OWN,
    "affectd report --model runs/model --data FOLDER": _OWN,
    "affectd calibrate --data FOLDER --out calibrated": _OWN,
}
"""Commands, as printed, with the reason."""

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"\s{2,}#.*$")


def text(document: str, section: str | None = None) -> str:
    """A document, or one of its `##` sections without the title; "" is what stands before the first."""
    whole = (ROOT / document).read_text(encoding="utf-8")
    return whole if section is None else sections(document)[section]


def sections(document: str) -> dict[str, str]:
    """The text of every `##` section by its title."""
    parts = re.split(r"^## (.+)$", text(document), flags=re.MULTILINE)
    return {"": parts[0]} | dict(zip(parts[1::2], parts[2::2], strict=True))


def blocks(document: str, language: str, section: str | None = None) -> list[str]:
    """The blocks of one language."""
    return [content for name, content in _BLOCK.findall(text(document, section)) if name == language]


def commands(document: str, section: str | None = None) -> list[str]:
    """The commands of a document or section, without the comments that follow them."""
    lines = [line for block in blocks(document, "sh", section) for line in block.replace("\\\n", " ").splitlines()]
    return [_COMMENT.sub("", line).strip() for line in lines if line.strip() and not line.startswith("#")]


def prose(document: str) -> str:
    """A document without its blocks."""
    return _BLOCK.sub("", text(document))


def code_words(document: str) -> set[str]:
    """What stands between backticks in the prose."""
    return set(re.findall(r"`([^`\n]+)`", prose(document)))


def rows(document: str, section: str) -> list[list[str]]:
    """The rows of the tables of a section, cell by cell, without their headings."""
    lines = [line for line in text(document, section).splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    headings = [i - 1 for i, row in enumerate(cells) if set("".join(row)) <= {"-", ":"} and any(row)]
    return [row for i, row in enumerate(cells) if i not in headings and i - 1 not in headings]


def checkout(folder: Path) -> Path:
    """A folder that looks like the repository after `make run`, so that nothing is written into the real one."""
    for entry in ROOT.iterdir():
        if entry.name not in {".venv", ".git", "out", "runs"} and not entry.name.endswith("cache"):
            (folder / entry.name).symlink_to(entry)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def fresh_environment(home: Path) -> dict[str, str]:
    """What a shell that was just opened knows; the names that say where test data lies are passed on."""
    passed = {name: os.environ[name] for name in ("AFFECTD_DATA", "KAFKA_HOME", "JAVA_HOME") if name in os.environ}
    return {"HOME": str(home), "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"} | passed


def run_script(lines: Sequence[str], folder: Path, environment: Mapping[str, str], timeout_s: float) -> str:
    """Runs lines in a fresh bash that ends at the first failure; returns its standard output."""
    done = subprocess.run(
        ["bash", "-ec", "\n".join(lines)],
        cwd=folder,
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
