from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from daemon.commands.timeline_plot import draw
from streams.predictions import Modalities, Prediction
from tests.daemon.predicting import ABSENT, modality, prediction

pytestmark = pytest.mark.unit

SAD_BLUE = (0x3B, 0x6F, 0xB6)
VIDEO_BLUE = (0x2F, 0x6F, 0x8F)
WITHOUT_FACE = Modalities(video=ABSENT, audio=modality(0.5), text=modality(1.0))
NOTHING = Modalities(video=ABSENT, audio=ABSENT, text=ABSENT)


def drawn(predictions: list[Prediction], file: Path) -> npt.NDArray[np.uint8]:
    draw(predictions, file)
    with Image.open(file) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB"))


def area(pixels: npt.NDArray[np.uint8], colour: tuple[int, int, int]) -> int:
    """How many pixels have the colour."""
    return int((pixels == np.array(colour, np.uint8)).all(axis=-1).sum())


def test_the_emotion_of_the_windows_fills_the_first_panel(tmp_path: Path) -> None:
    pixels = drawn([prediction(at_s) for at_s in range(12)], tmp_path / "timeline.png")
    height, width, _ = pixels.shape
    assert width > 1000
    assert height > 800
    assert area(pixels, SAD_BLUE) > 0.05 * width * height


def test_an_abstained_window_shows_no_emotion(tmp_path: Path) -> None:
    answered = [prediction(at_s) for at_s in range(12)]
    refused = [prediction(at_s, NOTHING, "none", "no_evidence") if at_s >= 6 else answered[at_s] for at_s in range(12)]
    whole, half = (
        area(drawn(each, tmp_path / f"{name}.png"), SAD_BLUE)
        for name, each in (("answered", answered), ("refused", refused))
    )
    assert half == pytest.approx(whole / 2, rel=0.1)


def test_an_absent_modality_leaves_its_row_and_its_contribution_without_colour(tmp_path: Path) -> None:
    there = area(drawn([prediction(at_s) for at_s in range(8)], tmp_path / "there.png"), VIDEO_BLUE)
    absent = area(drawn([prediction(at_s, WITHOUT_FACE) for at_s in range(8)], tmp_path / "absent.png"), VIDEO_BLUE)
    assert absent < there / 20  # only the two legends name it


def test_a_revision_replaces_what_it_revises(tmp_path: Path) -> None:
    revised = [prediction(0, abstained="no_evidence"), prediction(0, revision=1), prediction(1)]
    once = [prediction(0), prediction(1)]
    assert np.array_equal(drawn(revised, tmp_path / "revised.png"), drawn(once, tmp_path / "once.png"))


def test_one_window_is_enough_and_none_is_refused(tmp_path: Path) -> None:
    drawn([prediction()], tmp_path / "one.png")
    with pytest.raises(ValueError, match="no predictions"):
        draw([], tmp_path / "none.png")
