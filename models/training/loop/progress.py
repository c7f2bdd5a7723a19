"""Progress of a training: bar, log lines, TensorBoard, learning curves.

Each is given to `models.training.loop.fit` as its `progress`. TensorBoard's events need its package, which is optional.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from models.training.loop.fit import Metrics

log = logging.getLogger(__name__)

Report = Callable[[int, Metrics], None]
"""Told an epoch, from 0, and its metrics."""


@contextmanager
def shown(task: str, epochs: int, console: Console | None = None) -> Iterator[Report]:
    """A progress bar of epochs, with the last epoch's metrics below.

    On stderr; log lines where that is no terminal.
    """
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield lambda epoch, metrics: log.info("%s: epoch %d of %d: %s", task, epoch + 1, epochs, _written(metrics))
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=console)
    row, last = bar.add_task(task, total=epochs), Text()
    with Live(Group(bar, last), console=console, refresh_per_second=4) as live:

        def show(epoch: int, metrics: Metrics) -> None:
            bar.update(row, completed=epoch + 1)
            last.plain = _written(metrics)
            live.refresh()

        yield show


def every_report(*reports: Report) -> Report:
    """One report that tells all of them, in turn."""

    def tell(epoch: int, metrics: Metrics) -> None:
        for report in reports:
            report(epoch, metrics)

    return tell


def tensorboard_events(folder: Path) -> Report:
    """Writes events that TensorBoard shows.

    Raises ModuleNotFoundError saying what to install where it is missing.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            "TensorBoard events need the package tensorboard: pip install tensorboard"
        ) from missing
    writer = SummaryWriter(folder)

    def write(epoch: int, metrics: Metrics) -> None:
        for name, value in metrics.items():
            writer.add_scalar(name, value, epoch)
        writer.flush()

    return write


def save_learning_curves(path: Path, history: Sequence[Metrics], best_epoch: int | None = None) -> None:
    """Draws learning curves as a PNG, the best epoch marked.

    The loss stands above, the other metrics below.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    epochs = range(1, len(history) + 1)
    for name in history[0]:
        axes = upper if name == "loss" else lower
        axes.plot(epochs, [metrics[name] for metrics in history], marker=".", label=name)
    for axes in (upper, lower):
        if best_epoch is not None:
            axes.axvline(best_epoch + 1, color="grey", linestyle=":")
        if axes.lines:
            axes.legend(fontsize="small")
    upper.set_ylabel("training loss")
    lower.set_ylabel("on validation data")
    lower.set_xlabel("epoch")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def _written(metrics: Metrics) -> str:
    return " ".join(f"{name} {value:.4f}" for name, value in metrics.items())
