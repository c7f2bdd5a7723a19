"""Scripted sessions: who is in trouble is seen in time, and who is not is left alone."""

from collections.abc import Sequence

import pytest

from models.model import AffectModel
from models.scores import RiskLevel, Scores
from tests.models.scripted_sessions import (
    CALM_LINES,
    CALM_LINES_ZH,
    CRISES,
    ESCALATION,
    SARCASM,
    SIZE,
    Played,
    Player,
    Script,
    changes_per_minute,
    talk,
)

pytestmark = [pytest.mark.unit, pytest.mark.timeout(300)]

HOUR_S = 3600
LEVELS = list(RiskLevel)


@pytest.fixture(scope="module")
def player() -> Player:
    return Player(AffectModel.load("default", "cpu", 1))


def level(scores: Scores) -> int:
    return LEVELS.index(scores.risk.level)


def worst(played: Played) -> RiskLevel:
    return max((scores.risk.level for _, scores in played), key=LEVELS.index)


def first_windows_of(played: Played, at_s: float) -> Played:
    """The first two windows that hold a moment."""
    return [(start_s, scores) for start_s, scores in played if start_s + SIZE > at_s][:2]


def an_hour(lines: Sequence[str], every_s: float, moods: dict[int, str] | None = None) -> Script:
    count = int((HOUR_S - 10) / every_s)
    return Script(HOUR_S, talk([lines[at % len(lines)] for at in range(count)], every_s), moods or {})


@pytest.mark.parametrize("every_s", [5.0, 13.0])
@pytest.mark.parametrize("lines", [CALM_LINES, CALM_LINES_ZH, CALM_LINES + CALM_LINES_ZH], ids=["en", "zh", "both"])
def test_no_calm_hour_reaches_high(player: Player, lines: Sequence[str], every_s: float) -> None:
    assert LEVELS.index(worst(player.play(an_hour(lines, every_s)))) < LEVELS.index(RiskLevel.HIGH)


def test_a_calm_hour_with_a_face_reaches_no_high_and_its_labels_change_once_a_minute_at_most(player: Player) -> None:
    played = player.play(an_hour(CALM_LINES, 9.0, {0: "neutral"}))
    assert LEVELS.index(worst(played)) < LEVELS.index(RiskLevel.HIGH)
    assert changes_per_minute(played) <= 1
    assert sum(scores.abstained is not None for _, scores in played) < 0.05 * len(played)


@pytest.mark.parametrize("mood", ["sadness", "anger", "fear", "disgust"])
def test_a_sour_face_all_hour_long_is_never_more_than_low(player: Player, mood: str) -> None:
    played = player.play(Script(HOUR_S // 4, (), {0: mood}))
    assert worst(played) in (RiskLevel.NONE, RiskLevel.LOW)
    assert changes_per_minute(played) <= 1


def test_sarcasm_reaches_no_high(player: Player) -> None:
    assert LEVELS.index(worst(player.play(Script(120, talk(SARCASM * 2))))) < LEVELS.index(RiskLevel.HIGH)


@pytest.mark.parametrize("lines", CRISES.values(), ids=CRISES.keys())
@pytest.mark.parametrize("moods", [{}, {0: "neutral"}, {0: "happiness"}], ids=["unseen", "neutral", "smiling"])
def test_every_crisis_reaches_high_within_two_windows(
    player: Player, lines: Sequence[str], moods: dict[int, str]
) -> None:
    script = Script(60, talk([*CALM_LINES[:3], *lines]), moods)
    played = player.play(script)
    at_s = script.lines[-1][0]
    assert max(level(scores) for _, scores in first_windows_of(played, at_s)) >= LEVELS.index(RiskLevel.HIGH)
    before = [level(scores) for start_s, scores in played if start_s + SIZE <= at_s]
    assert max(before) < LEVELS.index(RiskLevel.HIGH)


def test_after_a_crisis_a_session_in_view_falls_step_by_step_to_none(player: Player) -> None:
    played = player.play(Script(120, talk(CRISES["English"]), {0: "neutral"}))
    after = [level(scores) for start_s, scores in played if start_s > 15]
    assert after == sorted(after, reverse=True)
    assert after[-1] == 0


def test_an_escalation_rises_with_what_is_said_and_reaches_high(player: Player) -> None:
    script = Script(60, talk(ESCALATION))
    played = player.play(script)
    found = [first_windows_of(played, at_s)[0][1].risk.score for at_s, _ in script.lines]
    assert found[0] == min(found)
    assert found[-1] == max(found)
    assert level(first_windows_of(played, script.lines[-1][0])[0][1]) >= LEVELS.index(RiskLevel.HIGH)


def test_a_true_change_of_mood_shows_at_most_a_window_later_than_by_itself(player: Player) -> None:
    moods = {0: "neutral", 60: "anger", 90: "sadness", 120: "happiness"}
    played = player.play(Script(150, (), moods))
    for from_s, mood in moods.items():
        shown = next(start_s for start_s, scores in played if start_s >= from_s - SIZE + 1 and scores.label == mood)
        assert shown <= from_s + SIZE
    assert changes_per_minute(played) * 150 / 60 <= 5
