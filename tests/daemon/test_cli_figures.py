"""What `affectd evaluate` prints for people: every figure with its meaning, labels and confusion, in 80 columns."""

import io

import numpy as np
import pytest
from rich.console import Console

from daemon.cli.figures import print_figures
from models.labels import EMOTIONS
from models.metrics.classification import classification_figures

pytestmark = pytest.mark.unit


def test_figures_are_tables_that_fit_a_terminal() -> None:
    truth = np.arange(70) % 7
    shares = np.full((70, 7), 0.1)
    shares[np.arange(70), np.where(truth == 6, 1, truth)] = 0.4
    figures = {
        "corpus": "goemotions",
        "split": "valid",
        "task": "emotion",
        "n": 70,
        "labels": list(EMOTIONS),
        **classification_figures(shares, truth, EMOTIONS),
        "rows_per_second": 112.5,
        "model": {"name": "m", "version": "1"},
        "note": "[3] rows are left out.",
    }
    written = io.StringIO()
    print_figures(figures, Console(file=written, width=80))
    lines = written.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if "…" in line]
    text = " ".join(" ".join(lines).split())
    for part in (
        "uar 0.857 unweighted average recall: the share found",
        "fear 0.000 0.000 0.000 10",
        "2 happiness 0 10 0 0 0 0 0",
        "7 fear 0 10 0 0 0 0 0",
        "[3] rows are left out.",
    ):
        assert part in text, part
