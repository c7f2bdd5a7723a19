"""The English sentence encoder all-MiniLM-L6-v2, to start training from.

Wang et al., 2020; Reimers and Gurevych, 2019.

Its package carries six layers of 384 and a vocabulary of 30522 word pieces. Files are checked against their digests.
The word table is rounded to 4 bits a weight, as it is shipped, before anything is trained on it. Left out: the
package's own code, which the trained network does not need either.
"""

from collections.abc import Mapping

import torch
from safetensors.torch import load

from models.text.packing import pack_table, unpack_table
from models.text.transformer import SIZE, Transformer
from models.text.word_pieces import SEPARATOR
from models.trusted_files import MINILM_PIECES, MINILM_WEIGHTS


def minilm_vocabulary() -> list[str]:
    """The word pieces, by id. Raises UntrustedFileError."""
    return MINILM_PIECES.read().decode("utf-8").rstrip("\n").split("\n")


def load_minilm() -> Transformer:
    """The pretrained encoder. Raises UntrustedFileError."""
    read = load(MINILM_WEIGHTS.read())
    table = unpack_table(*pack_table(read["embeddings.word_embeddings.weight"]))
    encoder = Transformer(table, minilm_vocabulary().index(SEPARATOR))
    encoder.load_state_dict(_state(read))
    return encoder


def _state(read: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Renames the package's tensors; every line has token type 0."""
    state = {
        "position": read["embeddings.position_embeddings.weight"] + read["embeddings.token_type_embeddings.weight"][0],
        "norm.weight": read["embeddings.LayerNorm.weight"],
        "norm.bias": read["embeddings.LayerNorm.bias"],
    }
    for i in range(SIZE.layers):
        theirs, ours = f"encoder.layer.{i}", f"layers.{i}"
        for kind in ("weight", "bias"):
            attend = [read[f"{theirs}.attention.self.{name}.{kind}"] for name in ("query", "key", "value")]
            state[f"{ours}.attend.{kind}"] = torch.cat(attend)
            state[f"{ours}.gather.{kind}"] = read[f"{theirs}.attention.output.dense.{kind}"]
            state[f"{ours}.attend_norm.{kind}"] = read[f"{theirs}.attention.output.LayerNorm.{kind}"]
            state[f"{ours}.widen.{kind}"] = read[f"{theirs}.intermediate.dense.{kind}"]
            state[f"{ours}.narrow.{kind}"] = read[f"{theirs}.output.dense.{kind}"]
            state[f"{ours}.norm.{kind}"] = read[f"{theirs}.output.LayerNorm.{kind}"]
    return state
