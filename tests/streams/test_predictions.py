"""The contract of what is published."""

import json
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from models.labels import EMOTIONS
from models.scores import Abstention, RiskCode, RiskLevel
from streams.predictions import Prediction, Window, json_schema, prediction_id
from streams.reasons import ClosedBy
from streams.records import Modality

pytestmark = pytest.mark.unit

SPAN = ("2000-01-01T00:00:00Z", "2000-01-01T00:00:04Z")


def test_the_schema_file_is_that_of_the_code() -> None:
    written = json.loads(files("streams").joinpath("schemas/prediction-1.json").read_text())
    assert written == json_schema(), "write it again from streams.predictions.json_schema()"


def objects(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [part for part in (schema, *schema["$defs"].values()) if part["type"] == "object"]


def test_the_schema_is_itself_valid_and_lets_a_consumer_of_today_read_what_is_added_tomorrow() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert not any("additionalProperties" in part for part in objects(schema))


def test_no_key_leaves_that_the_contract_does_not_declare() -> None:
    parts = objects(Prediction.model_json_schema(mode="serialization"))
    assert {part["title"] for part in parts} > {"Prediction", "Risk", "Reason", "Abstained", "ModalityReport"}
    assert all(part["additionalProperties"] is False for part in parts)
    with pytest.raises(ValidationError, match="Extra inputs"):
        Window.model_validate({"start": SPAN[0], "end": SPAN[1], "closed_by": "idle", "because": "secret"})


@pytest.mark.parametrize(
    ("part", "key", "values"),
    [
        ("Emotion", "label", EMOTIONS),
        ("Risk", "level", tuple(RiskLevel)),
        ("Window", "closed_by", tuple(ClosedBy)),
        ("Reason", "modality", tuple(Modality)),
        ("Reason", "code", tuple(RiskCode)),
        ("Abstained", "reason", tuple(Abstention)),
    ],
)
def test_text_of_a_closed_set_is_an_enumeration(part: str, key: str, values: tuple[str, ...]) -> None:
    told = json_schema()["$defs"][part]["properties"][key]
    assert tuple(told.get("enum") or told["anyOf"][0]["enum"]) == values


def test_times_and_ids_say_their_format() -> None:
    schema = json_schema()
    window = schema["$defs"]["Window"]["properties"]
    assert (window["start"]["format"], window["end"]["format"]) == ("date-time", "date-time")
    assert schema["properties"]["id"]["format"] == "uuid"


def test_abstention_is_said_to_be_of_the_emotion_alone() -> None:
    parts = json_schema()["$defs"]
    assert "of the emotion alone" in parts["Abstained"]["description"]
    assert "abstained from can have any level" in parts["Risk"]["description"]


def test_every_top_level_key_of_the_contract_is_required() -> None:
    said = {"schema", "id", "revision", "session", "window", "alignment", "model", "profile", "timing"}
    answered = {"emotion", "risk", "abstained", "modalities", "transcript"}
    assert set(json_schema()["required"]) == said | answered


def test_what_came_later_is_required_of_nobody_and_may_be_null() -> None:
    emotion = json_schema()["$defs"]["Emotion"]
    assert set(emotion["required"]) == {"label", "probabilities", "valence", "arousal", "entropy"}
    assert {"type": "null"} in emotion["properties"]["set"]["anyOf"]


def test_an_id_is_the_same_on_every_machine() -> None:
    assert prediction_id("room", *SPAN, "sha256:aa") == "0e3f7a3c-0731-5809-be7b-d14da71d75ef"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("room", *SPAN, "sha256:aa"), ("room", *SPAN, "sha256:bb")),
        (("room", *SPAN, "sha256:aa"), ("hall", *SPAN, "sha256:aa")),
        (("a", "b,c", "d", "e"), ("a,b", "c", "d", "e")),
        (('a","b', "c", "d", "e"), ("a", 'b","c', "d", "e")),
    ],
    ids=["model", "session", "where a part ends", "quotes"],
)
def test_ids_of_different_windows_differ(one: tuple[str, str, str, str], other: tuple[str, str, str, str]) -> None:
    assert prediction_id(*one) != prediction_id(*other)
