"""The text component of a model folder: packing and building.

The multilingual network's word table is the only thing that is not in it: that comes with the package of the
multilingual sentence encoder, which also carries its tokenizer. Matrices are laid out in memory for lines that come one
by one: a line alone then takes three quarters of the time on a CPU, and batches take as long as before.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from models.text.encoder import EnglishBranch, TextEncoder
from models.text.language import EnglishDetector
from models.text.minilm import SIZE
from models.text.network import LineEncoder, TextNetwork
from models.text.packing import pack, pack_table, unpack, unpack_table
from models.text.recurrent import RecurrentEncoder, SingleLineTokenizer
from models.text.sentence_encoder import SentenceEncoder
from models.text.tokens import Tokenizer
from models.text.transformer import Transformer
from models.text.word_pieces import SEPARATOR, WordPieceTokenizer

_MULTILINGUAL, _ENGLISH, _RECURRENT = "multilingual.", "english.", "recurrent."
_NIBBLES, _SCALES, _WORDS = "words.nibbles", "words.scales", "words.spelling"
_CORPORA, _TERMS = "corpora", "terms."


def pack_networks(
    multilingual: TextNetwork, english: TextNetwork, vocabulary: Sequence[str]
) -> dict[str, torch.Tensor]:
    """Packs both networks into tensors, by name.

    vocabulary: the pieces of the English network's word table.
    """
    if not isinstance(english.encoder, Transformer):
        raise TypeError("the English network has to stand on a transformer")
    nibbles, scales = pack_table(english.encoder.table)
    return {
        **_packed(_MULTILINGUAL, multilingual),
        **_packed(_ENGLISH, english),
        _NIBBLES: nibbles,
        _SCALES: scales,
        _WORDS: _spelt(vocabulary),
    }


def pack_recurrent(network: TextNetwork) -> dict[str, torch.Tensor]:
    """Packs the recurrent baseline, which reads all lines alone.

    The network is of the usual size.
    """
    if not isinstance(network.encoder, RecurrentEncoder):
        raise TypeError("the network has to stand on a recurrent encoder")
    return {**_packed(_RECURRENT, network), _WORDS: _spelt(network.encoder.vocabulary)}


def build_text_encoder(tensors: Mapping[str, torch.Tensor], device: torch.device) -> TextEncoder:
    """The encoder out of what `pack_networks` or `pack_recurrent` returned.

    Raises KeyError or RuntimeError for other tensors.
    """
    vocabulary = read_vocabulary(tensors)
    if _under(_RECURRENT, tensors):
        network = _unpacked(_RECURRENT, tensors, RecurrentEncoder(vocabulary))
        return TextEncoder(network, SingleLineTokenizer(vocabulary), device)
    multilingual, english = unpack_networks(tensors)
    reader = EnglishBranch(english, WordPieceTokenizer(vocabulary), EnglishDetector())
    for network in (english, multilingual):
        _lay_out(network)
    return TextEncoder(multilingual, Tokenizer(), device, reader)


def unpack_networks(tensors: Mapping[str, torch.Tensor], terms: bool = True) -> tuple[TextNetwork, TextNetwork]:
    """Unpacks the multilingual and the English network that `pack_networks` packed.

    Raises as `build_text_encoder` does.

    terms: whether with corpora's own, where they have learned any.
    """
    words = unpack_table(tensors[_NIBBLES], tensors[_SCALES])
    transformer = Transformer(words, read_vocabulary(tensors).index(SEPARATOR), SIZE)
    multilingual = _unpacked(_MULTILINGUAL, tensors, SentenceEncoder.load(), terms)
    return multilingual, _unpacked(_ENGLISH, tensors, transformer, terms)


def read_vocabulary(tensors: Mapping[str, torch.Tensor]) -> list[str]:
    """The vocabulary of packed tensors. Raises KeyError for other tensors."""
    return _read_spelt(tensors[_WORDS])


def _packed(prefix: str, network: TextNetwork) -> dict[str, torch.Tensor]:
    corpora = {_CORPORA: _spelt(network.corpora)} if network.corpora else {}
    return {prefix + name: tensor for name, tensor in {**pack(network.state_dict()), **corpora}.items()}


def _unpacked(
    prefix: str, tensors: Mapping[str, torch.Tensor], encoder: LineEncoder, terms: bool = True
) -> TextNetwork:
    own = _under(prefix, tensors)
    corpora = _read_spelt(own.pop(_CORPORA)) if _CORPORA in own else []
    if not terms:
        corpora, own = [], {name: tensor for name, tensor in own.items() if not name.startswith(_TERMS)}
    network = TextNetwork(encoder, corpora=corpora)
    network.load_state_dict(unpack(own))
    return network


def _spelt(words: Sequence[str]) -> torch.Tensor:
    return torch.frombuffer(bytearray("\n".join(words).encode()), dtype=torch.uint8)


def _read_spelt(spelt: torch.Tensor) -> list[str]:
    return spelt.numpy().tobytes().decode().split("\n")


def _lay_out(network: nn.Module) -> None:
    """Stores linear layers input by input; values and shapes stay."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            layer.weight.data = layer.weight.data.t().contiguous().t()


def _under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
