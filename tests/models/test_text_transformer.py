"""The transformer is the textbook's, without padding; a line's vector is of its own tokens, seen in their context."""

import pytest
import torch
from torch import nn

from models.text.transformer import Transformer, TransformerSize

pytestmark = pytest.mark.unit

SIZE = TransformerSize(layers=2, hidden=32, heads=4, feed_forward=64, positions=40, norm_epsilon=1e-5)
END = 9
THEIRS = {
    "attend": "self_attn.in_proj_{}",
    "gather": "self_attn.out_proj.{}",
    "widen": "linear1.{}",
    "narrow": "linear2.{}",
    "attend_norm": "norm1.{}",
    "norm": "norm2.{}",
}
LINES = [[1, 5, END], [1, 2, 3, 4, 5, 6, 7, 8, END], [END], [3, END], [4, 4, 4, 4, 4, END]]


@pytest.fixture(scope="module")
def encoder() -> Transformer:
    torch.manual_seed(0)
    made = Transformer(torch.randn(10, 32), END, SIZE)
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.3)
    return made.requires_grad_(False).eval()


def textbook(encoder: Transformer, ids: list[int]) -> torch.Tensor:
    """One line through `torch.nn.TransformerEncoderLayer`; (tokens, hidden)."""
    x: torch.Tensor = encoder.norm(encoder.table[ids] + encoder.position[: len(ids)])
    for own in encoder.layers:
        named = ((*name.split("."), value) for name, value in own.state_dict().items())
        state = {THEIRS[part].format(kind): value for part, kind, value in named}
        layer = nn.TransformerEncoderLayer(32, 4, 64, 0.0, "gelu", layer_norm_eps=1e-5, batch_first=True)
        layer.load_state_dict(state)
        x = layer.train()(x[None])[0]
    return x.detach()


def test_a_batch_of_lines_gives_the_textbooks_vectors(encoder: Transformer) -> None:
    expected = torch.stack([textbook(encoder, line).mean(dim=0) for line in LINES])
    torch.testing.assert_close(encoder(LINES), expected, atol=1e-5, rtol=0)


def test_a_row_of_a_large_batch_equals_the_row_alone(encoder: Transformer) -> None:
    many = LINES * 9
    torch.testing.assert_close(encoder(many), torch.cat([encoder([line]) for line in many]), atol=1e-5, rtol=0)


def test_context_is_seen_but_not_averaged(encoder: Transformer) -> None:
    line, context = [1, 5, END], [7, 8, END]
    expected = textbook(encoder, line + context)[: len(line)].mean(dim=0)
    torch.testing.assert_close(encoder([line + context])[0], expected, atol=1e-5, rtol=0)
    assert not torch.allclose(encoder([line])[0], expected, atol=1e-3)


def test_every_weight_learns_and_the_word_table_is_not_saved() -> None:
    made = Transformer(torch.randn(10, 32), END, SIZE)
    made(LINES).square().sum().backward()
    assert all(parameter.grad is not None for parameter in made.parameters())
    assert "table" not in made.state_dict()


def test_a_batch_of_nothing_is_refused(encoder: Transformer) -> None:
    with pytest.raises(ValueError, match="at least one sentence"):
        encoder([])
