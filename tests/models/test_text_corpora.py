"""Every corpus is read to the same samples, with documented label maps and splits that share no group."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from models.data.corpora.text import CORPORA, CorpusError, TextSample, read_corpus, without_repeats
from models.labels import EMOTIONS

pytestmark = pytest.mark.unit

ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "goemotions": ("goemotions", {"ekman": ["joy"]}),
    "meld": ("meld", {"id": "meld-train-d4-u2", "emotion": "disgust"}),
    "tweeteval-emotion": ("tweeteval_emotion", {"label": "optimism"}),
    "isear": ("isear", {"id": "isear-0110013", "emotion": "guilt", "no_response": 0}),
    "smp2020": ("smp2020_zh", {"emotion": "angry"}),
    "dreaddit": ("dreaddit", {"stress": 1}),
    "sdcnl": ("sdcnl", {"suicide": 0}),
    "sos1k": ("sos1k_zh", {"suicide_risk": 1}),
    "davidson": ("davidson", {"class": "offensive"}),
    "tweeteval-hate": ("tweeteval_hate", {"label": "not-hate"}),
    "tweeteval-offensive": ("tweeteval_offensive", {"label": "offensive"}),
    "cold": ("cold_zh", {"offensive": 1}),
}
EXPECTED_EMOTION = {
    "goemotions": "happiness",
    "meld": "disgust",
    "tweeteval-emotion": "happiness",
    "isear": "sadness",
    "smp2020": "anger",
}
EXPECTED_RISK = {
    "dreaddit": (1.0, None, None),
    "sdcnl": (1.0, 0.0, None),
    "sos1k": (1.0, 1.0, None),
    "davidson": (None, None, 1.0),
    "tweeteval-hate": (None, None, 0.0),
    "tweeteval-offensive": (None, None, 1.0),
    "cold": (None, None, 1.0),
}


def write(data: Path, stem: str, split: str, rows: list[dict[str, Any]]) -> None:
    (data / "text").mkdir(exist_ok=True)
    with gzip.open(data / "text" / f"{stem}_{split}.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(
            json.dumps({"id": f"{stem}-{i}", "lang": "en", "text": "hm", **row}) + "\n" for i, row in enumerate(rows)
        )


@pytest.mark.parametrize("name", CORPORA)
def test_each_corpus_maps_its_labels_and_leaves_the_others_unknown(tmp_path: Path, name: str) -> None:
    stem, row = ROWS[name]
    write(tmp_path, stem, "test", [row])
    (sample,) = read_corpus(name, tmp_path, "test")
    label = EXPECTED_EMOTION.get(name)
    assert sample.emotion == (tuple(float(emotion == label) for emotion in EMOTIONS) if label else None)
    assert sample.risk == EXPECTED_RISK.get(name, (None, None, None))


def test_rows_with_several_labels_share_one_between_them(tmp_path: Path) -> None:
    write(tmp_path, "goemotions", "valid", [{"ekman": ["joy", "neutral"]}])
    (sample,) = read_corpus("goemotions", tmp_path, "valid")
    assert sample.emotion == (0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0)


def test_a_corpus_without_validation_holds_out_whole_groups(tmp_path: Path) -> None:
    rows = [
        {"id": f"isear-{who:04}{item}", "emotion": "fear", "no_response": 0} for who in range(200) for item in "1234567"
    ]
    write(tmp_path, "isear", "train", rows)
    train, valid = (read_corpus("isear", tmp_path, split) for split in ("train", "valid"))
    assert len(train) + len(valid) == len(rows)
    assert 0.04 < len(valid) / len(rows) < 0.18
    assert not {sample.group for sample in train} & {sample.group for sample in valid}


def test_people_who_gave_no_answer_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, "isear", "test", [{"emotion": "fear", "no_response": 1}])
    assert read_corpus("isear", tmp_path, "test") == []


def test_a_dialogue_is_one_group(tmp_path: Path) -> None:
    write(tmp_path, "meld", "train", [{"id": f"meld-train-d7-u{i}", "emotion": "joy"} for i in range(3)])
    assert {sample.group for sample in read_corpus("meld", tmp_path, "train")} == {"meld-train-d7"}


def test_a_line_comes_with_those_before_it_in_its_dialogue_and_no_other(tmp_path: Path) -> None:
    rows = [{"id": f"meld-train-d{i // 5}-u{i % 5}", "text": f"line {i}", "emotion": "joy"} for i in range(7)]
    write(tmp_path, "meld", "train", rows)
    before = [sample.before for sample in read_corpus("meld", tmp_path, "train")]
    assert before[:3] == [(), ("line 0",), ("line 0", "line 1")]
    assert before[4] == ("line 1", "line 2", "line 3")
    assert before[5:] == [(), ("line 5",)]


def test_repeats_of_validation_texts_are_left_out_and_counted() -> None:
    def sample(text: str) -> TextSample:
        return TextSample(text, "en", text, text, None)

    kept, repeats = without_repeats([sample("Oh  no"), sample("oh yes")], [sample("oh no")])
    assert [each.text for each in kept] == ["oh yes"]
    assert repeats == 1


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"cold_zh_train\.jsonl\.gz: no such file"):
        read_corpus("cold", tmp_path, "train")


def test_a_malformed_row_is_named_by_its_line(tmp_path: Path) -> None:
    write(tmp_path, "meld", "train", [{"emotion": "joy"}, {"emotion": "bored"}])
    with pytest.raises(CorpusError, match=r"meld_train\.jsonl\.gz:2: KeyError: 'bored'"):
        read_corpus("meld", tmp_path, "train")


@pytest.mark.skipif("AFFECTD_DATA" not in os.environ, reason="AFFECTD_DATA is not set: no labelled data")
@pytest.mark.parametrize("name", CORPORA)
def test_no_group_of_the_real_corpora_is_in_two_splits(name: str) -> None:
    data = Path(os.environ["AFFECTD_DATA"])
    train, valid = (read_corpus(name, data, split) for split in ("train", "valid"))
    assert train
    assert valid
    assert not {sample.group for sample in train} & {sample.group for sample in valid}
