"""Drowsiness from the course of eyes and head: timelines and their signs."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.face.drowsiness import EyesAndHead, drowsiness

pytestmark = pytest.mark.unit

_HZ = 10
_STEP_NS = 1_000_000_000 // _HZ
_OPEN, _CLOSED = 0.95, 0.05
_Span = tuple[float, float]


def _course(
    seconds: float,
    closed: Sequence[_Span] = (),
    down: Sequence[_Span] = (),
    untold: Sequence[_Span] = (),
    down_degrees: float = 20.0,
) -> list[EyesAndHead]:
    def within(spans: Sequence[_Span], at_s: float) -> bool:
        return any(start <= at_s < end for start, end in spans)

    pictures = []
    for index in range(round(seconds * _HZ) + 1):
        at_s = index / _HZ + 1e-6
        eyes = _CLOSED if within(closed, at_s) else _OPEN
        pitch = down_degrees if within(down, at_s) else -5.0
        pictures.append(EyesAndHead(index * _STEP_NS, None if within(untold, at_s) else eyes, pitch))
    return pictures


def _severity(pictures: Sequence[EyesAndHead]) -> float:
    signs = drowsiness(pictures)
    assert signs is not None
    return max(signs.eyes_severity, signs.nods_severity)


def test_open_eyes_have_no_sign() -> None:
    signs = drowsiness(_course(30))
    assert signs is not None
    assert (signs.perclos, signs.longest_closure_s, signs.nods, signs.eyes_severity) == (0.0, 0.0, 0, 0.0)
    assert signs.told_s == pytest.approx(30)


def test_blinks_are_no_closures_however_many() -> None:
    assert _severity(_course(30, closed=[(at, at + 0.3) for at in range(1, 30)])) == 0.0


@pytest.mark.parametrize(
    ("closed_s", "least", "most"), [(0.4, 0, 0), (0.6, 0.1, 1), (1.0, 2, 2.9), (2.0, 3, 3.9), (3.5, 4, 4)]
)
def test_the_longer_one_closure_the_worse(closed_s: float, least: float, most: float) -> None:
    assert least <= _severity(_course(6, closed=[(1, 1 + closed_s)])) <= most


def test_many_slow_closures_count_by_their_share_of_time() -> None:
    signs = drowsiness(_course(30, closed=[(at, at + 0.6) for at in range(0, 30, 2)]))
    assert signs is not None
    assert signs.perclos == pytest.approx(0.3, abs=0.02)
    assert signs.eyes_severity >= 3
    assert _severity(_course(4, closed=[(1, 1.6), (3, 3.6)])) < 1  # too short a time for a share


def test_a_nod_with_closed_eyes_counts_and_assent_does_not() -> None:
    asleep = drowsiness(_course(10, closed=[(4, 5.6)], down=[(5, 6)]))
    assent = drowsiness(_course(10, down=[(2, 2.4), (3, 3.4), (4, 4.4)]))
    assert asleep is not None
    assert assent is not None
    assert asleep.nods == 1
    assert assent.nods == 0
    assert assent.nods_severity == 0


def test_a_look_at_the_lap_hides_the_eyes_and_is_no_closure() -> None:
    signs = drowsiness(_course(10, closed=[(3, 6)], down=[(3, 6)]))  # lids are all that is seen from the front
    assert signs is not None
    assert signs.eyes_severity == 0
    assert signs.told_s == pytest.approx(7, abs=0.3)


def test_eyes_that_are_never_told_give_no_answer() -> None:
    assert drowsiness(_course(10, untold=[(0, 11)])) is None
    assert drowsiness([]) is None
    assert drowsiness(_course(0)) is None


def test_time_in_which_eyes_are_not_told_is_neither_open_nor_closed() -> None:
    signs = drowsiness(_course(20, closed=[(2, 3), (8, 9)], untold=[(3, 8)]))
    assert signs is not None
    assert signs.longest_closure_s == pytest.approx(1.0, abs=0.11)
    assert signs.told_s == pytest.approx(15, abs=0.2)


def test_a_picture_that_tells_nothing_does_not_end_a_closure() -> None:
    signs = drowsiness(_course(6, closed=[(1, 3)], untold=[(2, 2.1)]))
    assert signs is not None
    assert signs.longest_closure_s == pytest.approx(2.0)


@given(
    st.lists(
        st.tuples(
            st.integers(1, 2_000_000_000),
            st.none() | st.floats(0, 1),
            st.none() | st.floats(-60, 60),
        ),
        max_size=60,
    )
)
def test_any_course_has_bounded_signs(steps: list[tuple[int, float | None, float | None]]) -> None:
    time_ns, pictures = 0, []
    for step_ns, eyes, pitch in steps:
        time_ns += step_ns
        pictures.append(EyesAndHead(time_ns, eyes, pitch))
    signs = drowsiness(pictures)
    if signs is not None:
        assert min(signs.eyes_severity, signs.nods_severity) >= 0
        assert max(signs.eyes_severity, signs.nods_severity) <= 4
        assert 0 <= signs.longest_closure_s <= signs.told_s + 1e-9
        assert signs.perclos is None or 0 <= signs.perclos <= 1


@given(st.floats(0, 1), st.floats(0, 1))
def test_closing_more_is_never_less_severe(first: float, second: float) -> None:
    less, more = sorted((first, second))
    assert _severity(_course(8, closed=[(1, 1 + 6 * less)])) <= _severity(_course(8, closed=[(1, 1 + 6 * more)]))
