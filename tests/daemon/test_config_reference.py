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


def sections(model: type[Section]) -> Iterator[type[Section]]:
    yield model
    for field in model.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from sections(field.annotation)


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
    for block in blocks:
        (tmp_path / "block.toml").write_text(block, encoding="utf-8")
        load(tmp_path / "block.toml", {})


def test_every_key_has_a_sentence_about_it() -> None:
    models = {*sections(Config)}
    for kinds in (SOURCES_BY_KIND, SINKS_BY_KIND):
        models |= {section for model in kinds.values() for section in sections(model)}
    tables = {name for name, field in Config.model_fields.items() if field.description is None}
    tables |= SOURCES_BY_KIND.keys() | SINKS_BY_KIND.keys() | {"kind"}
    unsaid = {(m.__name__, key) for m in models for key, field in m.model_fields.items() if not field.description}
    assert {key for _, key in unsaid} <= tables


def test_the_example_can_be_used() -> None:
    config = load(DEPLOY / "example.toml", {})
    assert [source.name for source in config.sources] == ["chat-room-1", "chat-http"]
