"""A small tokenizer of many languages, and untrained networks that read its tokens."""

from collections.abc import Sequence

import torch

from models.text.network import TextNetwork
from models.text.packing import pack_table, unpack_table
from models.text.reader import Reader
from models.text.transformer import SIZE, Transformer
from models.text.unigram_pieces import MARKS, UnigramTokenizer

_LETTERS = "▁abcdefghijklmnopqrstuvwxyz0123456789'!?.,ABCDEFGHIJKLMNOPQRSTUVWXYZäöüßéñ我今天很难过他们你好是不想活了"
_WORDS = [
    "▁the",
    "▁i",
    "▁am",
    "▁so",
    "▁sad",
    "▁happy",
    "▁cry",
    "ing",
    "▁face",
    "▁loud",
    "ly",
    "▁furious",
    "▁fish",
    "▁day",
    "▁die",
    "难过",
]
PIECES = (*MARKS, *_LETTERS, *_WORDS)

TOKENIZER = UnigramTokenizer(PIECES, [0.0] * len(MARKS) + [-8.0] * len(_LETTERS) + [-6.0] * len(_WORDS))


def untrained(corpora: Sequence[str] = (), seed: int = 0) -> TextNetwork:
    """A network of the size that is shipped, with weights at random."""
    torch.manual_seed(seed)
    words = unpack_table(*pack_table(torch.randn(len(PIECES), SIZE.hidden)))
    return TextNetwork(Transformer(words, TOKENIZER.separator), corpora=corpora).eval()


def untrained_reader(corpora: Sequence[str] = (), seed: int = 0) -> Reader:
    """The same, with the tokenizer."""
    return Reader(untrained(corpora, seed), TOKENIZER)
