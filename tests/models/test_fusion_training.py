"""Training a way of fusing: what each option does to the loss and its gradients, and what comes of it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.data.fusion.rows import FusionRows
from models.fusion.strategies.branches import BranchedFusion
from models.fusion.strategies.interface import FusionConfig, FusionOutput, FusionStrategy, ModalitySteps
from models.fusion.strategies.missing import Imputation
from models.fusion.strategies.registry import STRATEGIES, build_strategy
from models.training.fusion.adversaries import ImputationAdversary, ModalityAdversary, reversed_gradient
from models.training.fusion.batches import batches, whole_batch
from models.training.fusion.contrast import ContrastLoss, info_nce
from models.training.fusion.loss import FusionLoss, task_loss
from models.training.fusion.modality_dropout import surviving
from models.training.fusion.modulation import GradientModulation
from models.training.fusion.train import FusionTraining, train_fusion
from models.training.fusion.validation import concordance, mean_recall, score
from models.training.loop.fit import Metrics

pytestmark = pytest.mark.unit

WIDTHS = {"video": 4, "audio": 3, "text": 5}
CONFIG = FusionConfig(WIDTHS, {"emotion": 3}, hidden=8, dropout=0.1)
SHORT = FusionTraining(epochs=2, batch_rows=32, learning_rate=0.01)


def rows(count: int, seed: int, strength: Mapping[str, float], noise: float = 1.0, labels: int = 3) -> FusionRows:
    """Each modality points to the label along its own axes, as strongly as said; groups of six rows."""
    rng = np.random.default_rng(seed)
    label = rng.integers(labels, size=count)
    inputs = {}
    for i, (name, factor) in enumerate(strength.items()):
        direction = np.random.default_rng(100 + i).normal(size=(labels, WIDTHS[name]))
        steps = factor * direction[label][:, None] + noise * rng.normal(size=(count, 2, WIDTHS[name]))
        mask = rng.random((count, 2)) > 0.2
        mask[:, 0] = True
        inputs[name] = (steps.astype(np.float32), mask)
    names = (np.arange(count) // 6).astype(str)
    return FusionRows(inputs, {"emotion": label}, names, np.arange(count).astype(str))


EVEN = {"video": 1.0, "audio": 1.0, "text": 1.0}


def without(made: FusionRows, modality: str) -> FusionRows:
    steps, mask = made.inputs[modality]
    return replace(made, inputs={**made.inputs, modality: (steps, np.zeros_like(mask))})


def accuracy(net: FusionStrategy, made: FusionRows) -> float:
    inputs = {name: ModalitySteps(*(torch.from_numpy(part) for part in each)) for name, each in made.inputs.items()}
    with torch.no_grad():
        found = net(inputs, torch.from_numpy(made.session)).logits["emotion"].argmax(dim=1)
    return float((found.numpy() == made.targets["emotion"]).mean())


def same_weights(first: nn.Module, second: nn.Module) -> bool:
    return all(
        torch.equal(one, other)
        for one, other in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_learns_and_together_modalities_say_more(strategy: str) -> None:
    train, test = rows(240, 0, EVEN), rows(240, 1, EVEN)
    net = train_fusion(strategy, CONFIG, train, None, replace(SHORT, epochs=8, alone=0.3), seed=0)
    assert not net.training
    inputs = {name: ModalitySteps(*(torch.from_numpy(part) for part in each)) for name, each in test.inputs.items()}
    label = torch.from_numpy(test.targets["emotion"])
    with torch.no_grad():
        output = net(inputs, torch.from_numpy(test.session))
    alone = [(answers["emotion"].argmax(dim=1) == label).double().mean() for answers in output.unimodal.values()]
    assert accuracy(net, test) > max(float(max(alone)), 0.7)


EVERYTHING = replace(
    SHORT,
    alone=0.3,
    task_weights="learned",
    class_power=0.5,
    modality_dropout=0.3,
    modulation=0.5,
    modulation_noise=True,
    alignment=0.1,
    generator=0.5,
    contrast_epochs=1,
)


@pytest.mark.parametrize("strategy", ["concatenation", "shared_private", "contextual", "cross_modal"])
def test_the_same_seed_gives_the_same_weights_with_everything_turned_on(strategy: str) -> None:
    train, config = rows(60, 0, EVEN), replace(CONFIG, missing="generated")
    first, second, other = (train_fusion(strategy, config, train, train, EVERYTHING, seed) for seed in (0, 0, 1))
    assert same_weights(first, second)
    assert not same_weights(first, other)


class Killed(Exception):
    pass


@pytest.mark.parametrize("killed_after", [1, 2, 4])
def test_a_run_that_was_killed_goes_on_to_the_same_weights(tmp_path: Path, killed_after: int) -> None:
    train, config = rows(60, 0, EVEN), replace(CONFIG, missing="generated")
    training = replace(EVERYTHING, epochs=3, contrast_epochs=2)
    whole = train_fusion("gated", config, train, train, training, 0)
    kept, told = replace(training, checkpoints=tmp_path), []

    def kill(epoch: int, metrics: Metrics) -> None:
        told.append(epoch)
        if len(told) == killed_after:
            raise Killed

    with pytest.raises(Killed):
        train_fusion("gated", config, train, train, kept, 0, kill)
    assert same_weights(whole, train_fusion("gated", config, train, train, kept, 0, kill))
    assert told == [0, 1, 0, 1, 2]


def test_a_checkpoint_is_not_taken_for_that_of_other_settings_or_rows(tmp_path: Path) -> None:
    made, training = rows(60, 0, EVEN), replace(SHORT, epochs=1, checkpoints=tmp_path)
    train_fusion("gated", CONFIG, made, None, training, 0)
    changed = rows(60, 1, EVEN)
    for other, found in (
        (replace(training, alone=0.1), made),
        (replace(training, learning_rate=0.02), made),
        (training, changed),
    ):
        fresh = train_fusion("gated", CONFIG, found, None, replace(other, checkpoints=None), 0)
        assert same_weights(fresh, train_fusion("gated", CONFIG, found, None, other, 0))
    assert len(list(tmp_path.iterdir())) == 4


def test_rows_without_a_label_of_a_task_still_serve_the_others() -> None:
    made = rows(240, 0, EVEN)
    rng = np.random.default_rng(0)
    affect = (made.inputs["video"][0][:, :1, :2].mean(axis=1)).astype(np.float32)
    affect[rng.random(240) < 0.5] = np.nan
    emotion = np.where(rng.random(240) < 0.5, -1, made.targets["emotion"])
    made = replace(made, targets={"emotion": emotion, "affect": affect})
    config = replace(CONFIG, outputs={"emotion": 3, "affect": 2}, dropout=0.0)
    for strategy in ("concatenation", "product_of_experts"):
        training = replace(SHORT, epochs=12, task_weights="learned")
        net = train_fusion(strategy, config, made, None, training, 0)
        figures = score(net, [whole_batch(made, WIDTHS, config.outputs, "cpu")])
        assert figures["emotion"] > 0.8
        assert figures["affect"] > 0.5


def test_a_batch_in_which_nothing_is_known_costs_nothing() -> None:
    answers = torch.randn(3, 2, requires_grad=True)
    for target in (torch.full((3,), -1), torch.full((3, 2), torch.nan)):
        loss = task_loss(answers, target)
        (gradient,) = torch.autograd.grad(loss, answers)
        assert loss == 0
        assert (gradient == 0).all()
    known = torch.tensor([2.0, torch.nan])[None].repeat(3, 1)
    torch.testing.assert_close(task_loss(answers, known), (answers[:, 0] - 2).square().mean())
    labels = torch.tensor([1, -1, 0])
    torch.testing.assert_close(
        task_loss(answers, labels, rows=torch.tensor([True, True, False])),
        functional.cross_entropy(answers[:1], labels[:1]),
    )


def test_class_weights_help_the_rare_label() -> None:
    made = rows(600, 0, dict.fromkeys(WIDTHS, 0.3))
    rare = np.flatnonzero((made.targets["emotion"] != 2) | (np.arange(600) % 8 == 0))
    train, test = made.rows(rare), rows(300, 1, dict.fromkeys(WIDTHS, 0.3))
    recall = []
    for power in (0.0, 1.0):
        net = train_fusion("concatenation", CONFIG, train, None, replace(SHORT, epochs=6, class_power=power), 0)
        recall.append(accuracy(net, test.rows(test.targets["emotion"] == 2)))
    assert recall[1] > recall[0] + 0.1


def test_modality_dropout_spares_the_last_modality_and_drops_the_share_asked_for() -> None:
    torch.manual_seed(0)
    present = torch.rand(4000, 3) > 0.4
    kept = surviving(present, 0.5)
    assert not (kept & ~present).any()
    assert (kept.any(dim=1) == present.any(dim=1)).all()
    assert (surviving(present, 0.0) == present).all()
    full = surviving(torch.ones(4000, 3, dtype=torch.bool), 0.2)
    assert full.float().mean().item() == pytest.approx(0.8 + 0.2**3 / 3, abs=0.02)


def test_modality_dropout_makes_the_answer_without_a_modality_better() -> None:
    strength = {"video": 4.0, "audio": 0.6, "text": 0.6}
    train, test = rows(300, 0, strength), without(rows(400, 1, strength), "video")
    found = [
        accuracy(
            train_fusion("cross_modal", CONFIG, train, None, replace(SHORT, epochs=8, modality_dropout=share), 0), test
        )
        for share in (0.0, 0.5)
    ]
    assert found[1] > found[0] + 0.05


def gradients(net: BranchedFusion, loss: Tensor) -> dict[str, Tensor]:
    net.zero_grad()
    torch.autograd.backward(loss, retain_graph=True)
    return {
        name: torch.cat([parameter.grad.flatten() for parameter in branch.parameters() if parameter.grad is not None])
        for name, branch in net.branches.items()
    }


@pytest.mark.parametrize("noise", [False, True])
def test_modulation_slows_the_modality_that_is_ahead_and_no_other(noise: bool) -> None:
    torch.manual_seed(0)
    net = build_strategy("concatenation", replace(CONFIG, dropout=0.0))
    assert isinstance(net, BranchedFusion)
    label = torch.tensor([0, 1, 2, 0])
    inputs = {name: ModalitySteps.vectors(torch.randn(4, width)) for name, width in WIDTHS.items()}
    alone = {name: {"emotion": torch.zeros(4, 3)} for name in WIDTHS}
    alone["audio"] = {"emotion": 3.0 * functional.one_hot(label, 3)}
    modulation = GradientModulation(0.5, noise)
    modulation.measure(alone, {"emotion": label}, torch.ones(4, 3, dtype=torch.bool))
    assert {name for name, factor in modulation.factor.items() if factor < 1} == {"audio"}

    loss = functional.cross_entropy(net(inputs).logits["emotion"], label)
    plain = gradients(net, loss)
    with modulation.applied_to(net):
        changed = gradients(net, loss)
    for name in WIDTHS:
        if name != "audio":
            assert torch.equal(plain[name], changed[name])
    if noise:
        assert not torch.allclose(changed["audio"], plain["audio"] * modulation.factor["audio"])
    else:
        torch.testing.assert_close(changed["audio"], plain["audio"] * modulation.factor["audio"])
    assert all(torch.equal(plain[name], after) for name, after in gradients(net, loss).items())


def test_modulation_scores_only_rows_that_have_the_modality_and_a_label() -> None:
    label, right = torch.tensor([0, 1, -1]), torch.tensor([[9.0, 0, 0], [0, 9.0, 0], [9.0, 0, 0]])
    alone = {"video": {"emotion": right}, "audio": {"emotion": -right}, "text": {"emotion": 0 * right}}
    present = torch.tensor([[True, True, False], [True, False, False], [True, True, True]])
    modulation = GradientModulation(1.0)
    modulation.measure(alone, {"emotion": label}, present)
    assert set(modulation.factor) == {"video", "audio"}
    assert modulation.factor["video"] < 0.01
    assert modulation.factor["audio"] == 1
    modulation.measure(alone, {"emotion": torch.full((3,), -1)}, present)
    assert modulation.factor == {}


def test_gradient_reversal_passes_values_and_turns_gradients_round() -> None:
    values = torch.randn(3, requires_grad=True)
    passed = reversed_gradient(values)
    assert torch.equal(passed, values)
    (gradient,) = torch.autograd.grad((passed * torch.tensor([1.0, 2.0, 3.0])).sum(), values)
    assert gradient.tolist() == [-1.0, -2.0, -3.0]


def test_aligned_summaries_give_less_of_their_modality_away() -> None:
    guessed = []
    for adversarial in (False, True):
        torch.manual_seed(0)
        maps = nn.ModuleDict({name: nn.Linear(8, 8) for name in ("video", "audio")})
        adversary, judge = ModalityAdversary(2, 8), ModalityAdversary(2, 8)
        slow = torch.optim.SGD(maps.parameters(), lr=0.05)
        fast = torch.optim.SGD([*adversary.parameters(), *judge.parameters()], lr=0.3)
        present = torch.ones(128, 2, dtype=torch.bool)
        for _ in range(300):
            summaries = {name: layer(torch.randn(128, 8)) for name, layer in maps.items()}
            loss = judge({name: summary.detach() for name, summary in summaries.items()}, present)
            if adversarial:
                loss = loss + adversary(summaries, present)
            slow.zero_grad()
            fast.zero_grad()
            torch.autograd.backward(loss)
            slow.step()
            fast.step()
        with torch.no_grad():
            guessed.append(
                judge({name: layer(torch.randn(512, 8)) for name, layer in maps.items()}, torch.ones(512, 2) > 0)
            )
    assert guessed[1] > 2 * guessed[0]


def test_a_generator_imputes_better_than_zeros_and_better_than_the_mean() -> None:
    torch.manual_seed(0)
    stand_ins = Imputation(replace(CONFIG, missing="generated"))
    adversary = ImputationAdversary(tuple(WIDTHS), CONFIG.hidden)
    mixing = torch.randn(3, 4, CONFIG.hidden)

    def correlated(count: int) -> dict[str, Tensor]:
        cause = torch.randn(count, 4)
        return {name: functional.layer_norm(cause @ mixing[i], (CONFIG.hidden,)) for i, name in enumerate(WIDTHS)}

    optimiser = torch.optim.Adam([*stand_ins.parameters(), *adversary.parameters()], lr=0.005)
    present = torch.ones(128, 3, dtype=torch.bool)
    for _ in range(200):
        optimiser.zero_grad()
        torch.autograd.backward(adversary(stand_ins, correlated(128), present))
        optimiser.step()
    truth = correlated(256)
    absent = torch.tensor([True, False, True]).expand(256, 3)
    with torch.no_grad():
        filled, _ = stand_ins(truth | {"audio": torch.zeros(256, CONFIG.hidden)}, absent)
    error = functional.mse_loss(filled["audio"], truth["audio"])
    assert error < 0.5 * truth["audio"].square().mean()
    assert error < 0.5 * truth["audio"].var(dim=0).mean()
    assert torch.equal(filled["video"], truth["video"])


def test_imputation_trains_generators_and_leaves_the_branches_alone() -> None:
    stand_ins = Imputation(replace(CONFIG, missing="generated"))
    adversary = ImputationAdversary(tuple(WIDTHS), CONFIG.hidden)
    summaries = {name: torch.randn(4, CONFIG.hidden, requires_grad=True) for name in WIDTHS}
    torch.autograd.backward(adversary(stand_ins, summaries, torch.ones(4, 3, dtype=torch.bool)))
    assert all(summary.grad is None for summary in summaries.values())
    assert all(parameter.grad is not None for parameter in [*stand_ins.parameters(), *adversary.parameters()])
    assert adversary(stand_ins, summaries, torch.zeros(4, 3, dtype=torch.bool)) == 0


def test_contrast_is_least_where_rows_of_two_modalities_agree() -> None:
    torch.manual_seed(0)
    one = functional.normalize(torch.randn(16, 8), dim=1)
    assert info_nce(one, one) < 0.2 < info_nce(one, one.flip(0))
    made = whole_batch(rows(12, 0, EVEN), WIDTHS, {"emotion": 3}, "cpu")
    net = build_strategy("concatenation", CONFIG)
    contrast = ContrastLoss(tuple(WIDTHS), CONFIG.hidden)
    assert contrast(net, made) > 0
    only_video = made.kept(torch.tensor([True, False, False]).expand(12, 3))
    assert contrast(net, only_video) == 0


def test_contrastive_training_brings_a_windows_modalities_together() -> None:
    train = rows(120, 0, EVEN, noise=0.2)
    seen: list[Metrics] = []
    training = replace(SHORT, epochs=1, contrast_epochs=6)
    train_fusion("gated", CONFIG, train, None, training, 0, lambda _, metrics: seen.append(metrics))
    assert seen[5]["score"] > seen[0]["score"]


class Pinned(FusionStrategy):
    """Answers what it was given; for looking at what the loss adds."""

    def __init__(self, output: FusionOutput) -> None:
        super().__init__(CONFIG)
        self.output = output

    def forward(self, inputs: Mapping[str, ModalitySteps], session: Tensor | None = None) -> FusionOutput:
        return self.output


def test_own_answers_count_where_the_modality_is_there_and_penalties_by_their_weight() -> None:
    made = whole_batch(rows(6, 0, EVEN), WIDTHS, {"emotion": 3}, "cpu")
    net = build_strategy("concatenation", CONFIG).eval()
    assert isinstance(net, BranchedFusion)
    output = replace(net(made.inputs), penalties={"one": torch.tensor(2.0), "other": torch.tensor(1.0)})
    label = made.targets["emotion"]
    present = torch.tensor([True, False, True]).expand(6, 3)
    loss = FusionLoss(net, replace(SHORT, alone=0.6, penalty=0.5), made)(Pinned(output), made.kept(present))
    wanted = functional.cross_entropy(output.logits["emotion"], label) + 1.5
    for name in ("video", "text"):
        wanted = wanted + 0.2 * functional.cross_entropy(output.unimodal[name]["emotion"], label)
    torch.testing.assert_close(loss, wanted)


@pytest.mark.parametrize("whole_sessions", [False, True])
def test_batches_hold_every_row_once_and_sessions_whole_where_asked(whole_sessions: bool) -> None:
    made = whole_batch(rows(62, 0, EVEN), WIDTHS, {"emotion": 3}, "cpu")
    steps = made.inputs["video"].steps[:, 0, 0]
    drawn = list(batches(made, 16, whole_sessions, np.random.default_rng(0)))
    assert sorted(torch.cat([b.inputs["video"].steps[:, 0, 0] for b in drawn]).tolist()) == sorted(steps.tolist())
    assert len(drawn) <= 4
    if whole_sessions:
        sessions = [set(batch.session.tolist()) for batch in drawn]
        assert sum(map(len, sessions)) == len(set.union(*sessions)) == 11
    in_order = torch.cat([batch.session for batch in batches(made, 16, whole_sessions)])
    assert torch.equal(in_order, made.session)


def test_scores_are_one_for_what_is_right_and_chance_for_what_is_guessed() -> None:
    target = torch.tensor([0, 0, 0, 1, -1])
    assert mean_recall(functional.one_hot(target.clamp(min=0), 2).float(), target) == 1
    assert mean_recall(torch.tensor([[1.0, 0.0]]).repeat(5, 1), target) == 0.5
    assert mean_recall(torch.zeros(1, 2), torch.tensor([-1])) is None
    truth = torch.tensor([[0.0], [1.0], [2.0], [torch.nan]])
    assert concordance(torch.tensor([[0.0], [1.0], [2.0], [9.0]]), truth) == pytest.approx(1)
    assert concordance(torch.ones(4, 1), truth) == 0
    assert concordance(torch.tensor([[1.0], [2.0], [3.0], [9.0]]), truth) == pytest.approx(4 / 7)
    assert concordance(truth[:1], truth[:1]) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"modality_dropout": 1.0}, "modality_dropout"),
        ({"alone": -0.1}, "alone must be at least 0"),
        ({"batch_rows": 0}, "batch_rows"),
        ({"modulation": 0.5}, "needs a weight of alone"),
    ],
)
def test_an_option_that_cannot_be_is_named(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SHORT, **change)  # type: ignore[arg-type]


def test_what_does_not_fit_together_is_named() -> None:
    made = rows(12, 0, EVEN)
    with pytest.raises(ValueError, match="not generated"):
        train_fusion("gated", CONFIG, made, None, replace(SHORT, generator=1.0), 0)
    with pytest.raises(ValueError, match="text of width 5, not 6"):
        train_fusion("gated", replace(CONFIG, widths={"text": 6}), made, None, SHORT, 0)
    with pytest.raises(ValueError, match="touch of width None"):
        train_fusion("gated", replace(CONFIG, widths={"touch": 6}), made, None, SHORT, 0)
    with pytest.raises(ValueError, match="targets for emotion"):
        train_fusion("gated", replace(CONFIG, outputs={"emotion": 3, "risk": 2}), made, None, SHORT, 0)
    with pytest.raises(ValueError, match="no row"):
        train_fusion("gated", CONFIG, made.rows(np.zeros(12, bool)), None, SHORT, 0)
