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

from models.text.pieces import MAX_CHARACTERS, PieceTokenizer

MAX_TOKENS = 192
"""Token budget of one line, marks included: about 140 words."""

MARK, SEPARATOR = "[CLS]", "[SEP]"
_UNKNOWN = "[UNK]"


class WordPieceTokenizer(PieceTokenizer):
    """Tokenizes lines into word pieces."""

    most_tokens = MAX_TOKENS

    def __init__(self, vocabulary: Sequence[str]) -> None:
        """vocabulary: pieces by id. Raises ValueError without the marks."""
        ids = {piece: i for i, piece in enumerate(vocabulary)}
        if missing := {MARK, SEPARATOR, _UNKNOWN} - ids.keys():
            raise ValueError(f"the vocabulary lacks {', '.join(sorted(missing))}")
        model = Pieces(WordPiece(ids, unk_token=_UNKNOWN))
        model.normalizer = BertNormalizer(lowercase=True)
        model.pre_tokenizer = BertPreTokenizer()
        super().__init__(model, vocabulary, ids[MARK], ids[SEPARATOR])

    def spans(self, text: str) -> list[tuple[int, int]]:
        """The characters of each token of `ids`: start and end.

        Marks cover no characters.
        """
        line, read = self._read(text)
        spans = [(line.origin[start][0], line.origin[end - 1][1]) for start, end in read.offsets[: MAX_TOKENS - 2]]
        end = len(text[:MAX_CHARACTERS])
        return [(0, 0), *spans, (end, end)]
