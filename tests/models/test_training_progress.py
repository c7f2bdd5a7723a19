"""What a person sees of a training run."""

import io
import logging
from pathlib import Path

import pytest
from rich.console import Console

from models.training.loop.progress import every_report, save_learning_curves, shown

pytestmark = pytest.mark.unit


def test_a_terminal_shows_a_bar_with_the_time_left_and_the_metrics() -> None:
    written = io.StringIO()
    with shown("face", 3, Console(file=written, force_terminal=True, width=120)) as report:
        report(0, {"loss": 1.5})
        report(1, {"loss": 0.75})
    assert "2/3" in written.getvalue()
    assert "left" in written.getvalue()
    assert "loss 0.7500" in written.getvalue()


def test_eighty_columns_cut_nothing_of_the_metrics_however_many_there_are() -> None:
    written = io.StringIO()
    metrics = {f"{corpus}/{name}": 0.125 for corpus in ("goemotions", "meld", "isear") for name in ("uar", "macro_f1")}
    with shown("text", 8, Console(file=written, force_terminal=True, width=80)) as report:
        report(0, {"loss": 1.5, "score": 0.25, **metrics})
    text = written.getvalue()
    assert "…" not in text
    assert "..." not in text
    assert "1/8" in text
    shown_at_last = " ".join(text.split())
    assert all(f"{name} 0.1250" in shown_at_last for name in metrics)


def test_elsewhere_every_epoch_is_a_log_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), shown("face", 3, Console(file=io.StringIO())) as report:
        report(0, {"loss": 1.5})
    assert [record.getMessage() for record in caplog.records] == ["face: epoch 1 of 3: loss 1.5000"]


def test_several_reports_are_told_the_same() -> None:
    told: list[tuple[str, int]] = []
    report = every_report(lambda epoch, _: told.append(("a", epoch)), lambda epoch, _: told.append(("b", epoch)))
    report(4, {"loss": 1.0})
    assert told == [("a", 4), ("b", 4)]


def test_learning_curves_are_drawn_as_a_picture(tmp_path: Path) -> None:
    history = [{"loss": 2.0, "uar": 0.2}, {"loss": 1.0, "uar": 0.6}]
    save_learning_curves(tmp_path / "run" / "curves.png", history, best_epoch=1)
    assert (tmp_path / "run" / "curves.png").read_bytes().startswith(b"\x89PNG")
