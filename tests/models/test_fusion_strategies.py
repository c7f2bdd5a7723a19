"""Ways of fusing: what holds for all of them, whatever is missing, and what is each one's own."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from models.fusion.strategies.attention import Attention, masked_softmax
from models.fusion.strategies.branches import BranchedFusion
from models.fusion.strategies.contextual import Contextual
from models.fusion.strategies.decisions import DecisionMean, ProductOfExperts
from models.fusion.strategies.interface import FusionConfig, FusionOutput, FusionStrategy, Missing, ModalitySteps
from models.fusion.strategies.missing import Imputation
from models.fusion.strategies.registry import STRATEGIES, build_strategy
from models.fusion.strategies.shared_private import cross_correlation, moment_discrepancy
from models.fusion.strategies.weighted import GatedSum

pytestmark = pytest.mark.unit

WIDTHS = {"video": 5, "audio": 4, "text": 6}
TIMES = {"video": 4, "audio": 3, "text": 2}
CONFIG = FusionConfig(WIDTHS, {"emotion": 3, "affect": 2}, hidden=8, dropout=0.2, regressions=("affect",))
SUBSETS = [subset for size in (1, 2, 3) for subset in combinations(WIDTHS, size)]
KINDS: Sequence[Missing] = get_args(Missing)

every_fusion = pytest.mark.parametrize("name", STRATEGIES)
every_kind = pytest.mark.parametrize("missing", KINDS)


def fusion(name: str, config: FusionConfig = CONFIG, seed: int = 0) -> FusionStrategy:
    torch.manual_seed(seed)
    return build_strategy(name, config).eval()


def batch(rows: int, seed: int = 0, present: Sequence[str] = tuple(WIDTHS)) -> dict[str, ModalitySteps]:
    """Steps of which a third are masked, at least one of each present modality unmasked."""
    made = torch.Generator().manual_seed(seed)
    inputs = {}
    for name, width in WIDTHS.items():
        mask = torch.rand(rows, TIMES[name], generator=made) > 0.33
        mask[torch.arange(rows), torch.randint(TIMES[name], (rows,), generator=made)] = True
        inputs[name] = ModalitySteps(torch.randn(rows, TIMES[name], width, generator=made), mask & (name in present))
    return inputs


def some_absent(rows: int, seed: int = 0) -> dict[str, ModalitySteps]:
    """Every row lacks what the bits of its number say; row 0 lacks all."""
    bits = torch.arange(rows)
    return {name: each.masked_by((bits // 2**i) % 2 == 1) for i, (name, each) in enumerate(batch(rows, seed).items())}


def rows_of(inputs: dict[str, ModalitySteps], rows: slice) -> dict[str, ModalitySteps]:
    return {name: ModalitySteps(each.steps[rows], each.mask[rows]) for name, each in inputs.items()}


def tensors(output: FusionOutput) -> list[Tensor]:
    alone = [each for answers in output.unimodal.values() for each in answers.values()]
    return [output.fused, *output.logits.values(), *output.summaries.values(), *alone]


def same(first: FusionOutput, second: FusionOutput, rows: slice = slice(None)) -> None:
    for one, other in zip(tensors(first), tensors(second), strict=True):
        torch.testing.assert_close(one[rows], other, rtol=1e-4, atol=1e-5)


@every_fusion
@every_kind
@pytest.mark.parametrize("training", [False, True])
def test_any_subset_of_the_modalities_is_answered_finitely(name: str, missing: Missing, training: bool) -> None:
    net = fusion(name, replace(CONFIG, missing=missing, recurrent=training)).train(training)
    for subset in [(), *SUBSETS]:
        output = net(batch(3, present=subset))
        assert {task: tuple(logits.shape) for task, logits in output.logits.items()} == {
            "emotion": (3, 3),
            "affect": (3, 2),
        }
        assert all(torch.isfinite(each).all() for each in [*tensors(output), *output.penalties.values()])


@every_fusion
@every_kind
@settings(max_examples=3, deadline=None)
@given(rows=st.integers(1, 17), seed=st.integers(0, 99), chosen=st.data())
def test_a_row_is_answered_as_if_it_were_alone(
    name: str, missing: Missing, rows: int, seed: int, chosen: st.DataObject
) -> None:
    row = chosen.draw(st.integers(0, rows - 1))
    net = fusion(name, replace(CONFIG, missing=missing, recurrent=seed % 2 == 0))
    inputs = some_absent(rows, seed)
    with torch.no_grad():
        same(net(inputs), net(rows_of(inputs, slice(row, row + 1))), slice(row, row + 1))


@every_fusion
@every_kind
def test_what_masked_steps_hold_has_no_effect(name: str, missing: Missing) -> None:
    net = fusion(name, replace(CONFIG, missing=missing, recurrent=True))
    inputs = some_absent(8)
    fillings = {"video": math.nan, "audio": math.inf, "text": 1e6}
    other = {
        modality: ModalitySteps(torch.where(each.mask[..., None], each.steps, fillings[modality]), each.mask)
        for modality, each in inputs.items()
    }
    same(net(inputs), net(other))
    torch.autograd.backward(net(other).logits["emotion"].sum())
    assert all(parameter.grad is None or torch.isfinite(parameter.grad).all() for parameter in net.parameters())


@every_fusion
def test_masked_steps_at_the_end_may_as_well_not_be_there(name: str) -> None:
    inputs = batch(4)
    longer = {
        modality: ModalitySteps(
            functional.pad(each.steps, (0, 0, 0, 3), value=7.0), functional.pad(each.mask, (0, 3), value=False)
        )
        for modality, each in inputs.items()
    }
    same(fusion(name)(inputs), fusion(name)(longer))


@every_fusion
@every_kind
def test_a_modality_that_is_absent_does_not_change_the_answer_whatever_it_holds(name: str, missing: Missing) -> None:
    net = fusion(name, replace(CONFIG, missing=missing))
    inputs = batch(4, present=("video", "text"))
    same(net(inputs), net(inputs | {"audio": ModalitySteps(torch.ones(4, 3, 4), inputs["audio"].mask)}))


@every_fusion
def test_a_modality_that_is_present_changes_the_answer(name: str) -> None:
    net = fusion(name)
    inputs = batch(4)
    for modality, each in inputs.items():
        changed = net(inputs | {modality: ModalitySteps(-each.steps, each.mask)})
        for task, logits in net(inputs).logits.items():
            assert (logits - changed.logits[task]).abs().max() > 1e-6, (modality, task)


@every_fusion
@every_kind
def test_gradients_reach_every_parameter(name: str, missing: Missing) -> None:
    net = fusion(name, replace(CONFIG, missing=missing, recurrent=missing == "generated", dropout=0.0)).train()
    inputs = batch(32) if missing == "mask" else some_absent(32)
    output = net(inputs, torch.arange(32) // 4)
    torch.manual_seed(1)
    read = [(each * torch.randn_like(each)).sum() for each in [*tensors(output), *output.penalties.values()]]
    torch.autograd.backward(torch.stack(read).sum())
    still = [key for key, each in net.named_parameters() if each.grad is None or not each.grad.abs().max() > 0]
    assert still == []


@every_fusion
def test_the_same_seed_gives_the_same_weights_and_evaluation_is_repeatable(name: str) -> None:
    first, second = fusion(name), fusion(name)
    inputs = some_absent(8)
    same(first(inputs), second(inputs))
    same(first(inputs), first(inputs))


@every_fusion
def test_one_modality_and_any_width_will_do(name: str) -> None:
    net = fusion(name, FusionConfig({"text": 6}, {"emotion": 3}, hidden=6))
    assert net({"text": batch(2)["text"]}).logits["emotion"].shape == (2, 3)


def test_an_unknown_name_or_kind_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ValueError, match="concatenation, gated"):
        build_strategy("sum", CONFIG)
    with pytest.raises(ValueError, match="mask, token, mean or generated"):
        Imputation(replace(CONFIG, missing="zeros"))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="two modalities"):
        Imputation(FusionConfig({"text": 6}, {"emotion": 3}, missing="generated"))
    with pytest.raises(ValueError, match="a modality and a task"):
        build_strategy("gated", FusionConfig({}, {"emotion": 3}))


def test_the_running_mean_is_that_of_the_rows_that_have_the_modality() -> None:
    stand_ins = Imputation(replace(CONFIG, missing="mean"))
    present = torch.tensor([[True, True, False], [True, False, False]])
    summaries = {name: torch.tensor([[1.0], [3.0]]).expand(2, 8) for name in WIDTHS}
    stand_ins(summaries, present)
    assert stand_ins.mean[:, 0].tolist() == [2.0, 1.0, 0.0]
    stand_ins({name: 3 * each for name, each in summaries.items()}, present)
    assert stand_ins.mean[:, 0].tolist() == [4.0, 2.0, 0.0]
    filled, counted = stand_ins.eval()(summaries, present)
    assert filled["audio"][:, 0].tolist() == [1.0, 2.0]
    assert counted.all()


def test_gates_are_shares_of_the_modalities_that_are_present_and_differ_from_row_to_row() -> None:
    net = fusion("gated")
    assert isinstance(net, GatedSum)
    seen = net.branched(some_absent(8))
    weights = net.weights(seen)
    torch.testing.assert_close(weights.sum(dim=1), torch.tensor([0.0] + [1.0] * 7))
    assert (weights[~seen.counted] == 0).all()
    assert weights[7].std() > 0
    full = net.weights(net.branched(batch(2)))
    assert not torch.allclose(full[0], full[1])


def test_the_mean_of_decisions_is_the_mean_of_posteriors_and_of_numbers() -> None:
    net = fusion("decision_mean")
    assert isinstance(net, DecisionMean)
    output = net(batch(4, present=("video", "text")))
    two = [output.unimodal[name] for name in ("video", "text")]
    wanted = torch.stack([answers["emotion"].softmax(dim=1) for answers in two]).mean(dim=0)
    torch.testing.assert_close(output.logits["emotion"].softmax(dim=1), wanted)
    torch.testing.assert_close(output.logits["affect"], torch.stack([a["affect"] for a in two]).mean(dim=0))


def test_a_product_of_experts_is_their_posteriors_product_and_an_absent_one_is_no_factor() -> None:
    net = fusion("product_of_experts")
    assert isinstance(net, ProductOfExperts)
    output = net(batch(4, present=("video", "text")))
    product = output.unimodal["video"]["emotion"].softmax(dim=1) * output.unimodal["text"]["emotion"].softmax(dim=1)
    torch.testing.assert_close(output.logits["emotion"].softmax(dim=1), product / product.sum(dim=1, keepdim=True))


@every_fusion
def test_sessions_do_not_look_at_each_other(name: str) -> None:
    net = fusion(name)
    inputs = some_absent(9)
    session = torch.tensor([4, 4, 4, 1, 7, 7, 7, 7, 2])
    whole = net(inputs, session)
    for rows in (slice(0, 3), slice(3, 4), slice(4, 8), slice(8, 9)):
        same(whole, net(rows_of(inputs, rows), session[rows]), rows)
    assert torch.allclose(whole.fused, net(inputs).fused, atol=1e-6) != STRATEGIES[name].reads_session


@every_kind
@settings(max_examples=10, deadline=None)
@given(sessions=st.integers(1, 4), windows=st.integers(1, 6), seed=st.integers(0, 99))
def test_window_by_window_a_session_gets_the_answers_that_it_gets_whole(
    missing: Missing, sessions: int, windows: int, seed: int
) -> None:
    net = fusion("contextual", replace(CONFIG, missing=missing))
    assert isinstance(net, Contextual)
    inputs = some_absent(sessions * windows, seed)
    whole = net(inputs, torch.arange(sessions).repeat_interleave(windows))
    state = None
    for window in range(windows):
        rows = slice(window, None, windows)
        output, state = net.step(rows_of(inputs, rows), state)
        for one, other in zip(tensors(whole), tensors(output), strict=True):
            torch.testing.assert_close(one[rows], other, rtol=1e-4, atol=1e-5)
        assert state.shape == (sessions, len(WIDTHS) + 1, CONFIG.hidden)


def test_sessions_come_and_go_by_rows_of_the_state() -> None:
    net = fusion("contextual")
    assert isinstance(net, Contextual)
    inputs = batch(3)
    _, state = net.step(rows_of(inputs, slice(0, 1)))
    joined, state = net.step(rows_of(inputs, slice(1, 3)), torch.cat([state, torch.zeros_like(state)]))
    torch.testing.assert_close(joined.fused[0], net(rows_of(inputs, slice(0, 2)), torch.zeros(2)).fused[1])
    torch.testing.assert_close(joined.fused[1], net(rows_of(inputs, slice(2, 3))).fused[0])


def test_the_past_changes_a_causal_answer_and_the_future_only_a_bidirectional_one() -> None:
    inputs = batch(5)
    session = torch.zeros(5, dtype=torch.long)
    for name, future_matters in (("contextual", False), ("contextual_bidirectional", True)):
        net = fusion(name)
        whole = net(inputs, session).fused
        past, future = net(rows_of(inputs, slice(0, 3)), session[:3]).fused, net(rows_of(inputs, slice(2, 5))).fused
        assert torch.allclose(whole[:3], past, atol=1e-6) != future_matters
        assert not torch.allclose(whole[2:], future, atol=1e-6)


def test_windows_of_a_session_that_are_apart_are_refused() -> None:
    with pytest.raises(ValueError, match="side by side"):
        fusion("contextual")(batch(3), torch.tensor([0, 1, 0]))


def test_penalties_are_taken_over_the_rows_that_have_the_modalities() -> None:
    net = fusion("shared_private")
    full = net(batch(6)).penalties
    inputs = batch(12)
    first = {name: ModalitySteps(e.steps, e.mask.clone()) for name, e in batch(6).items()}
    padded = {
        name: ModalitySteps(
            torch.cat([first[name].steps, inputs[name].steps[6:]]),
            torch.cat([first[name].mask, torch.zeros_like(inputs[name].mask[6:])]),
        )
        for name in WIDTHS
    }
    for key, value in net(padded).penalties.items():
        torch.testing.assert_close(value, full[key])
    nothing = net(batch(4, present=())).penalties
    assert [value.item() for value in nothing.values()] == [0, 0, 0]


def test_distributions_that_are_the_same_are_not_apart_and_columns_of_one_sample_belong_together() -> None:
    one, other = torch.rand(50, 4), torch.rand(50, 4) * 0.2
    assert moment_discrepancy(one, one.flip(0)) < 1e-4 < moment_discrepancy(one, other)
    assert cross_correlation(one, one) > cross_correlation(one, torch.rand(50, 4))
    assert moment_discrepancy(one[:1], other[:1]) == cross_correlation(one[:0], other[:0]) == 0


def test_attention_to_nothing_is_zeros_and_a_softmax_over_nothing_too() -> None:
    attention = Attention(8, 0.0)
    mask = torch.tensor([[True, False], [False, False]])
    answer = attention(torch.randn(2, 3, 8), torch.randn(2, 2, 8), mask)
    assert (answer[1] == 0).all()
    assert answer[0].abs().min() > 0
    assert masked_softmax(torch.zeros(2, 2), mask).tolist() == [[1, 0], [0, 0]]


ADDS_UP = {"gated", "decision_mean", "decision_weights", "product_of_experts"}
"""Strategies that weigh what modalities say, so that what none says alone is beyond them."""


def xor_rows(rows: int, seed: int) -> tuple[dict[str, ModalitySteps], Tensor]:
    """Label by whether two modalities' signs agree; each alone says nothing."""
    made = torch.Generator().manual_seed(seed)
    signs = torch.randint(2, (rows, 2), generator=made) * 2.0 - 1
    noise = torch.randn(rows, 2, 3, generator=made) * 0.3
    inputs = {name: ModalitySteps.vectors(signs[:, [i]] + noise[:, i]) for i, name in enumerate(("video", "audio"))}
    return inputs, (signs.prod(dim=1) > 0).long()


@pytest.mark.parametrize("name", sorted(set(STRATEGIES) - ADDS_UP))
def test_what_only_modalities_together_say_is_learned(name: str) -> None:
    net = fusion(name, FusionConfig({"video": 3, "audio": 3}, {"same": 2}, hidden=8, dropout=0.0)).train()
    assert isinstance(net, BranchedFusion)
    optimiser = torch.optim.AdamW(net.parameters(), lr=0.01)
    inputs, labels = xor_rows(256, 0)
    for _ in range(80):
        output = net(inputs)
        loss = functional.cross_entropy(output.logits["same"], labels)
        for answers in output.unimodal.values():
            loss = loss + 0.1 * functional.cross_entropy(answers["same"], labels)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
    inputs, labels = xor_rows(256, 1)
    output = net.eval()(inputs)
    alone = [float((answers["same"].argmax(dim=1) == labels).float().mean()) for answers in output.unimodal.values()]
    assert (output.logits["same"].argmax(dim=1) == labels).float().mean() > max(*alone, 0.9)
