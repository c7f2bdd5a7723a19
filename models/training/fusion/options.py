"""Options of fusion training; optional losses are off without a weight."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class FusionTraining:
    """Everything about training that is not the strategy's, nor the rows'.

    patience: epochs without a better score before stopping. task_weights: what each task's loss counts; learned from
    the tasks' noise (Kendall et al., 2018), equal, or by task. class_power: 1 makes labels weigh the same, 0 rows.
    modality_dropout: probability of each modality to be dropped from a row. device: as torch names it. checkpoints:
    folder from which a run that was killed goes on, told from others by its settings and rows.

    Weights of what is added to the loss: alone, of the modalities' own answers; penalty, of the strategy's penalties;
    alignment, of the adversary that tells modalities apart; generator, of imputation against a discriminator, where
    what stands in for a missing modality is generated. modulation: strength of OGM-GE, which scores modalities by their
    own answers and so needs `alone`; modulation_noise: its second half. contrast_epochs: of contrastive training that
    comes before.
    """

    epochs: int = 30
    patience: int = 8
    batch_rows: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 1e-3
    task_weights: Mapping[str, float] | Literal["equal", "learned"] = "equal"
    class_power: float = 0.0
    modality_dropout: float = 0.0
    alone: float = 0.0
    penalty: float = 0.1
    alignment: float = 0.0
    generator: float = 0.0
    modulation: float = 0.0
    modulation_noise: bool = False
    contrast_epochs: int = 0
    device: str = "cpu"
    checkpoints: Path | None = None

    def __post_init__(self) -> None:
        """Raises ValueError, naming the option, for what cannot be."""
        for name in ("class_power", "alone", "penalty", "alignment", "generator", "modulation", "contrast_epochs"):
            if getattr(self, name) < 0:
                raise ValueError(f"FusionTraining.{name} must be at least 0 (is {getattr(self, name)})")
        if self.batch_rows < 1:
            raise ValueError(f"FusionTraining.batch_rows must be at least 1 (is {self.batch_rows})")
        if not 0 <= self.modality_dropout < 1:
            raise ValueError(f"FusionTraining.modality_dropout must be in [0, 1) (is {self.modality_dropout})")
        if self.modulation and not self.alone:
            raise ValueError("FusionTraining.modulation needs a weight of alone, by which modalities are scored")
