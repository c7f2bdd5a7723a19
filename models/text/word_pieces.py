"""The English tokenizer: lines to word pieces.

Word pieces (Schuster and Nakajima, 2012) of BERT's uncased vocabulary, of the normalised line
(`models.text.normalisation`). Chat is hostile input: any `str` is taken, and the time it costs is bounded, as in
`models.text.unigram_pieces`. A line may come with the lines before it. Their tokens follow its own, nearest first, so
that the furthest are cut.
"""

from collections.abc import Sequence

from tokenizers import Tokenizer as Pieces
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from models.text.normalisation import normalised

MAX_TOKENS = 192
"""Token budget of one line, marks included: about 140 words."""

CONTEXT_TOKENS = 64
"""Token budget of the lines before it, which comes on top."""

MARK, SEPARATOR = "[CLS]", "[SEP]"
_UNKNOWN = "[UNK]"
_MAX_CHARACTERS = 4096


class WordPieceTokenizer:
    """Tokenizes lines. Stateless after construction; shared by all decode threads.

    pieces: by id. separator: the id that ends a line.
    """

    most_tokens = MAX_TOKENS

    def __init__(self, vocabulary: Sequence[str]) -> None:
        """vocabulary: pieces by id. Raises ValueError without the marks."""
        self.pieces = tuple(vocabulary)
        ids = {piece: i for i, piece in enumerate(vocabulary)}
        if missing := {MARK, SEPARATOR, _UNKNOWN} - ids.keys():
            raise ValueError(f"the vocabulary lacks {', '.join(sorted(missing))}")
        self._mark, self.separator = ids[MARK], ids[SEPARATOR]
        self._model = Pieces(WordPiece(ids, unk_token=_UNKNOWN))
        self._model.normalizer = BertNormalizer(lowercase=True)
        self._model.pre_tokenizer = BertPreTokenizer()

    def ids(self, text: str) -> list[int]:
        """Token ids of one line between its marks: 2 to `MAX_TOKENS`."""
        return [self._mark, *self._pieces(text)[: MAX_TOKENS - 2], self.separator]

    def spans(self, text: str) -> list[tuple[int, int]]:
        """The characters of each token of `ids`: start and end.

        Marks cover no characters.
        """
        written = text[:_MAX_CHARACTERS]
        line = normalised(written)
        offsets = self._model.encode(line.text[:_MAX_CHARACTERS], add_special_tokens=False).offsets[: MAX_TOKENS - 2]
        spans = [(line.origin[start][0], line.origin[end - 1][1]) for start, end in offsets]
        return [(0, 0), *spans, (len(written), len(written))]

    def context(self, before: Sequence[str]) -> list[int]:
        """Token ids of the lines before, to follow a line's own.

        before: in the order in which they were written. The result may be empty.
        """
        ids = [piece for text in reversed(before) for piece in (*self._pieces(text), self.separator)]
        return ids[:CONTEXT_TOKENS]

    def _pieces(self, text: str) -> list[int]:
        line = normalised(text[:_MAX_CHARACTERS]).text[:_MAX_CHARACTERS]
        pieces: list[int] = self._model.encode(line, add_special_tokens=False).ids
        return pieces
