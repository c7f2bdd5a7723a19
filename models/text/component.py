"""The text component of a model folder: packing and building.

It holds all that reads a line: both networks with their word tables and the pieces of their tokenizers. Matrices are
laid out in memory for lines that come one by one: a line alone then takes three quarters of the time on a CPU, and
batches take as long as before.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from models.text.encoder import TextEncoder
from models.text.network import LineEncoder, TextNetwork
from models.text.packing import pack, pack_table, unpack, unpack_table
from models.text.pieces import PieceTokenizer
from models.text.reader import Reader
from models.text.readings import LineTokenizer
from models.text.recurrent import RecurrentEncoder, SingleLineTokenizer
from models.text.transformer import Transformer
from models.text.unigram_pieces import UnigramTokenizer
from models.text.word_pieces import WordPieceTokenizer

_MULTILINGUAL, _ENGLISH, _RECURRENT = "multilingual.", "english.", "recurrent."
_NIBBLES, _SCALES = "table.nibbles", "table.scales"
_PIECES, _SCORES = "pieces.spelling", "pieces.scores"
_CORPORA, _TERMS = "corpora", "terms."


def pack_networks(multilingual: Reader, english: Reader) -> dict[str, torch.Tensor]:
    """Packs both networks, on transformers, and their pieces into tensors, by name."""
    return {**_packed(_MULTILINGUAL, multilingual), **_packed(_ENGLISH, english)}


def pack_recurrent(reader: Reader) -> dict[str, torch.Tensor]:
    """Packs the recurrent baseline, which reads all lines alone.

    The network is of the usual size.
    """
    if not isinstance(reader.network.encoder, RecurrentEncoder):
        raise TypeError("the network has to stand on a recurrent encoder")
    return _packed(_RECURRENT, reader)


def build_text_encoder(tensors: Mapping[str, torch.Tensor], device: torch.device) -> TextEncoder:
    """The encoder out of what `pack_networks` or `pack_recurrent` returned.

    Raises KeyError or RuntimeError for other tensors.
    """
    if own := _under(_RECURRENT, tensors):
        vocabulary = _read_spelt(own.pop(_PIECES))
        network = _unpacked(own, RecurrentEncoder(vocabulary))
        return TextEncoder(Reader(network, SingleLineTokenizer(vocabulary)), device)
    multilingual, english = unpack_networks(tensors)
    for reader in (multilingual, english):
        _lay_out(reader.network)
    return TextEncoder(multilingual, device, english)


def unpack_networks(tensors: Mapping[str, torch.Tensor], terms: bool = True) -> tuple[Reader, Reader]:
    """Unpacks the multilingual and the English network that `pack_networks` packed.

    Raises as `build_text_encoder` does.

    terms: whether with corpora's own, where they have learned any.
    """
    return _reader(_under(_MULTILINGUAL, tensors), terms), _reader(_under(_ENGLISH, tensors), terms)


def _reader(own: dict[str, torch.Tensor], terms: bool) -> Reader:
    pieces = _read_spelt(own.pop(_PIECES))
    tokenizer = UnigramTokenizer(pieces, own.pop(_SCORES).tolist()) if _SCORES in own else WordPieceTokenizer(pieces)
    table = unpack_table(own.pop(_NIBBLES), own.pop(_SCALES))
    return Reader(_unpacked(own, Transformer(table, tokenizer.separator), terms), tokenizer)


def _packed(prefix: str, reader: Reader) -> dict[str, torch.Tensor]:
    """The network's weights, its word table and its pieces, under `prefix`."""
    network = reader.network
    parts = {**pack(network.state_dict()), **_pieces(reader.tokenizer)}
    if network.corpora:
        parts[_CORPORA] = _spelt(network.corpora)
    if isinstance(network.encoder, Transformer):
        parts[_NIBBLES], parts[_SCALES] = pack_table(network.encoder.table)
    return {prefix + name: tensor for name, tensor in parts.items()}


def _pieces(tokenizer: LineTokenizer) -> dict[str, torch.Tensor]:
    if not isinstance(tokenizer, PieceTokenizer):
        raise TypeError(f"{type(tokenizer).__name__} has no pieces to be packed")
    spelling = {_PIECES: _spelt(tokenizer.pieces)}
    if isinstance(tokenizer, UnigramTokenizer):
        return {**spelling, _SCORES: torch.tensor(tokenizer.scores)}
    return spelling


def _unpacked(own: dict[str, torch.Tensor], encoder: LineEncoder, terms: bool = True) -> TextNetwork:
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
