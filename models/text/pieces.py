"""What tokenizers of lines share: marks around pieces, and bounds."""

from collections.abc import Sequence

from tokenizers import Encoding, Tokenizer

from models.text.normalisation import Normalised, normalised

CONTEXT_TOKENS = 64
"""Token budget of the lines before one, which comes on top of its own."""

MAX_CHARACTERS = 4096
"""Of a line, before and after it is normalised."""


class PieceTokenizer:
    """Tokenizes lines. Stateless after construction; shared by all decode threads.

    most_tokens: of one line, marks included. pieces: by id. separator: the id that ends a line.
    """

    most_tokens: int

    def __init__(self, model: Tokenizer, pieces: Sequence[str], mark: int, separator: int) -> None:
        """model: cuts a normalised line. mark: the id that begins one."""
        self._model, self.pieces = model, tuple(pieces)
        self._mark, self.separator = mark, separator

    def ids(self, text: str) -> list[int]:
        """Token ids of one line between its marks: 2 to `most_tokens`."""
        return [self._mark, *self._pieces(text)[: self.most_tokens - 2], self.separator]

    def context(self, before: Sequence[str]) -> list[int]:
        """Token ids of the lines before, to follow a line's own.

        before: in the order in which they were written. The result may be empty.
        """
        ids = [piece for text in reversed(before) for piece in (*self._pieces(text), self.separator)]
        return ids[:CONTEXT_TOKENS]

    def _pieces(self, text: str) -> list[int]:
        pieces: list[int] = self._read(text)[1].ids
        return pieces

    def _read(self, text: str) -> tuple[Normalised, Encoding]:
        """The normalised line, and its pieces."""
        line = normalised(text[:MAX_CHARACTERS])
        return line, self._model.encode(line.text[:MAX_CHARACTERS], add_special_tokens=False)
