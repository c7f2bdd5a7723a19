"""Reads the table of a manifest as spreadsheets write it.

Delimiter, byte order mark and capitals may be any.

The rule: whatever has one meaning is read; columns that mean nothing here are named and ignored; anything else is an
error that names the line.
"""

import csv
import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

_DELIMITERS = (",", ";", "\t", "|")
_SUFFIXES = (".csv", ".tsv", ".txt", ".xlsx", ".xls", ".ods", ".json", ".jsonl")


class ManifestError(ValueError):
    """A manifest cannot be used.

    The message names the file, and every line that is wrong.
    """


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a manifest, and what is wrong with it.

    rows: line of the file and cells by column, blank where there is none. wrong, ignored: a sentence each.
    """

    rows: Sequence[tuple[int, dict[str, str]]]
    wrong: Sequence[str]
    ignored: Sequence[str]


def read_table(path: Path, columns: Collection[str]) -> Table:
    """Reads the columns that are known.

    Raises ManifestError for a file that is no table with a column `id`.
    """
    lines = _lines(path)
    if not any(line.strip() for line in lines):
        raise ManifestError(f"{path}: is empty; its first line has to name columns: id and any of {_listed(columns)}")
    delimiter, lines_before = _delimiter(lines, columns)
    reader = csv.reader(lines[lines_before:], delimiter=delimiter)
    try:
        rows = [(lines_before + reader.line_num, cells) for cells in reader]
    except csv.Error as problem:
        raise ManifestError(f"{path}:{lines_before + reader.line_num}: not a table: {problem}") from problem
    header = [name.strip().lower() for name in rows[0][1]]
    if "id" not in header:
        shown = ", ".join(header)
        raise ManifestError(f"{path}:{rows[0][0]}: columns are id and any of {_listed(columns)} (are {shown})")
    if twice := sorted({name for name in header if header.count(name) > 1 and name in columns}):
        raise ManifestError(f"{path}:{rows[0][0]}: columns that are there twice: {', '.join(twice)}")
    read, wrong = [], []
    for line, cells in rows[1:]:
        if not any(cell.strip() for cell in cells):
            continue
        if any(cell.strip() for cell in cells[len(header) :]):
            wrong.append(
                f"{path}:{line}: {len(cells)} cells for {len(header)} columns; a text that holds {delimiter!r} "
                "has to stand in double quotes"
            )
            continue
        filled = dict(zip(header, [cell.strip() for cell in cells], strict=False))
        read.append((line, {name: filled.get(name, "") for name in columns}))
    unknown = [name for name in header if name not in columns]
    return Table(read, wrong, [f"{path}: column {name!r} is ignored{_meant(name, columns)}" for name in unknown])


def names_like(folder: Path, name: str) -> list[str]:
    """Files of the folder that may have been meant by a name.

    Their names are in other capitals, or have another ending.
    """
    stem = Path(name).stem.lower()
    there = sorted(folder.iterdir()) if folder.is_dir() else []
    return [file.name for file in there if file.stem.lower() == stem and file.suffix.lower() in _SUFFIXES]


def suggestion(name: str, known: Collection[str]) -> str | None:
    """The known name that is most like this one, if any is."""
    return next(iter(difflib.get_close_matches(name.lower(), known, n=1)), None)


def _lines(path: Path) -> list[str]:
    content = path.read_bytes()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ManifestError(f"{path}: is UTF-16; save it as UTF-8")
    try:
        return content.decode("utf-8-sig").splitlines(keepends=True)
    except UnicodeDecodeError as problem:
        line = content[: problem.start].count(b"\n") + 1
        raise ManifestError(f"{path}:{line}: not UTF-8: {problem.reason}; save it as UTF-8") from problem


def _delimiter(lines: Sequence[str], columns: Collection[str]) -> tuple[str, int]:
    """The delimiter that gives most columns, and lines before the header.

    Such a line is a spreadsheet's `sep=;`.
    """
    if lines[0].lower().startswith("sep=") and len(lines) > 1:
        return lines[0][4:5], 1
    first = next(number for number, line in enumerate(lines) if line.strip())

    def known(delimiter: str) -> int:
        return sum(name.strip().strip('"').lower() in columns for name in lines[first].split(delimiter))

    return max(_DELIMITERS, key=known), first


def _meant(name: str, columns: Collection[str]) -> str:
    like = suggestion(name, columns)
    return f"; if {like!r} is meant, name it so" if like else ""


def _listed(columns: Collection[str]) -> str:
    return ", ".join(name for name in columns if name != "id")
