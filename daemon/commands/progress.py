"""Shows how far long work is.

One line that changes, on a terminal; nothing elsewhere.
"""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

OnProgress = Callable[[str], None]
"""Told how far the work is, as often as that changes; from any thread."""


def counted(number: int, noun: str) -> str:
    """Such as "1 window" or "2 windows"."""
    return f"{number} {noun}{'s' * (number != 1)}"


@contextmanager
def shown(begun: str, *, where: bool = True, console: Console | None = None) -> Iterator[OnProgress]:
    """Shows a changing line on stderr, below the log.

    begun: shown first. where: False shows nothing.
    """
    console = console or Console(stderr=True)
    if not (where and console.is_terminal):
        yield lambda _: None
        return
    with console.status(begun) as line, _logs_above():
        yield lambda text: line.update(text)


@contextmanager
def _logs_above() -> Iterator[None]:
    """Writes logs above the progress bar.

    They go through the stream that rich puts in the place of stderr.
    """
    streams = [each for each in logging.getLogger().handlers if isinstance(each, logging.StreamHandler)]
    before = [(handler, handler.setStream(sys.stderr)) for handler in streams if handler.stream is sys.__stderr__]
    try:
        yield
    finally:
        for handler, stream in before:
            handler.setStream(stream or handler.stream)
