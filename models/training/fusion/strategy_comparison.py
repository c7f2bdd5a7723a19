"""Compares fusion strategies on synthetic windows with the pool that is shipped.

Every strategy is trained on the windows that the pool is fitted to, of four fifths of the rows, and measured on windows
of the last fifth: log posteriors of each modality, a random subset of them present. Windows are put together by label,
so the modalities are independent given the emotion, and Bayes' rule is the best there can be: a strategy above the pool
would have learned how the windows were put together. What is compared is how near each comes, how well its
probabilities are calibrated without more, and how large it is. Left out: strategies that read the past of a session,
which these windows do not have.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.data.fusion.rows import FusionRows
from models.fusion.strategies.interface import FusionConfig, ModalitySteps
from models.fusion.strategies.registry import STRATEGIES
from models.labels import EMOTIONS, MODALITIES
from models.metrics.classification import classification_figures
from models.training.fusion.pool import ByModality, FoldWindows, fold_windows
from models.training.fusion.synthetic_windows import SyntheticWindows
from models.training.fusion.train import FusionTraining, train_fusion

_CONFIG = FusionConfig(widths=dict.fromkeys(MODALITIES, len(EMOTIONS)), outputs={"emotion": len(EMOTIONS)}, hidden=32)
_TRAINING = FusionTraining(epochs=15, batch_rows=128, learning_rate=3e-3)
_FOLDS = (0, 1)
_WINDOWS = 5_000  # trained on, of each fold: more of them changes the order no further
_POOL = "log_linear_pool"
_FIGURES = ("accuracy", "weighted_f1", "nll", "ece")


def compare_strategies(held_out: ByModality, seed: int = 0) -> dict[str, Any]:
    """Parameters and figures by strategy, the shipped pool among them.

    Figures are means over the folds.
    """
    names = [_POOL, *(name for name, strategy in STRATEGIES.items() if not strategy.reads_session)]
    of_folds: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for fold in _FOLDS:
        windows = fold_windows(held_out, fold, seed)
        for name in names:
            of_folds[name].append(_of_pool(windows) if name == _POOL else _of_strategy(name, windows, seed))
    return {
        name: {key: float(np.mean([one[key] for one in each])) for key in each[0]} for name, each in of_folds.items()
    }


def _of_pool(windows: FoldWindows) -> dict[str, float]:
    held_out = windows.held_out
    posterior = windows.pool.fuse(held_out.log_posterior, held_out.present.double()).posterior
    return {"parameters": len(windows.pool.weights), **_figures(posterior.numpy(), held_out)}


def _of_strategy(name: str, windows: FoldWindows, seed: int) -> dict[str, float]:
    few = slice(0, _WINDOWS)
    trained = windows.trained
    rows = _rows(SyntheticWindows(trained.labels[few], trained.log_posterior[:, few], trained.present[:, few]))
    net = train_fusion(name, _CONFIG, rows, None, _TRAINING, seed)
    measured = _rows(windows.held_out).inputs
    with torch.inference_mode():
        inputs = {key: ModalitySteps(torch.from_numpy(s), torch.from_numpy(m)) for key, (s, m) in measured.items()}
        posterior = net(inputs).logits["emotion"].double().softmax(dim=-1).numpy()
    parameters = sum(parameter.numel() for parameter in net.parameters())
    return {"parameters": parameters, **_figures(posterior, windows.held_out)}


def _rows(windows: SyntheticWindows) -> FusionRows:
    """Every window a session of its own."""
    each = np.arange(len(windows.labels)).astype(str)
    steps = windows.log_posterior.float().numpy()[:, :, None]
    present = windows.present.numpy()[:, :, None]
    inputs = {name: (steps[i], present[i]) for i, name in enumerate(MODALITIES)}
    return FusionRows(inputs, {"emotion": windows.labels}, each, each)


def _figures(posterior: NDArray[np.float64], windows: SyntheticWindows) -> dict[str, float]:
    figures = classification_figures(posterior, windows.labels, EMOTIONS)
    return {name: figures[name] for name in _FIGURES}
