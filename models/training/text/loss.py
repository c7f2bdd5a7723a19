"""The joint loss of the text heads on partly labelled corpora.

Emotion is a cross-entropy under the corpus's own prior, and each label is also taught for itself, for rows that hold
several. Risk is a masked binary loss a head, and the order of the lines in matched pairs.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from models.labels import EMOTIONS
from models.text.network import TextNetwork
from models.training.text.batches import ABSENT, TextBatch

_PAIR_SHARE = 0.3  # weight of the order in pairs against the other losses
_MARGIN = 2.0  # logits that the worse line of a pair should be above the other
_BINARY_SHARE = 2.0  # weight of the labels taught for themselves against the cross-entropy


def joint_loss(network: nn.Module, batch: TextBatch) -> torch.Tensor:
    """The loss of all heads, a scalar.

    It is the adjusted cross-entropy of emotion, each label's binary loss, and the masked binary losses of risk. Of a
    network with corpus heads, it is the mean of that of the shared heads and that of the rows' corpus heads.
    """
    if not isinstance(network, TextNetwork):
        raise TypeError(f"wanted a TextNetwork, got {type(network).__name__}")
    of_heads: Sequence[torch.Tensor] = (
        network.training_logits(batch.sentences, batch.corpus)
        if network.corpora
        else [torch.cat(network(batch.sentences), dim=1).float()]
    )
    return torch.stack(
        [
            emotion_loss(logits[:, : len(EMOTIONS)], batch)
            + risk_loss(logits[:, len(EMOTIONS) :], batch)
            + pair_loss(logits[:, len(EMOTIONS) :], batch) * _PAIR_SHARE
            for logits in of_heads
        ]
    ).mean()


def emotion_loss(logits: torch.Tensor, batch: TextBatch) -> torch.Tensor:
    """Adjusted cross-entropy and binary losses of emotion.

    logits: (rows, 7). Averaged over the rows that are labelled, 0 when none is.
    """
    labelled = batch.emotion.sum(dim=1) > 0
    if not labelled.any():
        return logits.sum() * 0.0
    target = batch.emotion[labelled]
    adjusted = logits[labelled] + batch.log_prior[labelled]
    exclusive = -(target * functional.log_softmax(adjusted, dim=1)).sum(dim=1).mean()
    used = (batch.log_prior[labelled] > ABSENT).float()
    prior = batch.log_prior[labelled].clamp_min(-10.0)
    log_odds = prior - torch.log1p(-prior.exp().clamp_max(0.99))
    each = functional.binary_cross_entropy_with_logits(
        logits[labelled] + log_odds, (target > 0).float(), weight=used, reduction="sum"
    )
    return exclusive + each / used.sum() * _BINARY_SHARE


def risk_loss(logits: torch.Tensor, batch: TextBatch) -> torch.Tensor:
    """logits: (rows, 3). Heads weigh the same, however few rows teach them."""
    each = functional.binary_cross_entropy_with_logits(logits, batch.risk, reduction="none")
    return (each * batch.risk_weight).mean()


def pair_loss(logits: torch.Tensor, batch: TextBatch) -> torch.Tensor:
    """Loss of the order in matched pairs: the worse line above.

    logits: (rows, 3). A soft margin (RankNet: Burges et al., 2005) over pairs that differ in a risk, 0 without any.
    """
    paired = (batch.pair[:, None] == batch.pair[None, :]) & (batch.pair[:, None] >= 0)
    worse = (batch.risk[:, None] - batch.risk[None, :] > 0.5) & paired[..., None]
    above = logits[:, None] - logits[None, :]
    return functional.softplus(_MARGIN - above[worse]).sum() / worse.sum().clamp_min(1)
