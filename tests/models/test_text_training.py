"""Joint training teaches a corpus's own heads only and draws the same rows for the same epoch."""

import numpy as np
import pytest
import torch

from models.data.corpora.text import TextSample
from models.training.text.augment import augment, crop_span, drop_tokens
from models.training.text.batches import PROJECT_LINES, Rows, TextBatch, TextMix, log_prior, rows_of
from models.training.text.loss import emotion_loss, joint_loss, pair_loss, risk_loss
from tests.models.unigram import TOKENIZER, untrained

pytestmark = pytest.mark.unit

HAPPY = (0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0)
ANGRY = (0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def corpora() -> dict[str, Rows]:
    tokenizer = TOKENIZER
    moods = [TextSample(str(i), "en", f"mood {i}", str(i), HAPPY if i % 2 else ANGRY) for i in range(200)]
    risks = [TextSample(str(i), "en", f"post {i}", str(i), None, (None, None, float(i % 2))) for i in range(200)]
    return {"goemotions": rows_of("goemotions", moods, tokenizer), "cold": rows_of("cold", risks, tokenizer)}


def test_calm_lines_are_weak_negatives_and_angry_ones_are_not_for_abuse(corpora: dict[str, Rows]) -> None:
    angry, happy = corpora["goemotions"].weak[:2]
    np.testing.assert_array_equal(happy, [0, 0, 0])
    np.testing.assert_array_equal(angry, [np.nan, 0, np.nan])
    assert np.isnan(corpora["cold"].weak).all()


def test_the_same_epoch_gives_the_same_batches_and_the_next_gives_others(corpora: dict[str, Rows]) -> None:
    mix = TextMix(corpora, {"goemotions": 150, "cold": 150})
    first, again, later = (next(iter(mix.batches(epoch))) for epoch in (3, 3, 4))
    assert first.sentences == again.sentences
    assert first.sentences != later.sentences


def test_a_corpus_teaches_only_the_heads_it_labels(corpora: dict[str, Rows]) -> None:
    (batch,) = TextMix(corpora, {"cold": 128}).batches(0)
    assert emotion_loss(torch.ones(128, 7), batch).item() == 0
    assert (batch.risk_weight[:, :2] == 0).all()
    assert (batch.risk_weight[:, 2] == 1).all()


def test_a_label_that_a_corpus_does_not_use_gets_no_gradient() -> None:
    emotion = np.array([HAPPY, ANGRY], dtype=np.float32)
    prior = torch.from_numpy(log_prior(emotion)).expand(2, 7)
    logits = torch.zeros(2, 7, requires_grad=True)
    nothing = torch.zeros(2, 3)
    batch = TextBatch([], torch.zeros(2), torch.from_numpy(emotion), prior, nothing, nothing, torch.full((2,), -1))
    emotion_loss(logits, batch).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad[:, [0, 2, 3, 5, 6]].abs().max() == 0
    assert logits.grad[:, [1, 4]].abs().min() > 0


def test_masked_risks_cost_nothing() -> None:
    third = torch.tensor([[0.0, 0.0, 1.0]])
    batch = TextBatch(
        [], torch.zeros(1), torch.zeros(1, 7), torch.zeros(1, 7), torch.zeros(1, 3), third, torch.full((1,), -1)
    )
    assert risk_loss(torch.tensor([[50.0, 50.0, -50.0]]), batch).item() == pytest.approx(0.0, abs=1e-6)


def paired(risk: list[list[float]], pair: list[int]) -> TextBatch:
    rows = len(pair)
    nothing = torch.zeros(rows, 7)
    return TextBatch(
        [], torch.zeros(rows), nothing, nothing, torch.tensor(risk), torch.ones(rows, 3), torch.tensor(pair)
    )


def test_the_worse_line_of_a_pair_is_taught_to_be_above_the_other_and_lines_apart_are_not() -> None:
    crisis, calm = [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]
    wrong, right = torch.tensor([[-3.0] * 3, [3.0] * 3]), torch.tensor([[3.0] * 3, [-3.0] * 3])
    together = paired([crisis, calm], [7, 7])
    assert pair_loss(wrong, together) > 5
    assert pair_loss(right, together) < 0.1
    for apart in (paired([crisis, calm], [7, 8]), paired([crisis, calm], [-1, -1]), paired([calm, calm], [7, 7])):
        assert pair_loss(wrong, apart).item() == 0


def test_lines_of_a_pair_are_drawn_into_one_batch() -> None:
    lines = [
        TextSample(str(i), "en", f"line {i}", f"pair {i // 2}", HAPPY, (0.0, 0.0, float(i % 2))) for i in range(100)
    ]
    rows = {PROJECT_LINES: rows_of(PROJECT_LINES, lines, TOKENIZER)}
    for batch in TextMix(rows, {PROJECT_LINES: 96}, batch_rows=32).batches(0):
        assert set(np.bincount(batch.pair.numpy()).tolist()) == {0, 2}


def test_a_corpus_of_other_habits_moves_its_own_terms_and_no_others(corpora: dict[str, Rows]) -> None:
    torch.manual_seed(0)
    network = untrained(["cold", "goemotions"])
    lines = corpora["goemotions"].ids[:8]
    with torch.no_grad():
        before = {name: torch.cat(network(lines, name), dim=1) for name in (None, *corpora)}
    torch.testing.assert_close(before["cold"], before[None])
    (batch,) = TextMix(corpora, {"cold": 128}).batches(0)
    joint_loss(network, batch).backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        network.terms.weight -= 0.01 * network.terms.weight.grad  # type: ignore[operator]
        after = {name: torch.cat(network(lines, name), dim=1) for name in (None, *corpora)}
    torch.testing.assert_close(after[None], before[None])
    torch.testing.assert_close(after["goemotions"], before["goemotions"])
    assert (after["cold"] - before["cold"]).abs().max() > 0


def test_augmentation_keeps_the_marks_and_some_token() -> None:
    rng = np.random.default_rng(0)
    line = [1, *range(10, 60), 2]
    for ids in (drop_tokens(line, 0.99, rng), crop_span(line, rng), drop_tokens([1, 7, 2], 0.999, rng)):
        assert (ids[0], ids[-1]) == (1, 2)
        assert len(ids) >= 3
    assert drop_tokens([1, 2], 0.5, rng) == [1, 2]


def test_context_stays_whole_behind_the_line_or_is_left_out() -> None:
    rng = np.random.default_rng(0)
    seen = [augment([1, 10, 11, 2], [20, 21, 2], rng) for _ in range(50)]
    assert all(ids[-3:] == [20, 21, 2] or 20 not in ids for ids in seen)
    assert 20 <= sum(20 in ids for ids in seen) < 50


def test_short_lines_are_never_cropped() -> None:
    rng = np.random.default_rng(0)
    line = [1, *range(10, 70), 2]
    assert min(len(augment(line, [], rng)) for _ in range(50)) > 40
