"""Late fusion answers from any subset of the modalities, and says what each of them added."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.fusion.pool import LogLinearPool
from models.labels import EMOTIONS, MODALITIES

pytestmark = pytest.mark.property

POOL = LogLinearPool(weights={"video": 0.7, "audio": 1.2, "text": 0.9}, full_amount={"audio": 1.0})

logit = st.floats(-30, 30)
answers = st.lists(logit, min_size=3 * len(EMOTIONS), max_size=3 * len(EMOTIONS)).map(
    lambda row: torch.tensor(row, dtype=torch.float64).reshape(3, 1, len(EMOTIONS)).log_softmax(dim=-1)
)
amounts = st.lists(st.sampled_from([0.0, 0.4, 1.0, 3.0]), min_size=3, max_size=3).map(
    lambda row: torch.tensor(row, dtype=torch.float64)[:, None]
)


@given(answers, amounts)
def test_any_subset_gives_finite_probabilities_that_sum_to_one(answer: torch.Tensor, amount: torch.Tensor) -> None:
    posterior = POOL.fuse(answer, amount).posterior
    assert posterior.isfinite().all()
    assert posterior.sum().item() == pytest.approx(1)


@given(answers, amounts)
def test_the_modalities_evidence_adds_up_to_the_fused_answers(answer: torch.Tensor, amount: torch.Tensor) -> None:
    fused = POOL.fuse(answer, amount)
    assert torch.allclose(fused.evidence.sum(dim=0).softmax(dim=-1), fused.posterior)
    assert fused.evidence[amount[:, 0] == 0].eq(0).all()


@given(answers, answers, amounts)
def test_what_an_absent_modality_would_say_does_not_matter(
    answer: torch.Tensor, other: torch.Tensor, amount: torch.Tensor
) -> None:
    changed = torch.where(amount[..., None] > 0, answer, other)
    assert POOL.fuse(changed, amount).posterior.equal(POOL.fuse(answer, amount).posterior)


@given(st.lists(st.tuples(answers, amounts), min_size=2, max_size=5))
def test_a_row_in_a_batch_is_the_row_alone(rows: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
    batch = POOL.fuse(torch.cat([row[0] for row in rows], dim=1), torch.cat([row[1] for row in rows], dim=1)).posterior
    for i, (answer, amount) in enumerate(rows):
        assert batch[i : i + 1].equal(POOL.fuse(answer, amount).posterior)


def test_with_nothing_present_the_answer_is_flat() -> None:
    answer = torch.randn(3, 1, len(EMOTIONS), generator=torch.Generator().manual_seed(0)).double()
    posterior = POOL.fuse(answer, torch.zeros(3, 1)).posterior
    assert posterior[0].tolist() == pytest.approx([1 / len(EMOTIONS)] * len(EMOTIONS))


def test_weights_of_one_are_bayes_rule() -> None:
    plain = LogLinearPool(weights=dict.fromkeys(MODALITIES, 1.0))
    posteriors = torch.tensor([[0.4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1], [0.1, 0.4, 0.1, 0.1, 0.1, 0.1, 0.1]]).double()
    answer = torch.stack([posteriors[0], posteriors[1], posteriors[0]])[:, None].log()
    product = posteriors[0] * posteriors[1] * posteriors[0]
    assert plain.fuse(answer, torch.ones(3, 1)).posterior[0].tolist() == pytest.approx(
        (product / product.sum()).tolist()
    )


def test_half_the_evidence_counts_half() -> None:
    answer = torch.zeros(3, 2, len(EMOTIONS), dtype=torch.float64)
    answer[1, :, 4] = 2.0
    evidence = POOL.fuse(answer, torch.tensor([[0.0, 0.0], [0.5, 1.0], [0.0, 0.0]])).evidence
    assert (2 * evidence[1, 0]).tolist() == pytest.approx(evidence[1, 1].tolist())
