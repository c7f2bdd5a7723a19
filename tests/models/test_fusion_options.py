"""The table of options: one row each beside the plain training, and every option is one that the training heeds."""

from dataclasses import replace
from typing import get_args

import pytest

from models.fusion.strategies.interface import Missing
from models.studies.experiment import Experiment, Table, ravdess_experiment
from models.studies.markdown import RAVDESS_OPTION_VIEWS, option_tables
from models.studies.option_tables import PLAIN, every_option, options
from models.studies.train import STUDY_TRAININGS, train_member
from tests.models.fusion_files import write_ravdess

pytestmark = pytest.mark.unit

RAVDESS = STUDY_TRAININGS["ravdess-au"]
SHORT = replace(RAVDESS, training=replace(RAVDESS.training, epochs=1))
FOLDS = 2
OPTIONAL = ("modality_dropout", "alone", "alignment", "generator", "modulation", "modulation_noise", "contrast_epochs")


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    data = tmp_path_factory.mktemp("data")
    write_ravdess(data)
    whole = ravdess_experiment(data, 1, lambda what: None)
    return replace(whole, fold=whole.fold % FOLDS)  # fewer than it has: enough to see that there are some


@pytest.fixture(scope="module")
def table(experiment: Experiment) -> Table:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(STUDY_TRAININGS, "ravdess-au", SHORT)
        return every_option(experiment, ["gated"])


def test_every_option_has_a_row_with_a_figure_of_each_fold(table: Table) -> None:
    assert list(table) == ["gated"]
    assert list(table["gated"]) == list(options(SHORT))
    for views in table["gated"].values():
        assert set(views) == set(RAVDESS_OPTION_VIEWS)
        for figures in views.values():
            assert {len(figures[name]["values"]) for name in ("accuracy", "ece", "gain")} == {FOLDS}


def test_gains_are_told_against_the_plain_training(table: Table) -> None:
    plain = table["gated"][PLAIN]
    for views in table["gated"].values():
        for view, figures in views.items():
            less = figures["accuracy"]["mean"] - plain[view]["accuracy"]["mean"]
            assert figures["gain"]["mean"] == pytest.approx(less)
    assert not any(any(figures["gain"]["values"]) for figures in plain.values())


def test_the_tables_have_a_line_for_each_option(table: Table) -> None:
    _, accuracies, gains = option_tables(table, RAVDESS_OPTION_VIEWS)
    for text, columns in ((accuracies, 5), (gains, 4)):
        head, _, *rows = (line.strip("| ").split(" | ") for line in text.splitlines())
        assert head[:2] == ["trained", "gated: both"]
        assert [row[0] for row in rows] == list(options(SHORT))
        assert {len(row) for row in [head, *rows]} == {columns}


def test_everything_that_can_be_chosen_is_compared() -> None:
    compared = options(RAVDESS)
    assert next(iter(compared)) == PLAIN
    assert RAVDESS in compared.values()  # as the other tables train
    assert {study.missing for study in compared.values()} == set(get_args(Missing))
    for name in OPTIONAL:
        assert not getattr(compared[PLAIN].training, name)
        assert any(getattr(study.training, name) for study in compared.values()), name


@pytest.mark.parametrize("missing", get_args(Missing))
def test_a_study_trains_with_what_it_says_stands_in(missing: Missing, experiment: Experiment) -> None:
    assert train_member(replace(SHORT, missing=missing), "gated", experiment.rows).net.config.missing == missing
