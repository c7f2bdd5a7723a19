"""JSON from outside is one object, and what is wrong with it is said in words that its sender understands."""

import pytest

from streams.formats.strict_json import loads_object

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[]", "a JSON object is needed, not list"),
        ('{"a": 1, "a": 2}', "a key occurs twice"),
        ('{"a": ' * 9_999, "nested too deep"),
        ('{"a": ' + "9" * 5_000 + "}", "^a whole number of 5000 digits; at most 1000 are read$"),
        ('{"a": -' + "9" * 5_000 + "}", "^a whole number of 5001 digits"),
    ],
)
def test_what_is_wrong_is_said(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        loads_object(text)


def test_numbers_of_any_sense_are_read() -> None:
    assert loads_object('{"a": -9223372036854775808, "b": 1e-400}') == {"a": -(2**63), "b": 0.0}
