"""The multilingual sentence encoder multilingual-e5-small, to start training from.

Wang et al., 2024. Its package carries twelve layers of 384 and 250002 pieces, in 4 bits a weight.

Only the pieces that are used much in the languages served are taken, and only the first six layers: a line has to cost
little. Left out: the package's own engine.
"""

import struct
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray

from models.text.packing import pack_table, unpack_table
from models.text.transformer import SIZE, Transformer
from models.text.unigram_pieces import MARKS, UnigramTokenizer
from models.trusted_files import E5

_MAGIC = b"E5S1"
_BLOCK_BYTES, _BLOCK = 18, 32  # a half-precision scale, then 32 weights in 4 bits
_FLOAT = 0  # the kind of a tensor that is not in 4 bits
_TENSORS = {
    "attend": ("q", "k", "v"),
    "gather": ("ao",),
    "attend_norm": ("aln",),
    "widen": ("fi",),
    "narrow": ("fo",),
    "norm": ("oln",),
}
"""Those of a layer, by our names."""

_SCRIPTS = ("LATIN", "CYRILLIC", "ARABIC", "CJK", "HIRAGANA", "KATAKANA", "HANGUL", "THAI", "FULLWIDTH")


@dataclass(frozen=True, slots=True)
class Pieces:
    """A unigram vocabulary: pieces by id, and the log probability of each."""

    texts: list[str]
    scores: NDArray[np.float32]


class E5File:
    """The package's file: vocabulary, and tensors by name."""

    def __init__(self, content: bytes) -> None:
        """Raises ValueError for a file of another layout."""
        if content[:4] != _MAGIC:
            raise ValueError("not a file of e5 weights")
        self._content, self._at = content, 8
        self.hidden, _, _, self.feed_forward, self.tokens, _, _ = self._read("7i")
        self._read("fi")
        self.pieces = self._pieces()
        _, length = self._read("iI")
        self._at += length  # how characters are normalised: the tokenizer does that by itself
        (count,) = self._read("i")
        self._tensors = dict(self._entry() for _ in range(count))

    def tensor(self, name: str) -> torch.Tensor:
        """(values,) float32. Raises KeyError."""
        kind, start, length = self._tensors[name]
        raw = self._content[start : start + length]
        if kind == _FLOAT:
            return torch.from_numpy(np.frombuffer(raw, "<f4").copy())
        return torch.from_numpy(_dequantised(raw).reshape(-1))

    def rows(self, ids: Sequence[int]) -> torch.Tensor:
        """Word vectors of some pieces: (ids, hidden) float32."""
        _, start, _ = self._tensors["emb.word"]
        width = self.hidden // _BLOCK * _BLOCK_BYTES
        table = np.frombuffer(self._content, np.uint8, self.tokens * width, start).reshape(self.tokens, width)
        return torch.from_numpy(_dequantised(table[list(ids)].tobytes()).reshape(len(ids), -1))

    def _pieces(self) -> Pieces:
        count, *_, length = self._read("5iQ")
        offsets = self._array("<u4", count + 1)
        scores = self._array("<f4", count).astype(np.float32)
        spelt = self._content[self._at : self._at + length]
        self._at += length
        bounds = zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
        return Pieces([spelt[start:end].decode("utf-8", "replace") for start, end in bounds], scores)

    def _entry(self) -> tuple[str, tuple[int, int, int]]:
        (length,) = self._read("H")
        name = self._content[self._at : self._at + length].decode()
        self._at += length
        kind, _, start, size = self._read("BIQQ")
        return name, (kind, start, size)

    def _array(self, kind: str, count: int) -> NDArray[np.generic]:
        array = np.frombuffer(self._content, kind, count, self._at)
        self._at += array.nbytes
        return array

    def _read(self, kinds: str) -> tuple[int, ...]:
        values = struct.unpack_from("<" + kinds, self._content, self._at)
        self._at += struct.calcsize("<" + kinds)
        return values


def start_e5(lines: Iterable[str], most_pieces: int = 56_000) -> tuple[UnigramTokenizer, Transformer]:
    """The tokenizer and the pretrained encoder of the first layers.

    lines: whose pieces are all taken that occur twice; so are single characters, and then the most frequent pieces of
    the scripts served, up to `most_pieces`. Raises UntrustedFileError.
    """
    file = E5File(E5.read())
    ids = _chosen(file.pieces, lines, most_pieces)
    tokenizer = UnigramTokenizer([file.pieces.texts[i] for i in ids], file.pieces.scores[ids].tolist())
    encoder = Transformer(unpack_table(*pack_table(file.rows(ids))), tokenizer.separator)
    encoder.load_state_dict(_state(file))
    return tokenizer, encoder


def _chosen(pieces: Pieces, lines: Iterable[str], most: int) -> list[int]:
    """Ids of the pieces that are taken, rising.

    The file has them by frequency.
    """
    every = UnigramTokenizer(pieces.texts, pieces.scores.tolist())
    used = Counter(piece for line in lines for piece in every.ids(line))
    taken = {*range(len(MARKS)), *(piece for piece, uses in used.items() if uses > 1)}
    taken |= {i for i, text in enumerate(pieces.texts) if len(text.lstrip("▁")) == 1 and _is_served(text)}
    others = (i for i, text in enumerate(pieces.texts) if i not in taken and _is_served(text))
    return sorted(taken.union(islice(others, max(0, most - len(taken)))))


def _is_served(text: str) -> bool:
    return all(unicodedata.name(c, "").startswith(_SCRIPTS) for c in text if c.isalpha())


def _state(file: E5File) -> dict[str, torch.Tensor]:
    """Renames the file's tensors; every line has token type 0."""
    hidden = file.hidden
    positions = file.tensor("emb.pos").view(-1, hidden) + file.tensor("emb.type").view(-1, hidden)[0]
    state = {"position": positions, "norm.weight": file.tensor("emb.ln.w"), "norm.bias": file.tensor("emb.ln.b")}
    for i in range(SIZE.layers):
        for kind, short in (("weight", "w"), ("bias", "b")):
            for ours, theirs in _TENSORS.items():
                read = torch.cat([file.tensor(f"l{i}.{name}.{short}") for name in theirs])
                inputs = file.feed_forward if ours == "narrow" else hidden
                matrix = kind == "weight" and not ours.endswith("norm")
                state[f"layers.{i}.{ours}.{kind}"] = read.view(-1, inputs) if matrix else read
    return state


def _dequantised(raw: bytes) -> NDArray[np.float32]:
    """(blocks, 32): the low halves of the bytes come first."""
    blocks = np.frombuffer(raw, np.uint8).reshape(-1, _BLOCK_BYTES)
    scale = blocks[:, :2].copy().view("<f2").astype(np.float32)
    nibbles = blocks[:, 2:]
    levels: NDArray[np.float32] = np.concatenate([nibbles & 15, nibbles >> 4], axis=1).astype(np.float32) - 8
    return levels * scale
