"""`affectd bench transcribe` in small: its figures have one form, and sessions at once are worth it."""

import json

import pytest

from daemon.bench import bench
from daemon.bench.measure import Effort, Figure

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

_SPEAKERS = 3
_BAR = 1.5


@pytest.fixture(scope="module")
def figures() -> dict[str, Figure]:
    """Every figure by its name."""
    effort = Effort(scored_rounds=1, speakers=_SPEAKERS)
    return {str(figure["figure"]): figure for figure in bench(("transcribe",), effort)}


def test_every_figure_is_a_flat_json_object_that_says_what_was_measured_where(figures: dict[str, Figure]) -> None:
    for figure in figures.values():
        assert json.loads(json.dumps(figure)) == figure
        assert {"bench", "figure", "value", "unit", "device", "threads", "model", "sessions"} <= figure.keys()
        assert isinstance(figure["value"], float)
        assert figure["value"] > 0
        assert ("ratio" in figure) == ("against" in figure)


@pytest.mark.parametrize("model", ["tiny.en", "base"])
def test_sessions_at_once_are_faster_than_calls_of_faster_whisper_and_find_the_words(
    figures: dict[str, Figure], model: str
) -> None:
    at_once = figures[f"{model}: speech, {_SPEAKERS} sessions at once"]
    alone = figures[f"{model}: speech, 1 session"]

    assert at_once["sessions"] == _SPEAKERS
    assert float(str(at_once["ratio"])) > _BAR
    assert at_once["words"] == alone["words"], "a session's words do not depend on the others"
    assert int(str(at_once["differing_words"])) < int(str(at_once["words"])) / 2
