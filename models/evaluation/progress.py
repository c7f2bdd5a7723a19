"""Progress of a measurement: a bar of rows per step.

Bars are shown on terminals only.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

OnRows = Callable[[str, int, int], None]
"""Called with a step of the work, its rows done, and its rows in all."""


def no_progress(step: str, done: int, rows: int) -> None:
    """Ignores progress."""


@contextmanager
def progress_bars(console: Console | None = None) -> Iterator[OnRows]:
    """Opens bars on stderr, one per step, with the time left."""
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
