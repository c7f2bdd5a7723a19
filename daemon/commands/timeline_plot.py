"""Plots the predictions of one session over time, as PNG.

Emotions, risk, coverage and contributions.

A column is one window, drawn at its middle and as wide as the step, so nothing is smoothed or joined across what is
missing. Abstained windows and absent modalities are hatched grey: absent never looks like neutral, nor like zero. The
picture holds no words of the session. Left out: several sessions in one picture.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from daemon.commands.window_lines import window_span_s
from models.labels import EMOTIONS
from streams.predictions import Prediction

_EMOTION_COLOURS = {
    "neutral": "#c9c5bb",
    "happiness": "#f2b632",
    "surprise": "#56b4b0",
    "sadness": "#3b6fb6",
    "anger": "#c8402f",
    "disgust": "#7a8b2f",
    "fear": "#7b4b94",
}
_LEVEL_COLOURS = {"none": "#bfd8c2", "low": "#8cc084", "medium": "#f2c14e", "high": "#e4743b", "critical": "#a4161a"}
_MODALITY_COLOURS = {"video": "#2f6f8f", "audio": "#d1803a", "text": "#5b8c5a"}
_MISSING: dict[str, Any] = {"facecolor": "#f4f4f4", "edgecolor": "#b5b5b5", "hatch": "////", "linewidth": 0}
_WIDTH_INCHES, _HEIGHT_INCHES, _DPI = 13.0, 9.5, 110

Columns = npt.NDArray[np.float64]


def draw(predictions: Sequence[Prediction], file: Path) -> None:
    """Writes the plot.

    predictions: of one session, at least one; a revision replaces what it revises.
    """
    if not predictions:
        raise ValueError("there are no predictions to draw")
    newest = {p.window.start: p for p in sorted(predictions, key=lambda p: p.revision)}
    windows = [newest[start] for start in sorted(newest)]
    spans = np.array([window_span_s(p) for p in windows], np.float64)
    middle_s = spans.mean(axis=1)
    step_s = float(np.diff(middle_s).min()) if len(middle_s) > 1 else float(spans[0, 1] - spans[0, 0])
    figure = Figure(figsize=(_WIDTH_INCHES, _HEIGHT_INCHES), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(4, 1, sharex=True, height_ratios=[3.2, 1.5, 1.8, 1.8])
    _emotions(panels[0], windows, middle_s, step_s)
    _risk(panels[1], windows, middle_s, step_s)
    _coverage(panels[2], windows, middle_s, step_s)
    _contributions(panels[3], windows, middle_s, step_s)
    panels[3].set_xlabel(f"seconds (the middle of each window of {spans[0, 1] - spans[0, 0]:g} s)")
    panels[3].set_xlim(middle_s[0] - step_s / 2, middle_s[-1] + step_s / 2)
    model = windows[0].model
    figure.suptitle(f"session {windows[0].session}   {len(windows)} windows   model {model.name} {model.version}")
    figure.savefig(file)


def _emotions(axes: Axes, windows: Sequence[Prediction], middle_s: Columns, step_s: float) -> None:
    answered = np.array([not p.abstained for p in windows])
    floor = np.zeros(len(windows))
    for emotion in EMOTIONS:
        share = np.array([getattr(p.emotion.probabilities, emotion) for p in windows]) * answered
        axes.bar(middle_s, share, step_s, floor, color=_EMOTION_COLOURS[emotion], linewidth=0)
        floor += share
    axes.bar(middle_s[~answered], 1.0, step_s, **_MISSING)
    axes.set_ylim(0, 1)
    axes.set_ylabel("emotion (probability)")
    shown = [Patch(facecolor=_EMOTION_COLOURS[emotion], label=emotion) for emotion in reversed(EMOTIONS)]
    _legend(axes, [*shown, Patch(label="abstained", **_MISSING)])


def _risk(axes: Axes, windows: Sequence[Prediction], middle_s: Columns, step_s: float) -> None:
    colours = [_LEVEL_COLOURS[p.risk.level] for p in windows]
    axes.bar(middle_s, [p.risk.score for p in windows], step_s, color=colours, linewidth=0)
    axes.set_ylim(0, 1)
    axes.set_ylabel("risk (score)")
    _legend(axes, [Patch(facecolor=colour, label=level) for level, colour in reversed(_LEVEL_COLOURS.items())])


def _coverage(axes: Axes, windows: Sequence[Prediction], middle_s: Columns, step_s: float) -> None:
    """Draws the coverage of each modality as bars, a row each."""
    for row, (modality, colour) in enumerate(reversed(_MODALITY_COLOURS.items())):
        reports = [getattr(p.modalities, modality) for p in windows]
        present = np.array([report.present for report in reports])
        height = np.array([report.coverage for report in reports]) * 0.86 * present
        axes.bar(middle_s, height, step_s, row, color=colour, linewidth=0)
        axes.bar(middle_s[~present], 0.86, step_s, row, **_MISSING)
    axes.set_yticks([0.43, 1.43, 2.43], list(reversed(_MODALITY_COLOURS)))
    axes.set_ylim(0, 2.9)
    axes.set_ylabel("coverage (0 to 1)")
    _legend(axes, [*_modality_patches(), Patch(label="absent", **_MISSING)])


def _contributions(axes: Axes, windows: Sequence[Prediction], middle_s: Columns, step_s: float) -> None:
    """Draws contributions for the emotion upwards, those against it downwards."""
    above, below = np.zeros(len(windows)), np.zeros(len(windows))
    for modality, colour in _MODALITY_COLOURS.items():
        value = np.array([getattr(p.modalities, modality).contribution for p in windows])
        axes.bar(middle_s, value, step_s, np.where(value >= 0, above, below), color=colour, linewidth=0)
        above += np.maximum(value, 0)
        below += np.minimum(value, 0)
    axes.axhline(0, color="#404040", linewidth=0.8)
    axes.set_ylabel("added to probability")
    _legend(axes, _modality_patches())


def _modality_patches() -> list[Patch]:
    return [Patch(facecolor=colour, label=modality) for modality, colour in _MODALITY_COLOURS.items()]


def _legend(axes: Axes, patches: list[Patch]) -> None:
    axes.legend(handles=patches, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize="small")
    axes.spines[["top", "right"]].set_visible(False)
