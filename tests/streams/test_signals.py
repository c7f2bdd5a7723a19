"""A signal is a record like others: read by its contract, placed in windows by event time, and done at once."""

import json

import pytest

from streams.decoding.decode import Limits, decode_record
from streams.events import Signal
from streams.participants import NamedBy, Participant
from streams.reasons import BadRecord
from streams.records import Modality, Record
from tests.streams.making import Stage, ns
from tests.streams.test_timeline import TUMBLING

pytestmark = pytest.mark.unit


def record(payload: object, content_type: str = "application/json", at_ns: int = ns(5)) -> Record:
    value = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return Record("room", Modality.SIGNALS, content_type, value, at_ns, received_ns=at_ns)


def signal(payload: object) -> object:
    return decode_record(record(payload), Limits(), live=False).payload


def test_a_signal_has_a_name_a_value_and_perhaps_a_confidence() -> None:
    assert signal({"name": "heart-rate", "value": 0.9}) == Signal("heart-rate", 0.9, 1.0)
    assert signal({"name": "fraud", "value": 1, "confidence": 0, "more": "is left"}) == Signal("fraud", 1.0, 0.0)


def test_a_signal_may_say_whose_it_is() -> None:
    event = decode_record(record({"name": "pulse", "value": 0.5, "participant": "ann"}), Limits(), live=False)
    assert event.participant == Participant("ann", NamedBy.AUTHOR)


@pytest.mark.parametrize(
    ("payload", "reason", "why"),
    [
        ({"value": 0.5}, "invalid_signal", "name"),
        ({"name": "", "value": 0.5}, "invalid_signal", "name"),
        ({"name": "x" * 65, "value": 0.5}, "invalid_signal", "name"),
        ({"name": 7, "value": 0.5}, "invalid_signal", "name"),
        ({"name": "pulse"}, "invalid_signal", "value"),
        ({"name": "pulse", "value": 1.01}, "invalid_signal", "value"),
        ({"name": "pulse", "value": -0.1}, "invalid_signal", "value"),
        ({"name": "pulse", "value": True}, "invalid_signal", "value"),
        ({"name": "pulse", "value": "0.5"}, "invalid_signal", "value"),
        ({"name": "pulse", "value": 0.5, "confidence": 2}, "invalid_signal", "confidence"),
        ({"name": "pulse", "value": 0.5, "participant": ""}, "invalid_participant", "participant"),
        ({"name": "pulse", "value": 0.5, "participant": "a" * 1024}, "invalid_participant", "participant"),
        (b'{"name": "pulse", "value": NaN}', "invalid_", ""),
        (b'{"name": "pulse", "value": 1e999}', "invalid_", ""),
        (b"[]", "invalid_json", ""),
        (b"0.5", "invalid_json", ""),
        (b"\xff", "invalid_utf8", ""),
        ({"name": "pulse", "value": 0.5, "more": "x" * 5000}, "oversized", ""),
    ],
)
def test_what_is_no_signal_is_refused_and_says_which_field_is_wrong(payload: object, reason: str, why: str) -> None:
    with pytest.raises(BadRecord) as refused:
        decode_record(record(payload), Limits(), live=False)
    assert refused.value.reason.startswith(reason)
    assert str(refused.value).startswith(why)


def test_a_signal_of_another_content_type_is_refused() -> None:
    with pytest.raises(BadRecord, match="application/json are read") as refused:
        decode_record(record({"name": "pulse", "value": 0.5}, "text/plain"), Limits(), live=False)
    assert refused.value.reason == "content_type"


def test_signals_stand_in_their_windows_and_there_is_nothing_to_encode() -> None:
    stage = Stage(TUMBLING)
    for at_s, value in ((1, 0.25), (5, 0.5)):
        stage.stored(decode_record(record({"name": "pulse", "value": value}, at_ns=ns(at_s)), Limits(), live=False))
    stage.end()
    assert stage.units == []
    held = [[unit.payload for unit in window.units[Modality.SIGNALS]] for window in stage.windows]
    assert held == [[Signal("pulse", 0.25)], [Signal("pulse", 0.5)]]
    assert all(window.ready for window in stage.windows)
