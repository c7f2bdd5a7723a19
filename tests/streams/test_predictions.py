"""The contract of what is published."""

import json
from importlib.resources import files

import jsonschema
import pytest

from streams.predictions import json_schema, prediction_id

pytestmark = pytest.mark.unit

SPAN = ("2000-01-01T00:00:00Z", "2000-01-01T00:00:04Z")


def test_the_schema_file_is_that_of_the_code() -> None:
    written = json.loads(files("streams").joinpath("schemas/prediction-1.json").read_text())
    assert written == json_schema(), "write it again from streams.predictions.json_schema()"


def test_the_schema_is_itself_valid_and_admits_no_unknown_key() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    parts = [schema, *schema["$defs"].values()]
    assert all(part["additionalProperties"] is False for part in parts if part["type"] == "object")


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
