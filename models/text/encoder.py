"""The text modality's encoder: one chat line to ten logits, a window's lines to one answer.

The rule of pooling: a window's mood is the mean of its lines; its risk is that of its worst line, because one cry for
help among ten jokes counts. The worst is taken softly (a Boltzmann mean), so that two alarming lines weigh as one and a
window never scores above its worst line.

Left out: authors. Lines of all who write in a session are one stream.
"""

from collections.abc import Sequence

import torch

from models.encoding import Encoded, Pooled
from models.labels import EMOTIONS, RISKS
from models.text.network import TextNetwork
from models.text.tokens import Tokenizer

_SHARPNESS = 2.0  # per logit: a line 2 logits above another counts 55 times as much
_LINES_PER_CALL = 64  # bounds the memory of one call; the CPU's caches are full by then


class TextEncoder:
    """Encodes lines and pools windows (`models.encoding.Encoder`).

    `prepare` is shared by the decode threads; `encode` and `pool` belong to the device thread; no lock.
    """

    width = len(EMOTIONS) + len(RISKS)

    def __init__(self, network: TextNetwork, tokenizer: Tokenizer, device: torch.device | None = None) -> None:
        self._device = device or torch.device("cpu")
        self._network = network.to(self._device).eval()
        self._tokenizer = tokenizer

    def prepare(self, text: str) -> list[int]:
        """Token ids of one line; any text at all, cut at the tokenizer's budget."""
        return self._tokenizer.ids(text)

    @torch.inference_mode()
    def encode(self, prepared: Sequence[list[int]]) -> Encoded:
        """Token ids of at least one line to embeddings (lines, 10): emotion logits, then risk logits; weight 1."""
        calls = [prepared[i : i + _LINES_PER_CALL] for i in range(0, len(prepared), _LINES_PER_CALL)]
        logits = torch.cat([torch.cat(self._network(lines), dim=1) for lines in calls]).cpu()
        return Encoded(logits, torch.ones(len(logits)))

    def pool(self, embedding: torch.Tensor, weight: torch.Tensor) -> Pooled:
        """embedding: (windows, lines, 10); weight: (windows, lines). Emotion: weighted mean; risk: soft maximum."""
        emotion, risk = embedding[..., : len(EMOTIONS)], embedding[..., len(EMOTIONS) :]
        total = weight.sum(dim=1, keepdim=True).clamp_min(torch.finfo(weight.dtype).tiny)
        mean = torch.einsum("wlk,wl->wk", emotion, weight / total)
        absent = torch.finfo(weight.dtype).min / 2
        score = _SHARPNESS * risk + weight.log().clamp_min(absent)[..., None]
        worst = (score.softmax(dim=1) * risk).sum(dim=1)
        return Pooled(mean.to(self._device), worst.to(self._device))
