"""Mixed precision is used where it is faster, and float32 where a device refuses bfloat16 or emulates it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from models import precision
from models.precision import bfloat16_is_faster, mixed_precision

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    bfloat16_is_faster.cache_clear()
    yield
    bfloat16_is_faster.cache_clear()


def seconds(monkeypatch: pytest.MonkeyPatch, of_bf16: float | Exception, of_float32: float) -> None:
    """What a device takes for a step in each."""

    def taken(_step: object, _kind: str, bf16: bool) -> float:
        found = of_bf16 if bf16 else of_float32
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(precision, "_seconds", taken)


@pytest.mark.parametrize(
    ("bf16", "float32", "faster"),
    [(1.0, 2.0, True), (0.95, 1.0, False), (50.0, 1.0, False), (RuntimeError("no such primitive"), 1.0, False)],
)
def test_bfloat16_is_used_only_where_a_step_of_it_is_faster(
    monkeypatch: pytest.MonkeyPatch, bf16: float | Exception, float32: float, faster: bool
) -> None:
    seconds(monkeypatch, bf16, float32)
    with mixed_precision("cpu"):
        assert torch.is_autocast_enabled("cpu") is faster
    with mixed_precision("cpu", wanted=False):
        assert not torch.is_autocast_enabled("cpu")


def test_the_layers_used_here_run_under_whatever_this_machine_was_found_to_have() -> None:
    layers = torch.nn.LSTM(8, 8), torch.nn.Linear(8, 8)
    with mixed_precision("cpu"):
        states, _ = layers[0](torch.randn(5, 2, 8))
        assert layers[1](states).isfinite().all()


def test_asking_changes_no_random_number() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    bfloat16_is_faster("cpu")
    assert torch.rand(4).equal(expected)


def test_autocast_is_entered_nowhere_else() -> None:
    """Whoever enters it without asking depends on what one machine's CPU has."""
    found = {
        path.relative_to(ROOT).as_posix()
        for package in ("models", "daemon")
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("autocast", "bfloat16")
    }
    assert found == {"models/precision.py"}
