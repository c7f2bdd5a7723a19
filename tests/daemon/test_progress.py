"""Long work shows how far it is on a terminal, and nothing elsewhere."""

import io
import logging

import pytest
from rich.console import Console

from daemon.commands.progress import counted, shown

pytestmark = pytest.mark.unit


def test_a_line_changes_on_a_terminal() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with shown("loading the model", console=console) as progress:
        progress("12 s read")
    assert isinstance(console.file, io.StringIO)
    assert "12 s read" in console.file.getvalue()


@pytest.mark.parametrize("is_terminal", [False, True])
def test_elsewhere_and_where_results_are_the_sign_nothing_is_shown(is_terminal: bool) -> None:
    console = Console(file=io.StringIO(), force_terminal=is_terminal)
    with shown("loading the model", where=not is_terminal, console=console) as progress:
        progress("12 s read")
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == ""


def test_log_handlers_get_their_stream_back() -> None:
    before = [getattr(handler, "stream", None) for handler in logging.getLogger().handlers]
    with shown("x", console=Console(file=io.StringIO(), force_terminal=True)):
        pass
    assert [getattr(handler, "stream", None) for handler in logging.getLogger().handlers] == before


def test_one_is_one_and_the_rest_are_many() -> None:
    assert [counted(number, "window") for number in (0, 1, 2)] == ["0 windows", "1 window", "2 windows"]
