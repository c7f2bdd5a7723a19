from collections import Counter
from dataclasses import replace

import pytest

from streams.alignment.sequence import SequenceCheck
from streams.records import Modality
from streams.telemetry import NullTelemetry
from tests.streams.making import line

pytestmark = pytest.mark.unit


class Faults(NullTelemetry):
    def __init__(self) -> None:
        self.of: Counter[str] = Counter()

    def sequence(self, modality: Modality, fault: str, count: int = 1) -> None:
        self.of[fault] += count


@pytest.mark.parametrize(
    ("numbers", "missing", "repeats"),
    [
        pytest.param([1, 2, 3], 0, 0, id="one after the other"),
        pytest.param([1, 2, 5], 2, 0, id="some are missing"),
        pytest.param([1, 3, 2, 4], 1, 0, id="one that comes later was missing"),
        pytest.param([1, 2, 2, 3], 0, 1, id="one came twice"),
        pytest.param([65_534, 65_535, 0, 1], 0, 0, id="they wrap"),
        pytest.param([65_534, 0, 65_535, 1, 2], 0, 0, id="they wrap out of order"),
        pytest.param([65_534, 65_535, 0, 1, 5], 3, 0, id="they wrap, and then some are missing"),
        pytest.param([5_000, 5_001, 0, 1, 4], 2, 0, id="they begin anew, and then some are missing"),
        pytest.param([1, 5_000], 4_998, 0, id="many are missing"),
        pytest.param([1, 2**63 - 1, 2, 3, 5], 1, 0, id="one leaps, and the stream goes on"),
        pytest.param([1, 2**40, 2**40 + 2], 1, 0, id="they begin anew further on"),
    ],
)
def test_numbers_show_what_is_missing_and_what_came_twice(numbers: list[int], missing: int, repeats: int) -> None:
    check, faults = SequenceCheck(), Faults()
    for number in numbers:
        check.repeats(replace(line(1), sequence=number), faults)
    assert (faults.of["gap"], faults.of["repeat"]) == (missing, repeats)
