"""The text encoder batches without mixing rows, and pools a window's mood by mean and its risk by its worst line."""

from dataclasses import replace

import pytest
import torch

from models.encoder import Encoder
from models.evaluation.notes import unread_lines
from models.text.encoder import ChatLine, TextEncoder
from tests.models.unigram import untrained_reader

pytestmark = pytest.mark.unit

READER = untrained_reader()


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return TextEncoder(READER)


@torch.no_grad()
def read_alone(text: str) -> torch.Tensor:
    return torch.cat(READER.network([READER.tokenizer.ids(text)]), dim=1)


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


CRY, ORDINARY = "I want to die.", ("The bus was late again.", "I had pasta for lunch.")


@pytest.mark.parametrize("place", [0, 1, 2], ids=["first", "in the middle", "last"])
def test_the_risk_of_a_line_is_that_of_its_worst_sentence(encoder: TextEncoder, place: int) -> None:
    line = [*ORDINARY]
    line.insert(place, CRY)
    whole = " ".join(line)
    readings = torch.cat([read_alone(text) for text in (whole, *line)])[:, 7:]
    worst = (readings * (2 * readings).softmax(dim=0)).sum(dim=0)
    risk = encoder.encode([encoder.prepare(whole)]).embedding[0, 7:]
    torch.testing.assert_close(risk, worst, atol=1e-4, rtol=0)
    assert (risk > readings.mean(dim=0)).all()


def test_the_mood_of_a_line_is_that_of_the_whole(encoder: TextEncoder) -> None:
    line = " ".join([CRY, *ORDINARY])
    prepared = encoder.prepare(line)
    assert len(prepared.sentences) == 3
    whole = replace(prepared, sentences=())
    both = encoder.encode([prepared, whole]).embedding
    torch.testing.assert_close(both[0, :7], both[1, :7])


def test_the_mood_of_a_long_line_is_the_mean_of_its_stretches(encoder: TextEncoder) -> None:
    prepared = encoder.prepare("so many words and then so many more " * 60)
    stretches = [replace(prepared, whole=(each,), sentences=(), lengths=(1,)) for each in prepared.whole]
    assert len(stretches) > 1
    read = encoder.encode([prepared, *stretches]).embedding[:, :7]
    lengths = torch.tensor(prepared.lengths, dtype=torch.float32)
    torch.testing.assert_close(read[0], (lengths[:, None] * read[1:]).sum(dim=0) / lengths.sum(), atol=1e-4, rtol=0)


def test_quality_says_how_much_of_a_line_was_read(encoder: TextEncoder) -> None:
    assert encoder.quality([encoder.prepare("a short line")]) == {"characters": 12.0, "read": 1.0}
    long = encoder.quality([encoder.prepare("word " * 20_000)])
    assert long["characters"] == 100_000
    assert 0.01 < long["read"] < 0.5


def test_an_evaluation_says_which_lines_were_not_read_to_their_end(encoder: TextEncoder) -> None:
    short, long = ChatLine("a post of some sentences. " * 30), ChatLine("word " * 20_000)
    assert unread_lines(encoder, [short]) == []
    (note,) = unread_lines(encoder, [short, long])
    assert note.startswith("1 lines are longer than is read")


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
