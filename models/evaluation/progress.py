"""Shows how far a measurement is: a bar of rows for each step, on a terminal; nothing elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

OnRows = Callable[[str, int, int], None]
"""Told a step of the work, how many of its rows are done, and how many it has."""


def no_progress(step: str, done: int, rows: int) -> None:
    """Shows nothing."""


@contextmanager
def progress_bars(console: Console | None = None) -> Iterator[OnRows]:
    """Bars on stderr, one for each step that is told of, with the time left."""
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield no_progress
        return
    columns = (TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), TimeRemainingColumn())
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=console) as bars:

        def show(step: str, done: int, rows: int) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=rows)
            bars.update(tasks[step], completed=done, total=rows)

        yield show
