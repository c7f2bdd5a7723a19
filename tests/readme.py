"""The commands that README prints, so that tests run them as a reader would: in a fresh shell, in this order."""

import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
_COMMAND = re.compile(r"^    (?P<command>(?:\. |[a-z./]).*?)(?: {2,}#.*)?$")


def sections() -> dict[str, str]:
    """The text of every `##` section by its title; what stands before the first has the title ""."""
    parts = re.split(r"^## (.+)$", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {"": parts[0]} | dict(zip(parts[1::2], parts[2::2], strict=True))


def commands(section: str) -> list[str]:
    """The commands of one section, without the comments that follow them."""
    lines = [line for line in sections()[section].splitlines() if "──" not in line]  # a drawing
    return [found["command"].rstrip() for found in map(_COMMAND.match, lines) if found]


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
