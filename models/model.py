"""A loaded model: encoders, and batched fusion inference over windows.

The rule. A window is scored from whatever modalities are present. Absent is not neutral: a window with nothing present
is abstained from, its probabilities flat and its label None. A window whose best label is not probable enough is
abstained from too, but keeps its probabilities. Every probability is for labels equally likely beforehand. Left out:
preparing events (the encoders' work), windows and sessions (the caller's).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from torch.nn.utils.rnn import pad_sequence

from models.artifact import SHIPPED, Manifest, ModelFolder, read_model_folder
from models.components import build_encoders
from models.device import choose_device
from models.encoder import Encoded, Encoder, Pooler
from models.explanation.shapley import coalitions, shapley_values
from models.fusion.pool import Fused
from models.labels import EMOTIONS, MODALITIES, RISKS
from models.scores import NO_RISK, Abstention, ModalityScores, RiskScores, Scores
from models.valence_arousal import valence_arousal


@dataclass(frozen=True, slots=True, eq=False)
class WindowFeatures:
    """The encoded events of one window, by modality.

    Modalities are "video", "audio" and "text"; one may be missing, or have no rows, where there are no events.
    """

    events: Mapping[str, Encoded]


class AffectModel:
    """A model that encodes events and scores windows.

    Owned by the device thread, apart from the attributes below and each encoder's `prepare`; no lock. encoders: by
    modality, those that the model has. digest: "sha256:..." of all that changes a score. set_coverage: how often a
    window's set is to hold the right label, one of `coverages`; 0 for no sets.
    """

    def __init__(self, manifest: Manifest, encoders: Mapping[str, Encoder], device: torch.device) -> None:
        self.manifest = manifest
        self.name = manifest.name
        self.version = manifest.version
        self.digest = manifest.digest()
        self.device = device
        self.encoders = dict(encoders)
        self.poolers: Mapping[str, Pooler] = self.encoders
        self.set_coverage = 0.0

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto", threads: int = 0) -> Self:
        """Loads a model folder, or the shipped one by the name "default".

        device: "auto" (the GPU where there is one), "cpu" or "cuda". threads: of the CPU for one device call, 0 leaves
        it to torch. Raises models.artifact.ModelError naming the file, or DeviceUnavailableError.
        """
        chosen = choose_device(device)
        if threads > 0:
            torch.set_num_threads(threads)
        contents = read_model_folder(SHIPPED if str(folder) == "default" else Path(folder))
        return cls.from_folder(contents, chosen)

    @classmethod
    def from_folder(cls, folder: ModelFolder, device: torch.device) -> Self:
        """Builds the encoders of a folder already read. Raises ModelError."""
        return cls(folder.manifest, build_encoders(folder, device), device)

    @property
    def coverages(self) -> tuple[float, ...]:
        """The coverages that prediction sets can have; empty without sets."""
        return () if self.manifest.conformal is None else self.manifest.conformal.coverages

    @torch.inference_mode()
    def fuse(self, windows: Sequence[WindowFeatures]) -> list[Scores]:
        """Scores windows, in their order, each independent of the others."""
        if not windows:
            return []
        modalities = [self._modality(name, windows) for name in MODALITIES]
        log_posterior = torch.stack([modality.log_posterior for modality in modalities])
        fused, contribution = self._fused(log_posterior, torch.stack([modality.amount for modality in modalities]))
        words = torch.stack([modality.words for modality in modalities]).amax(dim=0)
        risks = self.manifest.risk.score(words, fused.posterior, fused.evidence)
        present = torch.stack([modality.amount > 0 for modality in modalities])
        return self._scores(fused.posterior, contribution, log_posterior.exp(), present, risks)

    def warm_up(self, rows: int) -> None:
        """Runs every encoder and the fusion once per batch size.

        The sizes are one row and `rows`, so that no later call is a first.
        """
        for batch in sorted({1, max(1, rows)}):
            self.score_examples(batch)

    def score_examples(self, rows: int = 1) -> list[Scores]:
        """Encodes and scores `rows` windows of example events."""
        encoded = {name: encoder.encode([encoder.example()] * rows) for name, encoder in self.encoders.items()}
        return self.fuse([WindowFeatures(encoded)] * rows)

    def _fused(self, log_posterior: torch.Tensor, amount: torch.Tensor) -> tuple[Fused, torch.Tensor]:
        """Fuses the modalities, and gives each one's Shapley value.

        log_posterior: (3, windows, 7). amount: (3, windows). The values are (3, windows); all coalitions are fused in
        one call.
        """
        members = coalitions(len(MODALITIES)).T.to(self.device)  # (3, sets), the last set is all of them
        sets, windows = members.shape[1], log_posterior.shape[1]
        fused = self.manifest.fusion.fuse(
            log_posterior.repeat(1, sets, 1), (members[:, :, None] * amount[:, None]).flatten(1)
        )
        posterior = fused.posterior.view(sets, windows, -1)
        best = posterior[-1].argmax(dim=-1)
        values = posterior.gather(-1, best.expand(sets, -1)[..., None])[..., 0]
        return Fused(posterior[-1], fused.evidence[:, -windows:]), shapley_values(values)

    def _modality(self, name: str, windows: Sequence[WindowFeatures]) -> "_ModalityPosterior":
        """Pools and calibrates one modality of all windows, in one call.

        Nothing runs where no window has it.
        """
        pooler = self.poolers.get(name)
        events = [window.events.get(name) for window in windows]
        if pooler is None or not any(event is not None and len(event.weight) for event in events):
            return _ModalityPosterior.none(len(windows), self.device)
        empty = Encoded(torch.zeros(0, pooler.width), torch.zeros(0))
        padded = [event if event is not None else empty for event in events]
        weight = pad_sequence([event.weight for event in padded], batch_first=True)
        embedding = pad_sequence([event.embedding for event in padded], batch_first=True)
        pooled = pooler.pool(embedding.to(self.device), weight.to(self.device))
        total = weight.double().sum(dim=1)
        least = self.manifest.presence[name].least_amount
        amount = torch.where(total >= least, total, 0.0).to(self.device)
        log_posterior = self.manifest.calibration[name].log_posterior(pooled.emotion)
        words = torch.zeros(len(windows), len(RISKS), dtype=torch.float64, device=self.device)
        if pooled.risk is not None:
            words = torch.where(amount[:, None] > 0, self.manifest.risk.categories(pooled.risk), words)
        return _ModalityPosterior(amount, log_posterior, words)

    def _scores(
        self,
        posterior: torch.Tensor,
        contribution: torch.Tensor,
        alone: torch.Tensor,
        present: torch.Tensor,
        risks: Sequence[RiskScores],
    ) -> list[Scores]:
        """The scores of each window.

        contribution, present: (3, windows). alone: (3, windows, 7), each modality's own probabilities.
        """
        entropy = torch.special.entr(posterior).sum(dim=-1).tolist()
        affect = valence_arousal(posterior).tolist()
        rows, labels, added = posterior.tolist(), posterior.argmax(dim=-1).tolist(), contribution.tolist()
        is_present, unimodal, sets = present.tolist(), alone.tolist(), self._sets(posterior, present)
        scores = []
        for i, row in enumerate(rows):
            modality = {
                name: ModalityScores(is_present[m][i], added[m][i], tuple(unimodal[m][i]) if is_present[m][i] else None)
                for m, name in enumerate(MODALITIES)
            }
            abstained = self._abstained(any(scored.present for scored in modality.values()), max(row))
            label = None if abstained else EMOTIONS[labels[i]]
            risk = NO_RISK if abstained is Abstention.NO_EVIDENCE else risks[i]
            valence, arousal = affect[i]
            scores.append(Scores(tuple(row), label, valence, arousal, entropy[i], modality, risk, abstained, sets[i]))
        return scores

    def _sets(self, posterior: torch.Tensor, present: torch.Tensor) -> list[tuple[str, ...] | None]:
        """The prediction set of each window.

        posterior: (windows, 7). present: (3, windows) bool.
        """
        if self.manifest.conformal is None or not self.set_coverage:
            return [None] * len(posterior)
        sets = self.manifest.conformal.labels(posterior, present, self.set_coverage)
        return [labels if some else None for labels, some in zip(sets, present.any(dim=0).tolist(), strict=True)]

    def _abstained(self, any_present: bool, confidence: float) -> Abstention | None:
        if not any_present:
            return Abstention.NO_EVIDENCE
        return Abstention.LOW_CONFIDENCE if confidence < self.manifest.least_confidence else None


@dataclass(frozen=True, slots=True, eq=False)
class _ModalityPosterior:
    """One modality of all windows.

    amount: (windows,), 0 where absent. log_posterior: (windows, 7). words: (windows, 3).
    """

    amount: torch.Tensor
    log_posterior: torch.Tensor
    words: torch.Tensor

    @classmethod
    def none(cls, windows: int, device: torch.device) -> Self:
        logits = torch.zeros(windows, len(EMOTIONS), dtype=torch.float64, device=device)
        return cls(logits[:, 0], logits.log_softmax(dim=-1), logits[:, : len(RISKS)])
