"""Tables of a model's figures for a terminal of 80 columns: each with what it means, by label, and the confusion."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

_OTHERS = ("corpus", "split", "task", "labels", "confusion", "per_label", "model", "note")


def print_figures(figures: Mapping[str, Any], console: Console | None = None) -> None:
    """figures: as `models.evaluation.command.evaluate` returns them. Written to stderr unless a console is given."""
    console = console or Console(stderr=True)
    model = figures["model"]
    console.print(f"{model['name']} {model['version']} on {figures['corpus']} {figures['split']}: {figures['task']}")
    console.print(_summary({name: value for name, value in figures.items() if name not in _OTHERS}))
    console.print(_by_label(figures["per_label"]))
    console.print(_confusion(figures["labels"], figures["confusion"]))
    if figures["note"]:
        console.print(figures["note"], markup=False, highlight=False)


def _summary(figures: Mapping[str, Any]) -> Table:
    from models.evaluation.explanations import explained

    table = _table("figure", "value", "what it is")
    for name, value in figures.items():
        table.add_row(name, _number(value), explained(name))
    return table


def _by_label(per_label: Mapping[str, Mapping[str, float]]) -> Table:
    table = _table("label", "precision", "recall", "f1", "rows")
    for label, of in per_label.items():
        table.add_row(label, *(_number(of[name]) for name in ("precision", "recall", "f1", "n")))
    return table


def _confusion(labels: Sequence[str], confusion: Sequence[Sequence[int]]) -> Table:
    """Columns are numbered as the lines are, since their names would not fit."""
    table = _table("label \\ answer", *(str(number) for number in range(1, len(labels) + 1)))
    for number, (label, row) in enumerate(zip(labels, confusion, strict=True), start=1):
        table.add_row(f"{number} {label}", *map(str, row))
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(first, no_wrap=True)
    for name in others:
        told = name == "what it is"
        table.add_column(name, justify="left" if told else "right", no_wrap=not told)
    return table


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, int):
        return str(value)
    return f"{value:.3f}" if value < 10 else f"{value:.1f}"
