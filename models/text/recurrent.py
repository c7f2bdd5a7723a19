"""A baseline for text: word pieces and a bidirectional LSTM.

It is trained on the text corpora alone. A model folder may hold it; the shipped one does not.

Problem: the shipped networks stand on sentence encoders that were trained on far more text; what that brings shows only
against a network without them. Rule: the training lines' frequent words are pieces, and so are frequent character
n-grams of the others (after Bojanowski et al., 2017), so that unknown words are read by their parts. The pieces'
vectors are learned with everything else. A bidirectional LSTM reads them; attention pooling over its steps, beside the
maximum of each value, gives the line's vector (Felbo et al., 2017, of tweets). It takes the place of the sentence
encoder in `models.text.network.TextNetwork`. Padding has no effect; a row does not depend on its batch.

Cost: 2.0 million parameters with the heads, 1.6 of them word vectors; on one CPU core a line of 20 pieces takes 2 ms by
itself and 0.4 ms among 16. Left out: the lines before, and languages that the training lines are not in.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from models.recurrent_layers import AttentionPool, BidirectionalLstm
from models.text.word_pieces import MARK, SEPARATOR, WordPieceTokenizer

_UNKNOWN = "[UNK]"
_INSIDE = "##"  # marks a piece that does not begin a word
_FRAGMENT_LENGTHS = (2, 3, 4)
_GROUP_LINES = 32  # lines of like length that are padded to the longest of them and read together
_LEAST_USES = 3  # of a piece in the training lines; what is rarer is read by its parts
_CHARACTERS = 300  # most frequent ones that have a piece; a word with another is unknown


@dataclass(frozen=True, slots=True)
class RecurrentSize:
    """Sizes of the encoder.

    words: of a word vector. hidden: values that each direction of the LSTM keeps. dropout: share of a word vector's
    values, the same in a whole line, dropped while training.
    """

    words: int = 128
    hidden: int = 128
    dropout: float = 0.3


class RecurrentEncoder(nn.Module):
    """Encodes lines of token ids.

    No state besides the weights; calls may overlap.
    """

    def __init__(self, vocabulary: Sequence[str], size: RecurrentSize | None = None) -> None:
        """vocabulary: the pieces, by id. Weights are random until trained or loaded."""
        super().__init__()
        self.vocabulary = tuple(vocabulary)
        self.size = size or RecurrentSize()
        self.words = nn.Embedding(len(self.vocabulary), self.size.words)
        self.recurrent = BidirectionalLstm(self.size.words, self.size.hidden)
        self.attention = AttentionPool(2 * self.size.hidden)
        self.dropout = nn.Dropout(self.size.dropout)
        self.width = self.attention.width + 2 * self.size.hidden

    def embed(self, token_ids: torch.Tensor) -> torch.Tensor:
        """(tokens,) int64 ids to (tokens, words)."""
        vectors: torch.Tensor = self.words(token_ids)
        return vectors

    def mean_embedding(self) -> torch.Tensor:
        """(words,), the mean of all tokens' vectors."""
        return self.words.weight.mean(dim=0)

    def forward(self, sentences: Sequence[Sequence[int]], embedded: torch.Tensor | None = None) -> torch.Tensor:
        """Encodes at least one line: (lines, width).

        Each line has at least one token. embedded: (tokens, words), read in place of the tokens' own vectors; the
        lines' tokens one after another. Raises ValueError for no line, or a line without a token.
        """
        lengths = [len(sentence) for sentence in sentences]
        if not lengths or not all(lengths):
            raise ValueError("a batch needs at least one sentence, and each sentence at least one token")
        if embedded is None:
            ids = np.concatenate([np.asarray(sentence, dtype=np.int64) for sentence in sentences])
            embedded = self.embed(torch.from_numpy(ids).to(self.words.weight.device))
        lines = torch.split(embedded, lengths)
        order = sorted(range(len(lines)), key=lengths.__getitem__)
        groups = [order[start : start + _GROUP_LINES] for start in range(0, len(order), _GROUP_LINES)]
        vectors = torch.cat([self._read([lines[row] for row in group]) for group in groups])
        return vectors[torch.tensor(order, device=vectors.device).argsort()]

    def _read(self, lines: Sequence[torch.Tensor]) -> torch.Tensor:
        """lines: (tokens, words) each, of like lengths. Returns (lines, width)."""
        steps = pad_sequence(list(lines), batch_first=True)
        lengths = torch.tensor([len(line) for line in lines], device=steps.device)
        inside = torch.arange(steps.shape[1], device=steps.device) < lengths[:, None]
        read = self.recurrent(self.dropout(torch.ones_like(steps[:, :1])) * steps, lengths)
        greatest = read.float().masked_fill(~inside[..., None], -1e4).amax(dim=1)
        return torch.cat([self.attention(read, inside), greatest], dim=1)


class SingleLineTokenizer(WordPieceTokenizer):
    """Word pieces of a line, without the lines before it."""

    def context(self, before: Sequence[str]) -> list[int]:
        """Nothing: the encoder reads single lines."""
        return []


def learn_vocabulary(lines: Iterable[str], words: int = 9_000, fragments: int = 3_000) -> list[str]:
    """Learns the pieces, by id, that lines are read by.

    The same lines give the same pieces. words: most frequent ones that are pieces of their own. fragments: pieces of
    two to four characters, those that the other words are most often made of.
    """
    normalizer, splitter = BertNormalizer(lowercase=True), BertPreTokenizer()
    uses: Counter[str] = Counter()
    for line in lines:
        plain = normalizer.normalize_str(line.encode("utf-8", "replace").decode("utf-8"))
        uses.update(word for word, _ in splitter.pre_tokenize_str(plain))
    characters: Counter[str] = Counter()
    for word, count in uses.items():
        characters.update({character: count * word.count(character) for character in set(word)})
    known = _most_frequent(characters, _CHARACTERS)
    whole = _most_frequent(uses, words)
    parts: Counter[str] = Counter()
    for word in uses.keys() - set(whole):
        for length in _FRAGMENT_LENGTHS:
            for start in range(len(word) - length + 1):
                parts[(_INSIDE if start else "") + word[start : start + length]] += uses[word]
    pieces = [*known, *(_INSIDE + character for character in known), *whole, *_most_frequent(parts, fragments)]
    return list(dict.fromkeys([_UNKNOWN, MARK, SEPARATOR, *pieces]))


def _most_frequent(uses: Counter[str], count: int) -> list[str]:
    """The `count` most frequent pieces; ties in alphabetical order."""
    often = [piece for piece, used in uses.items() if used >= _LEAST_USES]
    return sorted(often, key=lambda piece: (-uses[piece], piece))[:count]


def start_recurrent(lines: Iterable[str]) -> tuple[SingleLineTokenizer, RecurrentEncoder]:
    """A tokenizer of the lines' vocabulary, and its untrained encoder."""
    vocabulary = learn_vocabulary(lines)
    return SingleLineTokenizer(vocabulary), RecurrentEncoder(vocabulary)
