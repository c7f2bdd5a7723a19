"""What the daemon asks of a model before it scores anything."""

import pytest
import torch

from daemon.config.errors import ConfigurationError
from daemon.scoring.threads import promise_sets, set_levels
from models.calibration.prediction_sets import SUBSETS, ConformalSets
from models.model import AffectModel
from tests.models.model_folders import plain_manifest

pytestmark = pytest.mark.unit

SETS = ConformalSets(coverages=(0.8, 0.9), least=dict.fromkeys(SUBSETS, (0.3, 0.1)))


def model(sets: ConformalSets | None) -> AffectModel:
    return AffectModel(plain_manifest(conformal=sets), {}, torch.device("cpu"))


def test_a_coverage_that_the_model_has_sets_for_is_taken_and_none_is_always() -> None:
    promising, plain = model(SETS), model(None)
    promise_sets(promising, 0.9)
    promise_sets(plain, 0.0)
    assert (promising.set_coverage, plain.set_coverage) == (0.9, 0.0)


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (SETS, "model.set_coverage: must be 0 or one of 0.8, 0.9: small 0 promises no other sets (is 0.7)"),
        (None, "model.set_coverage: must be 0: small 0 promises no other sets (is 0.7)"),
    ],
    ids=["other sets", "no sets"],
)
def test_another_coverage_is_a_configuration_error_that_names_the_key(sets: ConformalSets | None, message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        promise_sets(model(sets), 0.7)
    assert raised.value.problems == (message,)


def test_levels_take_the_place_of_the_model_s_and_leave_its_digest() -> None:
    changed = model(None)
    before = dict(changed.manifest.risk.levels)
    set_levels(changed, {"high": 0.8})
    assert changed.manifest.risk.levels == before | {"high": 0.8}
    assert changed.digest == model(None).digest


@pytest.mark.parametrize(
    ("levels", "sentence"),
    [
        ({"low": 0.99}, "risk.levels: levels must rise from low to critical"),
        ({"dire": 0.5}, "risk.levels: levels must be given for low, medium, high, critical"),
    ],
)
def test_levels_that_cannot_be_are_refused_by_their_key(levels: dict[str, float], sentence: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        set_levels(model(None), levels)
    assert sentence in str(refused.value)
