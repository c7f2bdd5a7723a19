"""Tables of figures for a terminal of 80 columns.

A model's figures with what they mean, and trained parts beside shipped ones.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

_OTHERS = ("corpus", "split", "task", "labels", "confusion", "per_label", "alarms", "model", "note")


def print_figures(figures: Mapping[str, Any], console: Console | None = None) -> None:
    """Prints a model's figures, to stderr unless a console is given.

    figures: as `models.evaluation.evaluate.evaluate` returns them.
    """
    console = console or Console(stderr=True)
    model = figures["model"]
    console.print(f"{model['name']} {model['version']} on {figures['corpus']} {figures['split']}: {figures['task']}")
    console.print(_summary({name: value for name, value in figures.items() if name not in _OTHERS}))
    console.print(_by_label(figures["per_label"]))
    console.print(_confusion(figures["labels"], figures["confusion"]))
    if figures.get("alarms"):
        console.print(_alarms(figures["alarms"]))
    if figures["note"]:
        console.print(figures["note"], markup=False, highlight=False)


def print_comparison(own: Mapping[str, Any], console: Console | None = None) -> None:
    """Prints trained parts beside shipped ones, to stderr by default.

    own: `metrics["own"]` of a model trained on a user's rows.
    """
    console = console or Console(stderr=True)
    table = _table("part, task", "rows", "shipped", "trained", "change")
    for part, tasks in own["compared"].items():
        for task, found in tasks.items():
            estimates = (_interval(found[name]) for name in ("before", "after", "change"))
            table.add_row(f"{part}, {task}", str(found["rows"]), *estimates)
    console.print(table)
    splits = " and ".join(own["held_out"]["splits"])
    said = [
        f"UAR (mean recall of the labels) on your rows of {splits}, with 95 % intervals; fused: all modalities.",
        *(["Validation rows chose the epochs, which flatters what was trained."] if "valid" in splits else []),
        *(
            f"{part}: {'the trained part is taken' if part in own['parts'] else 'not better, the shipped part stays'}"
            for part in own["compared"]
            if part != "fused"
        ),
        *own["kept"],
        *own["calibration"],
    ]
    for sentence in said:
        console.print(sentence, markup=False, highlight=False)


def _interval(estimate: Sequence[float]) -> str:
    value, low, high = estimate
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


def _summary(figures: Mapping[str, Any]) -> Table:
    from models.metrics.glossary import explained

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
    """A confusion matrix whose columns are numbered as its rows are.

    Names of labels would not fit.
    """
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


def _alarms(points: Sequence[Mapping[str, Any]]) -> Table:
    """The alarm curve; false alarms are of an hour with 240 lines."""
    table = _table("level", "threshold", "precision", "recall", "false alarms an hour")
    for point in points:
        precision = "" if point["precision"] is None else f"{point['precision']:.3f}"
        cells = (f"{point['threshold']:.3f}", precision, f"{point['recall']:.3f}", f"{point['alarms_per_hour']:.1f}")
        table.add_row(point["level"] or "", *cells)
    return table
