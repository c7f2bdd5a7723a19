"""The figure that an epoch is chosen by: a mean over tasks.

Labels are judged by the mean recall, which counts rare ones as much as frequent ones; numbers by the concordance
correlation coefficient (Lin, 1989), the mean over columns, as is usual for valence and arousal. Both are at most 1, and
guessing gives 1/labels and 0. Left out: calibration.
"""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from models.training.fusion.batches import FusionBatch


@torch.no_grad()
def score(net: nn.Module, batches: Iterable[FusionBatch]) -> dict[str, float]:
    """The mean over tasks, `score`, and each task's figure by name.

    A task of which nothing is known is left out; of all, the score is 0.

    A task of which nothing is known is left out; of all, the score is 0.
    """
    predictions: defaultdict[str, list[Tensor]] = defaultdict(list)
    targets: defaultdict[str, list[Tensor]] = defaultdict(list)
    for batch in batches:
        logits = net(batch.inputs, batch.session).logits
        for task, target in batch.targets.items():
            predictions[task].append(logits[task].cpu())
            targets[task].append(target.cpu())
    tasks = {}
    for task, parts in predictions.items():
        prediction, target = torch.cat(parts), torch.cat(targets[task])
        figure = concordance(prediction, target) if target.is_floating_point() else mean_recall(prediction, target)
        if figure is not None:
            tasks[task] = figure
    return {"score": sum(tasks.values()) / max(1, len(tasks)), **tasks}


def mean_recall(logits: Tensor, target: Tensor) -> float | None:
    """Mean recall over the labels that occur; None if none do.

    logits: (rows, labels). target: (rows,), -1 where not known.
    """
    recalls = [
        (logits[target == label].argmax(dim=1) == label).double().mean() for label in torch.unique(target) if label >= 0
    ]
    return torch.stack(recalls).mean().item() if recalls else None


def concordance(values: Tensor, target: Tensor) -> float | None:
    """Mean concordance correlation over columns; None if there is none.

    values, target: (rows, columns), NaN where not known. A column counts of which two rows or more are known.
    """
    figure = []
    for value, truth in zip(values.double().T, target.double().T, strict=True):
        known = ~truth.isnan()
        if known.sum() < 2:
            continue
        one, other = value[known], truth[known]
        together = ((one - one.mean()) * (other - other.mean())).mean()
        spread = one.var(correction=0) + other.var(correction=0) + (one.mean() - other.mean()).square()
        figure.append(2 * together / spread.clamp(min=1e-12))
    return torch.stack(figure).mean().item() if figure else None
