"""The configuration files that are shipped: the reference says what the code says, and the example can be used."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.config import Config
from daemon.config.endpoints import SINKS_BY_KIND, SOURCES_BY_KIND
from daemon.config.reference import reference
from daemon.config.source import load
from daemon.config.values import Section

pytestmark = pytest.mark.unit

DEPLOY = Path(__file__).parents[2] / "deploy" / "config"


def commented_blocks() -> list[str]:
    blocks = [block for block in reference().split("\n\n") if block.startswith("# [[")]
    return ["\n".join(line.removeprefix("# ") for line in block.splitlines()) for block in blocks]


def inner(model: type[Section]) -> dict[str, type[Section]]:
    """The tables inside a table, by their key."""
    annotations = {key: field.annotation for key, field in model.model_fields.items()}
    return {key: kind for key, kind in annotations.items() if isinstance(kind, type) and issubclass(kind, Section)}


def sections(model: type[Section]) -> Iterator[type[Section]]:
    yield model
    for table in inner(model).values():
        yield from sections(table)


def test_the_reference_file_is_what_the_models_generate() -> None:
    assert (DEPLOY / "reference.toml").read_text(encoding="utf-8") == reference(), (
        "run: python -m daemon.config.reference > deploy/config/reference.toml"
    )


def test_the_reference_as_it_stands_is_the_default_configuration() -> None:
    assert load(DEPLOY / "reference.toml", {}) == Config()


def test_every_commented_source_and_sink_of_the_reference_can_be_used(tmp_path: Path) -> None:
    blocks = commented_blocks()
    kinds = {entry["kind"] for block in blocks for entries in tomllib.loads(block).values() for entry in entries}
    assert kinds == SOURCES_BY_KIND.keys() | (SINKS_BY_KIND.keys() - {"stdout"})
    source = next(block for block in blocks if "[sources.kafka]" in block)
    for block in blocks:
        # A Kafka sink that names no servers writes to the cluster of a Kafka source.
        text = f"{source}\n{block}" if "[sinks.kafka]" in block else block
        (tmp_path / "block.toml").write_text(text, encoding="utf-8")
        load(tmp_path / "block.toml", {})


def test_every_key_has_a_sentence_about_it() -> None:
    models = {*sections(Config)}
    for kinds in (SOURCES_BY_KIND, SINKS_BY_KIND):
        models |= {section for model in kinds.values() for section in sections(model)}
    unsaid = {
        (model.__name__, key)
        for model in models
        for key, field in model.model_fields.items()
        if not field.description and key != "kind" and key not in inner(model)
    }
    assert unsaid == set()
    assert all(table.__doc__ for model in models for table in inner(model).values())


def test_the_example_can_be_used() -> None:
    config = load(DEPLOY / "example.toml", {})
    assert [source.name for source in config.sources] == ["chat-room-1", "chat-http"]


@pytest.mark.parametrize("name", ["kafka.toml", "kafka-local.toml"])
def test_the_kafka_examples_can_be_used(name: str) -> None:
    config = load(DEPLOY / name, {})
    assert config.kafka_source is not None
    assert config.kafka_sink_connection == config.kafka_source.kafka.connection
