"""Shows how far a measurement is: a bar of rows for each step, on a terminal; nothing elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

RowsDone = Callable[[str, int, int], None]
"""Told a step of the work, how many of its rows are done, and how many it has."""


def unseen(step: str, done: int, rows: int) -> None:
    """Shows nothing."""


@contextmanager
def shown_rows(console: Console | None = None) -> Iterator[RowsDone]:
    """Bars on stderr, one for each step that is told of, with the time left."""
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield unseen
        return
    columns = (TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), TimeRemainingColumn())
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=console) as bars:

        def show(step: str, done: int, rows: int) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=rows)
            bars.update(tasks[step], completed=done, total=rows)

        yield show
