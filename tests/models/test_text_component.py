"""The text part of a model survives its packing, and English lines are read by both of its networks."""

import pytest
import torch
from torch import nn

from models.text.component import build_text_encoder, pack_networks, read_vocabulary, unpack_networks
from models.text.encoder import ChatLine, TextEncoder
from models.text.minilm import SIZE
from models.text.network import TextNetwork
from models.text.packing import pack_table, unpack_table
from models.text.sentence_encoder import SentenceEncoder
from models.text.tokens import Tokenizer
from models.text.transformer import Transformer
from models.text.word_pieces import WordPieceTokenizer

pytestmark = pytest.mark.unit

VOCABULARY = ["[UNK]", "[CLS]", "[SEP]", "i", "am", "so", "very", "happy", "sad", "today", "because"]
ENGLISH, CHINESE = "i am so very happy today", "我今天很难过"


@pytest.fixture(scope="module")
def english() -> TextNetwork:
    torch.manual_seed(0)
    words = unpack_table(*pack_table(torch.randn(len(VOCABULARY), SIZE.hidden)))
    return TextNetwork(Transformer(words, 2, SIZE)).eval()


@pytest.fixture(scope="module")
def multilingual() -> TextNetwork:
    torch.manual_seed(1)
    return TextNetwork(SentenceEncoder.load()).eval()


@pytest.fixture(scope="module")
def encoder(multilingual: TextNetwork, english: TextNetwork) -> TextEncoder:
    return build_text_encoder(pack_networks(multilingual, english, VOCABULARY), torch.device("cpu"))


def scores(encoder: TextEncoder, *lines: str | ChatLine) -> torch.Tensor:
    return encoder.encode([encoder.prepare(line) for line in lines]).embedding


def on_terms(encoder: TextEncoder, corpus: str, *lines: str) -> torch.Tensor:
    return encoder.encode_for_corpus([encoder.prepare(line) for line in lines], corpus)[1].embedding


@torch.no_grad()
def test_english_lines_get_a_mean_of_both_networks_and_others_that_of_many_languages_alone(
    encoder: TextEncoder, multilingual: TextNetwork, english: TextNetwork
) -> None:
    read = scores(encoder, CHINESE, ENGLISH, CHINESE)
    many = torch.cat(multilingual([Tokenizer().ids(line) for line in (CHINESE, ENGLISH)]), dim=1)
    own = torch.cat(english([WordPieceTokenizer(VOCABULARY).ids(ENGLISH)]), dim=1)
    torch.testing.assert_close(read[0], many[0], atol=0.02, rtol=0)
    torch.testing.assert_close(read[1], 0.3 * many[1] + 0.7 * own[0], atol=0.02, rtol=0)
    torch.testing.assert_close(read[2], read[0], atol=1e-5, rtol=0)


def test_lines_before_tell_on_english_lines_and_on_no_others(encoder: TextEncoder) -> None:
    for line, moved in ((ENGLISH, True), (CHINESE, False)):
        alone, after = scores(encoder, line, ChatLine(line, ("i am sad",)))
        assert torch.allclose(alone, after, atol=1e-4) is not moved


def test_a_mixed_batch_scores_as_its_lines_alone(encoder: TextEncoder) -> None:
    lines = [ENGLISH, CHINESE, "i am sad because i am", "", "我" * 90] * 15
    together = scores(encoder, *lines)
    alone = torch.cat([scores(encoder, line) for line in lines[:5]] * 15)
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)


@torch.no_grad()
def test_a_corpus_is_read_on_its_own_terms_where_these_were_learned(english: TextNetwork) -> None:
    network = TextNetwork(SentenceEncoder.load(), corpora=["cold", "smp2020"])
    nn.init.normal_(network.terms.weight, std=0.1)
    packed = pack_networks(network, english, VOCABULARY)
    encoder = build_text_encoder(packed, torch.device("cpu"))
    assert unpack_networks(packed, terms=False)[0].corpora == ()
    assert encoder.has_corpus_head("cold")
    assert not encoder.has_corpus_head("meld")
    own = on_terms(encoder, "cold", CHINESE)
    expected = torch.cat(network([Tokenizer().ids(CHINESE)], "cold"), dim=1)
    torch.testing.assert_close(own, expected, atol=0.1, rtol=0)
    assert (own - scores(encoder, CHINESE)).abs().max() > 0.1
    torch.testing.assert_close(on_terms(encoder, "meld", CHINESE), scores(encoder, CHINESE))


def test_other_tensors_are_refused() -> None:
    with pytest.raises(KeyError):
        build_text_encoder({"emotion.weight": torch.zeros(7, 256)}, torch.device("cpu"))


def test_what_is_packed_again_is_as_it_was(multilingual: TextNetwork, english: TextNetwork) -> None:
    packed = pack_networks(multilingual, english, VOCABULARY)
    again = pack_networks(*unpack_networks(packed), read_vocabulary(packed))
    assert set(again) == set(packed)
    for name, tensor in packed.items():
        assert torch.allclose(again[name].float(), tensor.float(), rtol=1e-5), name
