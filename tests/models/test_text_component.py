"""The text part of a model survives its packing, and each line is read by the network of its language."""

import pytest
import torch
from torch import nn

from models.text.component import build_text_encoder, pack_networks, unpack_networks
from models.text.encoder import ChatLine, TextEncoder
from models.text.network import TextNetwork
from models.text.packing import pack_table, unpack_table
from models.text.reader import Reader
from models.text.transformer import SIZE, Transformer
from models.text.word_pieces import WordPieceTokenizer
from tests.models.unigram import untrained_reader

pytestmark = pytest.mark.unit

VOCABULARY = ["[UNK]", "[CLS]", "[SEP]", "i", "am", "so", "very", "happy", "sad", "today", "because"]
ENGLISH, CHINESE = "i am so very happy today", "我今天很难过"


@pytest.fixture(scope="module")
def english() -> Reader:
    torch.manual_seed(0)
    words = unpack_table(*pack_table(torch.randn(len(VOCABULARY), SIZE.hidden)))
    return Reader(TextNetwork(Transformer(words, 2)).eval(), WordPieceTokenizer(VOCABULARY))


@pytest.fixture(scope="module")
def multilingual() -> Reader:
    return untrained_reader(seed=1)


@pytest.fixture(scope="module")
def encoder(multilingual: Reader, english: Reader) -> TextEncoder:
    return build_text_encoder(pack_networks(multilingual, english), torch.device("cpu"))


def read_by(reader: Reader, line: str, corpus: str | None = None) -> torch.Tensor:
    return torch.cat(reader.network([reader.tokenizer.ids(line)], corpus), dim=1)


def scores(encoder: TextEncoder, *lines: str | ChatLine) -> torch.Tensor:
    return encoder.encode([encoder.prepare(line) for line in lines]).embedding


def on_terms(encoder: TextEncoder, corpus: str, *lines: str) -> torch.Tensor:
    return encoder.encode_for_corpus([encoder.prepare(line) for line in lines], corpus)[1].embedding


@torch.no_grad()
def test_english_lines_are_read_by_the_english_network_and_others_by_that_of_many_languages(
    encoder: TextEncoder, multilingual: Reader, english: Reader
) -> None:
    read = scores(encoder, CHINESE, ENGLISH, CHINESE)
    torch.testing.assert_close(read[:1], read_by(multilingual, CHINESE), atol=0.02, rtol=0)
    torch.testing.assert_close(read[1:2], read_by(english, ENGLISH), atol=0.02, rtol=0)
    torch.testing.assert_close(read[2], read[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("line", [ENGLISH, CHINESE])
def test_lines_before_tell_how_a_line_is_read(encoder: TextEncoder, line: str) -> None:
    alone, after = scores(encoder, line, ChatLine(line, ("i am sad",)))
    assert not torch.allclose(alone, after, atol=1e-4)


def test_a_mixed_batch_scores_as_its_lines_alone(encoder: TextEncoder) -> None:
    lines = [ENGLISH, CHINESE, "i am sad because i am", "", "我" * 90] * 15
    together = scores(encoder, *lines)
    alone = torch.cat([scores(encoder, line) for line in lines[:5]] * 15)
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)


@torch.no_grad()
def test_a_corpus_is_read_on_its_own_terms_where_these_were_learned(english: Reader) -> None:
    reader = untrained_reader(["cold", "smp2020"])
    nn.init.normal_(reader.network.terms.weight, std=0.1)
    packed = pack_networks(reader, english)
    encoder = build_text_encoder(packed, torch.device("cpu"))
    assert unpack_networks(packed, terms=False)[0].network.corpora == ()
    assert encoder.has_corpus_head("cold")
    assert not encoder.has_corpus_head("meld")
    own = on_terms(encoder, "cold", CHINESE)
    torch.testing.assert_close(own, read_by(reader, CHINESE, "cold"), atol=0.1, rtol=0)
    assert (own - scores(encoder, CHINESE)).abs().max() > 0.1
    torch.testing.assert_close(on_terms(encoder, "meld", CHINESE), scores(encoder, CHINESE))


def test_other_tensors_are_refused() -> None:
    with pytest.raises(KeyError):
        build_text_encoder({"emotion.weight": torch.zeros(7, 256)}, torch.device("cpu"))


def test_what_is_packed_again_is_as_it_was(multilingual: Reader, english: Reader) -> None:
    packed = pack_networks(multilingual, english)
    again = pack_networks(*unpack_networks(packed))
    assert set(again) == set(packed)
    for name, tensor in packed.items():
        assert torch.allclose(again[name].float(), tensor.float(), rtol=1e-5), name
