"""Drivers scored by the driving profile: who falls asleep raises the risk, and who looks about does not."""

import math
from collections.abc import Callable, Iterator

import pytest

from daemon.config import Config
from daemon.config.source import load
from daemon.scoring.inline import InlineScorer
from daemon.scoring.preparer import build_preparer
from daemon.scoring.results import BadRow
from daemon.scoring.threads import window_fusion
from daemon.telemetry.instruments import Instruments
from daemon.wiring import limits, timeline_config
from models.model import AffectModel
from models.scores import RiskScores
from streams.alignment.driver import AlignmentDriver
from streams.alignment.sessions import Sessions
from streams.clock import NS_PER_S
from streams.delivery.ledger import Ledger
from streams.records import RAW_PICTURE, EndOfSession, Modality, OfSession, Record
from tests.models.drivers import driver

pytestmark = pytest.mark.unit

HZ = 10
START_NS = 946_684_800 * NS_PER_S
LEVELS = ("none", "low", "medium", "high", "critical")
DROWSY = {"eyes_closed", "nodding"}
Course = Callable[[float], tuple[float, float]]
"""How far the eyes are closed, 0..1, and the head is bent, in degrees, at a second."""


def between(at_s: float, start_s: float, end_s: float) -> bool:
    return start_s <= at_s < end_s


def awake(at_s: float) -> tuple[float, float]:
    """Blinks every two seconds, and bobs a little."""
    return float(between(at_s % 2.0, 1.0, 1.2)), 4 * math.sin(2 * at_s)


def agreeing(at_s: float) -> tuple[float, float]:
    return 0.0, 28.0 if between(at_s % 1.5, 0.4, 0.9) else 0.0


def at_a_phone(at_s: float) -> tuple[float, float]:
    """Looks at the lap, with lids half down."""
    return (0.6, 35.0) if between(at_s, 3.0, 6.0) else (0.0, 0.0)


def closing_slowly(at_s: float) -> tuple[float, float]:
    return min(1.0, max(0.0, (at_s - 2.0) / 2.0)), 0.0


def closed_for_two_seconds(at_s: float) -> tuple[float, float]:
    return float(between(at_s, 3.0, 5.0)), 0.0


def nodding(at_s: float) -> tuple[float, float]:
    closed = float(between(at_s, 2.4, 5.2))
    sinking = min(1.0, max(0.0, (at_s - 3.4) / 0.5)) if at_s < 5.0 else max(0.0, 1 - (at_s - 5.0) / 0.2)
    return closed, 34.0 * sinking


@pytest.fixture(scope="module")
def model() -> AffectModel:
    return AffectModel.load("default", "cpu", 1)


def pictures(course: Course, seconds: float) -> Iterator[OfSession]:
    for index in range(round(seconds * HZ)):
        at_s = index / HZ
        closed, bent_degrees = course(at_s)
        picture = driver(closed, bent_degrees, shift_px=20 + round(6 * math.sin(at_s)))
        at_ns = START_NS + round(at_s * NS_PER_S)
        yield Record("car", Modality.VIDEO, RAW_PICTURE, picture, at_ns, at_ns)
    yield EndOfSession("car")


def risks(course: Course, model: AffectModel, seconds: float = 8.0, *settings: str) -> list[RiskScores]:
    """The risk of every window, by the driving profile."""
    config: Config = load(None, {}, ["extends=driving", *settings])
    instruments, timeline = Instruments(), timeline_config(config)
    clock, metrics = instruments.clock, instruments.metrics
    sessions = Sessions(timeline, config.windows.session_timeout_ns, clock, metrics, Ledger(timeline.grid))
    scorer = InlineScorer(
        AlignmentDriver(sessions, limits(config), clock, metrics),
        build_preparer(config, model),
        model,
        fusion=window_fusion(config, model, metrics),
    )
    windows = [window for item in pictures(course, seconds) for window in scorer.take(item, "test")]
    scores = [scored for scored in scorer.scores(windows) if not isinstance(scored, BadRow)]
    assert len(scores) == len(windows) > seconds
    return [scored.session.risk for scored in scores]


def codes(found: list[RiskScores]) -> set[str]:
    return {str(reason.code) for risk in found for reason in risk.reasons} & DROWSY


@pytest.mark.parametrize("course", [awake, agreeing, at_a_phone])
def test_nobody_is_drowsy_with_open_eyes(course: Course, model: AffectModel) -> None:
    assert codes(risks(course, model)) == set()


@pytest.mark.parametrize("course", [closing_slowly, closed_for_two_seconds])
def test_whoever_closes_the_eyes_for_long_raises_the_risk_to_high(course: Course, model: AffectModel) -> None:
    found = risks(course, model)
    worst = max(found, key=lambda risk: risk.score)
    assert worst.level in ("high", "critical")
    assert worst.reasons[0].code == "eyes_closed"
    assert {reason.modality for reason in worst.reasons if reason.code in DROWSY} == {"video"}
    assert found[0].level == "none"  # before it


def test_a_nod_with_closed_eyes_is_a_reason_of_its_own(model: AffectModel) -> None:
    assert codes(risks(nodding, model)) == DROWSY


def test_the_categories_of_risk_stay_those_of_words(model: AffectModel) -> None:
    assert {value for risk in risks(closed_for_two_seconds, model) for value in risk.categories.values()} == {0.0}


def test_drowsiness_is_scored_only_where_it_is_asked_for(model: AffectModel) -> None:
    assert codes(risks(closed_for_two_seconds, model, 8.0, "risk.drowsiness=false")) == set()
