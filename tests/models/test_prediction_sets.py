"""A prediction set is never empty, holds the best label, grows with what it promises, and keeps its promise."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from models.calibration.prediction_sets import SUBSETS, ConformalSets, conformal_threshold
from models.labels import EMOTIONS, MODALITIES
from models.training.calibration.prediction_sets import COVERAGES, fit_sets
from models.training.fusion import synthetic_windows
from tests.models.synthetic_logits import synthetic_logits

pytestmark = pytest.mark.unit

SETS = ConformalSets(coverages=(0.8, 0.95), least=dict.fromkeys(SUBSETS, (0.4, 0.1)) | {"audio": (0.2, 0.0)})
PRESENT = st.tuples(st.booleans(), st.booleans(), st.booleans())


@st.composite
def posteriors(draw: st.DrawFn) -> torch.Tensor:
    shares = draw(st.lists(st.floats(1e-6, 1), min_size=len(EMOTIONS), max_size=len(EMOTIONS)))
    values = torch.tensor([shares], dtype=torch.float64)
    return values / values.sum()


def asked(posterior: torch.Tensor, present: tuple[bool, bool, bool], coverage: float) -> tuple[str, ...]:
    return SETS.labels(posterior, torch.tensor(present)[:, None], coverage)[0]


@given(posteriors(), PRESENT, st.sampled_from(SETS.coverages))
def test_a_set_is_never_empty_and_begins_with_the_best_label(
    posterior: torch.Tensor, present: tuple[bool, bool, bool], coverage: float
) -> None:
    found = asked(posterior, present, coverage)
    assert found[0] == EMOTIONS[int(posterior.argmax())]
    assert len(set(found)) == len(found)


@given(posteriors(), PRESENT)
def test_a_set_grows_with_what_it_promises(posterior: torch.Tensor, present: tuple[bool, bool, bool]) -> None:
    less, more = (asked(posterior, present, coverage) for coverage in SETS.coverages)
    assert more[: len(less)] == less


@given(posteriors(), PRESENT, st.sampled_from(SETS.coverages))
def test_what_is_left_out_is_less_probable_than_what_is_in(
    posterior: torch.Tensor, present: tuple[bool, bool, bool], coverage: float
) -> None:
    probable = dict(zip(EMOTIONS, posterior[0].tolist(), strict=True))
    found = asked(posterior, present, coverage)
    left_out = [value for name, value in probable.items() if name not in found]
    assert max(left_out, default=0) <= min(probable[name] for name in found)


def test_each_window_is_asked_by_what_is_present() -> None:
    posterior = torch.tensor([[0.55, 0.25, 0.2, 0.0, 0.0, 0.0, 0.0]]).repeat(3, 1).double()
    present = torch.tensor([[True, False, False], [False, True, False], [False, False, False]])
    assert SETS.labels(posterior, present, 0.8) == [
        ("neutral",),
        ("neutral", "happiness", "surprise"),
        EMOTIONS,
    ]


def test_a_coverage_that_was_not_fitted_is_refused() -> None:
    with pytest.raises(KeyError, match=r"coverage 0\.9 is not one of 0\.8, 0\.95"):
        SETS.labels(torch.full((1, 7), 1 / 7), torch.ones(3, 1, dtype=torch.bool), 0.9)


@pytest.mark.parametrize(
    ("coverages", "least", "message"),
    [
        ((0.9, 0.8), dict.fromkeys(SUBSETS, (0.1, 0.2)), "coverages must rise"),
        ((0.8, 1.0), dict.fromkeys(SUBSETS, (0.2, 0.1)), "coverages must rise"),
        ((0.8,), {"video": (0.2,)}, "least must be given for video, audio, text, video"),
        ((0.8, 0.9), dict.fromkeys(SUBSETS, (0.1, 0.2)), r"least\.video must fall"),
        ((0.8, 0.9), dict.fromkeys(SUBSETS, (0.1,)), r"least\.video must fall"),
    ],
)
def test_thresholds_that_contradict_themselves_are_refused(
    coverages: tuple[float, ...], least: dict[str, tuple[float, ...]], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        ConformalSets(coverages=coverages, least=least)


@pytest.mark.parametrize(
    ("windows", "coverage", "rank"), [(9, 0.9, 1), (8, 0.9, None), (99, 0.9, 10), (19, 0.95, 1), (4, 0.8, 1)]
)
def test_the_threshold_leaves_room_for_the_one_window_more(windows: int, coverage: float, rank: int | None) -> None:
    of_truth = np.arange(1, windows + 1) / 128
    shuffled = np.random.default_rng(0).permutation(of_truth)
    expected = 0.0 if rank is None else of_truth[rank - 1]
    assert conformal_threshold(shuffled, coverage) == pytest.approx(expected, abs=1e-6)
    assert conformal_threshold(shuffled, coverage) <= expected


def synthetic(windows: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Windows whose posterior is far too sure: what is promised must not depend on calibration."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(len(EMOTIONS), size=windows)
    logits = rng.normal(0, 1.5, (windows, len(EMOTIONS)))
    logits[np.arange(windows), labels] += 2
    sure = np.exp(3 * logits)
    return sure / sure.sum(axis=1, keepdims=True), labels


@pytest.mark.parametrize("coverage", COVERAGES)
def test_windows_alike_are_covered_as_often_as_promised_however_wrong_the_posterior(coverage: float) -> None:
    posterior, labels = synthetic(4000, 0)
    threshold = conformal_threshold(posterior[np.arange(4000), labels], coverage)
    sets = ConformalSets(coverages=(coverage,), least=dict.fromkeys(SUBSETS, (threshold,)))
    new, truth = synthetic(4000, 1)
    found = sets.labels(torch.from_numpy(new), torch.ones(3, 4000, dtype=torch.bool), coverage)
    held = np.mean([EMOTIONS[label] in labels for label, labels in zip(truth, found, strict=True)])
    error = 3 * np.sqrt(2 * coverage * (1 - coverage) / 4000)  # of the fit and of the measurement
    assert held == pytest.approx(coverage, abs=error) or (held > coverage and max(map(len, found)) == 1)


def test_what_is_fitted_to_some_answers_covers_others_for_every_subset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic_windows, "WINDOWS", 800)
    strengths = dict(zip(MODALITIES, (2.0, 0.5, 1.0), strict=True))
    sets, figures = fit_sets(
        {name: synthetic_logits(i, strength, 420) for i, (name, strength) in enumerate(strengths.items())}
    )
    assert sets.coverages == COVERAGES
    for coverage in COVERAGES:
        subsets = figures["coverages"][str(coverage)]
        assert set(subsets) == set(SUBSETS)
        for found in subsets.values():
            assert found["coverage"]["mean"] == pytest.approx(coverage, abs=0.05)
            assert 1 <= found["size"]["mean"] <= len(EMOTIONS)
        assert subsets["video+audio+text"]["size"]["mean"] < subsets["audio"]["size"]["mean"]
        spread, of_one = (
            np.ptp([found[name]["mean"] for found in subsets.values()]) for name in ("coverage", "one_threshold")
        )
        assert spread < of_one
