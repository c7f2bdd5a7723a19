"""The tokenizer of many languages: lines to unigram pieces.

Unigram pieces (Kudo, 2018) of XLM-R's vocabulary (Conneau et al., 2020), those of them that the network has vectors
for, of the normalised line (`models.text.normalisation`).

Chat is hostile input: a line may be a megabyte, hold control characters, emoji, lone surrogates from escaped JSON, or
nothing. The rule: never fail on a `str`, and never take more than a bounded time. A line is cut at 4096 characters
before and after it is normalised, and at `MAX_TOKENS` after; its beginning stays. `models.text.readings` divides longer
lines. A line may come with the lines before it. Their tokens follow its own, nearest first, so that the furthest are
cut.
"""

from collections.abc import Sequence

from tokenizers import Regex
from tokenizers import Tokenizer as Model
from tokenizers.models import Unigram
from tokenizers.normalizers import NFKC, Replace, Strip
from tokenizers.normalizers import Sequence as Normalizers
from tokenizers.pre_tokenizers import Metaspace

from models.text.pieces import MAX_CHARACTERS, PieceTokenizer

MAX_TOKENS = 256
"""Token budget of one line, marks included: about 190 English words or 350 Chinese characters."""

MARKS = ("<s>", "<pad>", "</s>", "<unk>")
"""The first pieces of a vocabulary, in this order."""

_SPACE = "▁"  # before a word; it may be a piece of its own


class UnigramTokenizer(PieceTokenizer):
    """Tokenizes lines into unigram pieces.

    scores: of the pieces, as it was given them.
    """

    most_tokens = MAX_TOKENS

    def __init__(self, pieces: Sequence[str], scores: Sequence[float]) -> None:
        """pieces, scores: by id, the marks first. Raises ValueError without the marks."""
        if tuple(pieces[: len(MARKS)]) != MARKS:
            raise ValueError("the vocabulary does not begin with its marks")
        self.scores = tuple(map(float, scores))
        vocabulary = list(zip(pieces, self.scores, strict=True))
        model = Model(Unigram(vocabulary, unk_id=MARKS.index("<unk>"), byte_fallback=False))
        model.normalizer = Normalizers([NFKC(), Replace(Regex(r"\s+"), " "), Strip()])
        model.pre_tokenizer = Metaspace(replacement=_SPACE, prepend_scheme="always", split=False)
        super().__init__(model, pieces, MARKS.index("<s>"), MARKS.index("</s>"))

    def spans(self, text: str) -> list[tuple[int, int]]:
        """The characters of each token of `ids`: start and end.

        Marks cover no characters.
        """
        written = text[:MAX_CHARACTERS]
        line, read = self._read(text)
        spans = []
        for start, end in read.offsets[: MAX_TOKENS - 2]:
            first, last = line.origin[start][0], line.origin[max(start, end - 1)][1]
            spans.append((last - len(written[first:last].lstrip()), last))
        if spans and read.tokens[0] == _SPACE:  # it stands before the first word, and for no character
            spans[0] = (spans[0][0], spans[0][0])
        return [(0, 0), *spans, (len(written), len(written))]
