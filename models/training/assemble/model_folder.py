"""Assembles a model folder of trained parts.

Parts are read from their folders (`models.training.part.folder`). Of text, fusion is fitted to GoEmotions: its lines
are short, many, and of all labels. DATA holds the corpora, of which only label frequencies and lines are read.
Left out: training, which is each part's own.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from models.artifact import Manifest, Presence, write_model_folder
from models.components import COMPONENTS
from models.data.corpora.text import CORPORA, read_corpus
from models.labels import EMOTIONS, RISKS
from models.text.component import build_text_encoder
from models.text.encoder import TextEncoder
from models.training.assemble.card import model_card
from models.training.assemble.provenance import DATA, LICENCES
from models.training.calibration.corpus_calibration import cross_validated_figures, fit_corpus
from models.training.calibration.corpus_posteriors import corpus_posteriors
from models.training.calibration.prediction_sets import fit_sets
from models.training.calibration.risk_levels import fit_risk
from models.training.calibration.scaling import Floats
from models.training.calibration.trust import fit_trust, trusted
from models.training.face.corrupted_logits import MEASURED
from models.training.fusion.corruption import (
    changed_voices,
    corrupted_faces,
    measure_corruption,
    misspelt_lines,
)
from models.training.fusion.pool import fit_fusion
from models.training.fusion.strategy_comparison import compare_strategies
from models.training.part.folder import PartFolder
from models.training.part.held_out import HeldOutLogits

NAME = "affectd-trimodal"
VERSION = "1.0.0"

FEATURES = {
    "video": "grey crop of 48x48 pixels of one face, brought to zero mean and unit deviation, and its mirror image",
    "audio": "two seconds of 16 kHz mono sound, a pair beginning every second: levelled log-mel frames, through the "
    "first four layers of Whisper base; mean and spread over a window's voiced frames of what layers 2, 3 and 4 say",
    "text": "token ids of one line, and of the lines before it where they are given: word pieces of English, unigram "
    "pieces of other languages",
}
_PRESENCE = {"video": Presence(), "audio": Presence(least_amount=0.25), "text": Presence()}
_FUSED_LINES = "goemotions"
_ORDINARY = ("goemotions", "meld", "smp2020")


def assemble(runs: Path, data: Path, out: Path) -> Manifest:
    """Calibrates and fuses the trained parts, and writes the model folder `out`.

    runs: holds a `PartFolder` for each part.

    Raises FileNotFoundError, ValueError or ModelError naming what is missing or wrong.

    runs: holds a `PartFolder` for each part.
    """
    folders = {part.name: PartFolder.under(runs, part.name) for part in COMPONENTS.values()}
    clean = {modality: folders[part.name].read_held_out() for modality, part in COMPONENTS.items()}
    corrupted = HeldOutLogits.load(folders["face"].corrupted)
    parts = {name: folder.read_weights() for name, folder in folders.items()}
    figures = {name: folder.read_metrics() for name, folder in folders.items()}
    text = build_text_encoder(parts["text"][0], torch.device("cpu"))
    reliability = {
        "video": fit_trust(corrupted.rows(~np.isin(corrupted.condition, MEASURED))),
        "audio": fit_trust(clean["audio"]),
    }
    held_out = {modality: trusted(logits, reliability.get(modality)) for modality, logits in clean.items()}
    fused = {modality: logits.by_condition() for modality, logits in held_out.items()}
    fused["text"] = fused["text"].rows(held_out["text"].emotion.corpus == _FUSED_LINES)
    fitted = fit_fusion(fused)
    sets, promised = fit_sets(fused)
    noisy = {
        **corrupted_faces(corrupted, reliability["video"]),
        **changed_voices(clean["audio"], reliability["audio"]),
        "text": misspelt_lines(text, read_corpus(_FUSED_LINES, data, "valid")),
    }
    compared = {"noise": measure_corruption(fused, noisy), "strategies": compare_strategies(fused)}
    ordinary = {corpus: _risk_logits(text, corpus, data) for corpus in _ORDINARY}
    rule, levels = fit_risk(held_out["text"].risks, ordinary)
    manifest = Manifest(
        name=NAME,
        version=VERSION,
        features=FEATURES,
        parts={name: sizes for name, (_, sizes) in parts.items()},
        presence=_PRESENCE,
        calibration=fitted.calibration,
        fusion=fitted.pool,
        least_confidence=fitted.least_confidence,
        risk=rule,
        reliability=reliability,
        conformal=sets,
        metrics={
            **figures,
            "fusion": {**fitted.metrics, **compared, "conformal": promised},
            "risk": levels,
            "log_prior": {"ferplus": figures["face"]["log_prior"]},
            "thresholds": {"goemotions": figures["text"]["goemotions"]["thresholds"]},
        },
        data=tuple(asdict(corpus) for corpus in DATA),
        licences=LICENCES,
    )
    measured = _on_each_corpus(manifest, held_out, data)
    tensors = {name: read for name, (read, _) in parts.items()}
    return write_model_folder(out, measured, tensors, model_card(measured))


def _on_each_corpus(manifest: Manifest, held_out: Mapping[str, HeldOutLogits], data: Path) -> Manifest:
    """The manifest with how each corpus is measured, and the figures."""
    known = manifest.metrics["log_prior"]
    priors = {"ferplus/emotion": known["ferplus"][: len(EMOTIONS)], **_text_priors(data)}
    posteriors = corpus_posteriors(manifest, held_out, priors)
    of_emotion = {name.removesuffix("/emotion"): prior for name, prior in priors.items() if name.endswith("/emotion")}
    metrics = {
        "log_prior": of_emotion | known,
        "calibration": {name: fit_corpus(each).model_dump(mode="json") for name, each in posteriors.items()},
        "corpora": {name: cross_validated_figures(each) for name, each in posteriors.items()},
    }
    return manifest.model_copy(update={"metrics": {**manifest.metrics, **metrics}})


def _risk_logits(encoder: TextEncoder, corpus: str, data: Path) -> torch.Tensor:
    lines = [encoder.prepare(sample.text) for sample in read_corpus(corpus, data, "valid")]
    logits: torch.Tensor = encoder.encode(sorted(lines, key=len)).embedding[:, len(EMOTIONS) :]
    return logits


def _text_priors(data: Path) -> dict[str, list[float | None]]:
    """Log frequency of each label in training, by "corpus/task".

    None for a label that is not used.
    """
    priors = {}
    for name in CORPORA:
        samples = read_corpus(name, data, "train")
        if shares := [sample.emotion for sample in samples if sample.emotion is not None]:
            priors[f"{name}/emotion"] = _logs(np.array(shares).mean(axis=0))
        for head, risk in enumerate(RISKS):
            if labels := [label for sample in samples if (label := sample.risk[head]) is not None]:
                has = float(np.mean(labels))
                priors[f"{name}/{risk}"] = _logs(np.array([1 - has, has]))
    return priors


def _logs(frequency: Floats) -> list[float | None]:
    return [round(float(np.log(share)), 4) if share else None for share in frequency]
