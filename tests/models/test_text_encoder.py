"""The text encoder batches without mixing rows, and pools a window's mood by mean and its risk by its worst line."""

import pytest
import torch

from models.encoder import Encoder
from models.text.encoder import TextEncoder
from models.text.network import TextNetwork
from models.text.sentence_encoder import SentenceEncoder
from models.text.tokens import Tokenizer

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    torch.manual_seed(0)
    return TextEncoder(TextNetwork(SentenceEncoder.load()), Tokenizer())


def lines(*risk: float) -> torch.Tensor:
    """One window, (1, lines, 10): emotion logits 0, 1, 2, ... by line, and a self-harm logit by line."""
    embedding = torch.zeros(1, len(risk), 10)
    embedding[0, :, :7] = torch.arange(len(risk))[:, None]
    embedding[0, :, 8] = torch.tensor(risk)
    return embedding


def test_it_is_an_encoder(encoder: TextEncoder) -> None:
    protocol: Encoder = encoder
    assert protocol.width == 10


def test_a_line_scores_the_same_alone_and_among_seventy(encoder: TextEncoder) -> None:
    prepared = [encoder.prepare(f"line {i} " + "and so on " * (i % 9)) for i in range(70)]
    together = encoder.encode(prepared)
    assert together.embedding.shape == (70, 10)
    assert together.weight.tolist() == [1.0] * 70
    for i in (0, 8, 69):
        torch.testing.assert_close(
            together.embedding[i : i + 1], encoder.encode([prepared[i]]).embedding, atol=1e-5, rtol=0
        )


def test_mood_is_the_weighted_mean_of_the_lines(encoder: TextEncoder) -> None:
    pooled = encoder.pool(lines(0.0, 0.0), torch.tensor([[1.0, 3.0]]))
    torch.testing.assert_close(pooled.emotion, torch.full((1, 7), 0.75))


def test_risk_is_that_of_the_worst_line(encoder: TextEncoder) -> None:
    pooled = encoder.pool(lines(-5.0, 4.0, *[-5.0] * 8), torch.ones(1, 10))
    assert pooled.risk is not None
    assert pooled.risk[0, 1] == pytest.approx(4.0, abs=1e-3)


def test_padding_does_not_change_a_window(encoder: TextEncoder) -> None:
    alone = encoder.pool(lines(1.0, -2.0), torch.ones(1, 2))
    padded = encoder.pool(lines(1.0, -2.0, 9.0), torch.tensor([[1.0, 1.0, 0.0]]))
    assert alone.risk is not None
    assert padded.risk is not None
    torch.testing.assert_close(alone.emotion, padded.emotion)
    torch.testing.assert_close(alone.risk, padded.risk)


def test_a_window_without_lines_is_finite(encoder: TextEncoder) -> None:
    pooled = encoder.pool(torch.zeros(1, 2, 10), torch.zeros(1, 2))
    assert pooled.risk is not None
    assert torch.isfinite(pooled.emotion).all()
    assert torch.isfinite(pooled.risk).all()
