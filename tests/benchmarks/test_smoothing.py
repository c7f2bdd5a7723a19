"""What smoothing does to the sample session: how often the published label changes, and how late true changes show.

`pytest -s tests/benchmarks/test_smoothing.py` prints the figures, a JSON object each. Nothing is timed.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from daemon.sample import SAMPLE
from streams.clock import NS_PER_S
from streams.formats.rfc3339 import parse
from streams.sources.stored.media_session import START_NS
from tests.sample.script import ANGRY, HAPPY, RELIEVED, SAD, Span

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

_SIZE_S = 4.0
_SMOOTHINGS_S = (0.0, 2.0, 4.0, 8.0)
_MOODS: tuple[tuple[str, Span], ...] = (
    ("happiness", HAPPY),
    ("sadness", SAD),
    ("anger", ANGRY),
    ("happiness", RELIEVED),
)

Labels = Sequence[tuple[float, str | None]]
"""Where each window ends, in seconds of the sample, and its label."""


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> dict[float, Labels]:
    """By how far back answers were smoothed."""
    folder = tmp_path_factory.mktemp("smoothed")
    return {smoothing_s: replayed(smoothing_s, folder / f"{smoothing_s}.jsonl") for smoothing_s in _SMOOTHINGS_S}


def replayed(smoothing_s: float, out: Path) -> Labels:
    done = subprocess.run(
        [sys.executable, "-m", "daemon", "replay", str(SAMPLE), "--out", str(out)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"AFFECTD__WINDOWS__SMOOTHING_S": str(smoothing_s)},
    )
    assert done.returncode == 0, done.stderr
    return sorted(answers(out), key=lambda answer: answer[0])


def answers(file: Path) -> Iterator[tuple[float, str | None]]:
    for text in file.read_text("utf-8").splitlines():
        prediction: dict[str, Any] = json.loads(text)
        yield (parse(prediction["window"]["end"]) - START_NS) / NS_PER_S, prediction["emotion"]["label"]


def changes(found: Labels) -> int:
    """How often a label is said that is another than the one said before; windows that were abstained from say none."""
    said = [label for _, label in found if label is not None]
    return sum(before != after for before, after in pairwise(said))


def hesitations(found: Labels) -> int:
    """How often the service begins to abstain."""
    return sum(before is not None and after is None for (_, before), (_, after) in pairwise(found))


def delay_s(found: Labels, label: str, span: Span) -> float | None:
    """From when a mood begins to the end of the first window that says so; None if none does while one holds some."""
    began_s, ended_s = span
    until_s = ended_s + _SIZE_S
    return next((end_s - began_s for end_s, said in found if said == label and began_s < end_s < until_s), None)


def test_labels_change_less_often_and_true_changes_show_at_most_a_window_later(labels: dict[float, Labels]) -> None:
    plain = labels[0.0]
    for smoothing_s, found in labels.items():
        per_minute = changes(found) / (found[-1][0] - found[0][0]) * 60
        delays_s = [delay_s(found, *mood) for mood in _MOODS]
        abstained = sum(label is None for _, label in found)
        figure: dict[str, Any] = {"smoothing_s": smoothing_s, "changes": changes(found)}
        figure |= {"changes_per_minute": round(per_minute, 1), "windows": len(found)}
        figure |= {"abstained": abstained, "hesitations": hesitations(found), "delays_s": delays_s}
        print(json.dumps(figure))

        assert [end_s for end_s, _ in found] == [end_s for end_s, _ in plain]
        assert changes(found) <= changes(plain)
        for mood, smoothed_s in zip(_MOODS, delays_s, strict=True):
            plain_s = delay_s(plain, *mood)
            assert plain_s is None or (smoothed_s is not None and smoothed_s <= plain_s + _SIZE_S)
