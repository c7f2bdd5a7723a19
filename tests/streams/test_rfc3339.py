import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.formats import rfc3339

pytestmark = pytest.mark.unit


@given(st.integers(0, rfc3339.MAX_NS))
def test_every_instant_survives_being_written_and_read(ns: int) -> None:
    assert rfc3339.parse(rfc3339.format_ns(ns)) == ns


@given(st.integers(0, rfc3339.MAX_NS - 1), st.integers(1, 10**10))
def test_text_sorts_as_time_does_within_a_precision(ns: int, later_ns: int) -> None:
    second, later = ns // 10**9 * 10**9, (ns // 10**9 + later_ns) * 10**9
    if later <= rfc3339.MAX_NS:
        assert rfc3339.format_ns(second) < rfc3339.format_ns(later)


@given(st.integers(86_400 * 10**9, rfc3339.MAX_NS - 86_400 * 10**9), st.integers(-23 * 60, 23 * 60))
def test_an_offset_names_the_same_instant_as_utc(ns: int, offset_min: int) -> None:
    sign = "-" if offset_min < 0 else "+"
    offset = f"{sign}{abs(offset_min) // 60:02d}:{abs(offset_min) % 60:02d}"
    local = rfc3339.format_ns(ns + offset_min * 60 * 10**9).replace("Z", offset)
    assert rfc3339.parse(local) == ns


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (946_684_800 * 10**9, "2000-01-01T00:00:00Z"),
        (946_684_800 * 10**9 + 500_000_000, "2000-01-01T00:00:00.500Z"),
        (946_684_800 * 10**9 + 120_000, "2000-01-01T00:00:00.000120Z"),
        (946_684_800 * 10**9 + 1, "2000-01-01T00:00:00.000000001Z"),
    ],
)
def test_as_few_digits_are_written_as_say_the_time_exactly(ns: int, text: str) -> None:
    assert rfc3339.format_ns(ns) == text


@pytest.mark.parametrize("text", ["2000-01-01t00:00:00z", "2000-01-01 00:00:00+00:00", "2000-01-01T00:00:00.000Z"])
def test_the_other_spellings_that_the_standard_allows_are_read(text: str) -> None:
    assert rfc3339.parse(text) == 946_684_800 * 10**9


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not an RFC 3339 time"),
        ("yesterday", "not an RFC 3339 time"),
        ("2000-01-01T00:00:00", "not an RFC 3339 time"),
        ("2000-01-01T00:00:00.1234567891Z", "not an RFC 3339 time"),
        ("٢٠٠٠-01-01T00:00:00Z", "not an RFC 3339 time"),
        ("2000-01-01T00:00:00Z\n", "not an RFC 3339 time"),
        ("2000-02-30T00:00:00Z", "no such time"),
        ("2000-01-01T24:00:00Z", "no such time"),
        ("1998-12-31T23:59:60Z", "no such time"),
        ("2000-01-01T00:00:00+24:00", "no such offset"),
        ("1969-12-31T23:59:59Z", "outside 1970 to 2262"),
        ("9999-01-01T00:00:00Z", "outside 1970 to 2262"),
    ],
)
def test_anything_else_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        rfc3339.parse(text)


@given(st.text(max_size=40))
def test_no_text_raises_anything_but_a_value_error(text: str) -> None:
    try:
        ns = rfc3339.parse(text)
    except ValueError:
        return
    assert 0 <= ns <= rfc3339.MAX_NS


@pytest.mark.parametrize("ns", [-1, rfc3339.MAX_NS + 1])
def test_an_instant_outside_the_range_is_not_written(ns: int) -> None:
    with pytest.raises(ValueError, match="outside 1970 to 2262"):
        rfc3339.format_ns(ns)
