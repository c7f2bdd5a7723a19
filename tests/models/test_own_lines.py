"""Lines written for the project: whole, in matched pairs, and none of a validation voice or situation is trained on."""

import json
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from models.data.corpora.text import CorpusError, TextSample
from models.data.own_lines import (
    HELD_OUT_SITUATIONS,
    HELD_OUT_VOICE,
    LANGUAGES,
    OTHER_LANGUAGES,
    OwnLine,
    own_lines,
    own_samples,
    read_lines,
)
from models.labels import RISKS
from models.training.text.augment import varied

pytestmark = pytest.mark.unit

ROW = {
    "lang": "en",
    "situation": "farewell",
    "pair": "1",
    "voice": "a",
    "text": "bye all, look after the cat",
    "risks": ["distress", "self_harm"],
    "level": "critical",
    "emotion": "sadness",
}


@pytest.mark.parametrize("lang", LANGUAGES)
def test_each_language_has_three_thousand_lines_by_situation_most_of_them_in_pairs_that_differ(lang: str) -> None:
    lines = own_lines([lang])
    by_pair: dict[str, list[OwnLine]] = defaultdict(list)
    for line in lines:
        by_pair[line.group].append(line)
    matched = [pair for pair in by_pair.values() if len({(line.risks, line.level) for line in pair}) > 1]
    assert len(lines) >= 3000
    assert len({line.situation for line in lines}) >= 25
    assert sum(map(len, matched)) > 0.6 * len(lines)
    assert len({line.text for line in lines}) == len(lines)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_no_opening_of_four_words_is_a_frame_of_many_lines(lang: str) -> None:
    by_opening: dict[str, set[str]] = defaultdict(set)
    for line in own_lines([lang]):
        opening = line.text[:7] if lang == "zh" else " ".join(line.text.lower().split()[:5])
        by_opening[opening].add(line.group)
    assert max(map(len, by_opening.values())) <= 6


@pytest.mark.parametrize("lang", OTHER_LANGUAGES)
def test_other_languages_have_some_lines_of_every_risk_and_all_are_trained_on(lang: str) -> None:
    lines = own_lines([lang])
    assert {line.lang for line in lines} == {lang}
    assert all(any(risk in line.risks for line in lines) for risk in RISKS)
    assert any(not line.risks for line in lines)
    assert not any(line.held_out for line in lines)


def test_lines_at_risk_are_high_or_critical_and_harmless_ones_are_not() -> None:
    for line in own_lines():
        if "self_harm" in line.risks:
            assert line.level in ("high", "critical")
        if not line.risks:
            assert line.level in ("none", "low")


def test_validation_lines_are_of_a_voice_and_of_situations_that_are_not_trained_on() -> None:
    held_out = {
        line.group
        for line in own_lines(LANGUAGES)
        if line.voice == HELD_OUT_VOICE or line.situation in HELD_OUT_SITUATIONS
    }
    train, valid = own_samples(held_out=False), own_samples(held_out=True)
    assert {sample.group for sample in valid} == held_out
    assert not {sample.group for sample in train} & held_out
    assert not {sample.text for sample in train} & {sample.text for sample in valid}
    for samples in (train, valid):
        counts = Counter(
            (sample.lang, risk) for sample in samples for risk, has in zip(RISKS, sample.risk, strict=True) if has
        )
        assert all(counts[lang, risk] >= 40 for lang in LANGUAGES for risk in RISKS)


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"level": "dire"}, "unknown level"),
        ({"risks": ["theft"]}, "unknown level, emotion or risk"),
        ({"mood": 1}, "mood"),
    ],
)
def test_a_wrong_row_is_named_with_its_file_and_line(tmp_path: Path, wrong: dict[str, object], problem: str) -> None:
    path = tmp_path / "en.jsonl"
    path.write_text(json.dumps(ROW) + "\n" + json.dumps({**ROW, **wrong}) + "\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=rf"en\.jsonl:2: .*{problem}"):
        read_lines(path)


def pair_of(lang: str, worse: str, better: str) -> list[TextSample]:
    lines = [(worse, (1.0, 1.0, 0.0)), (better, (0.0, 0.0, 0.0))]
    return [TextSample(text, lang, text, f"{lang}/farewell/1", None, risk) for text, risk in lines]


def test_copies_of_a_pair_are_placed_alike_and_the_first_is_as_written() -> None:
    pair = pair_of("en", "I will not be there in spring", "I will not be there on Sunday")
    copies = varied(pair, 40)
    assert copies[:2] == pair
    for worse, better in zip(copies[2::2], copies[3::2], strict=True):
        assert worse.group == better.group != pair[0].group
        assert worse.before == better.before
        assert worse.text.count(".") == better.text.count(".") or "..." in worse.text + better.text
    assert len({sample.text for sample in copies}) > 20
    assert any(sample.before for sample in copies)
    assert {sample.risk for sample in copies[::2]} == {(1.0, 1.0, 0.0)}


def test_some_copies_of_chinese_lines_are_in_traditional_characters() -> None:
    texts = [sample.text for sample in varied(pair_of("zh", "我想离开这个世界", "我想离开这个公司"), 20)]
    assert any("離開這個世界" in text for text in texts)


def test_the_same_lines_give_the_same_copies() -> None:
    samples = own_samples(held_out=True)[:40]
    assert varied(samples, 3) == varied(samples, 3)
    assert np.any([a.text != b.text for a, b in zip(varied(samples, 3), varied(samples, 3, seed=1), strict=True)])
