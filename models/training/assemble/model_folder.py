"""Makes a model folder of trained networks: calibrates and fuses them, merges their weights, writes manifest and card.

RUNS holds a folder per part (`face`, `speech`, `text`), each with the part's weights (`PART.safetensors`), its figures
(`metrics.json`) and the answers it gave to data it was not trained on (`valid_logits.npz`; `oof_logits.npz` for speech,
whose answers are out of fold), and `spoilt_logits.npz` of faces. Of text, fusion is fitted to GoEmotions: its lines are
short, many, and of all labels. DATA holds the corpora, of which only label frequencies and lines are read.
Left out: training, which is each part's own.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray

from models.artifact import Manifest, Presence, write_model_folder
from models.components import COMPONENTS
from models.data.corpora.text import CORPORA, read_corpus
from models.labels import EMOTIONS, RISKS
from models.text.component import build_text_encoder
from models.text.encoder import TextEncoder
from models.training.assemble.card import model_card
from models.training.assemble.provenance import DATA, LICENCES
from models.training.assemble.trained_part import read_part
from models.training.calibration.corpus_calibration import cross_validated_figures, fit_corpus
from models.training.calibration.corpus_posteriors import held_out_corpora
from models.training.calibration.prediction_sets import fit_sets
from models.training.calibration.risk_levels import fit_risk
from models.training.calibration.scaling import Floats
from models.training.calibration.trust import trusted
from models.training.fusion.corruption import (
    measure_spoilt,
    misspelt_lines,
    reliability_of_faces,
    reliability_of_voices,
    spoilt_faces,
    spoilt_voices,
)
from models.training.fusion.pool import Answers, fit_fusion
from models.training.fusion.strategy_comparison import compare_strategies

NAME = "affectd-trimodal"
VERSION = "1.0.0"

FEATURES = {
    "video": "grey crop of 48x48 pixels of one face, brought to zero mean and unit deviation, and its mirror image",
    "audio": "two seconds of 16 kHz mono sound, a pair beginning every second: levelled log-mel frames, through the "
    "first four layers of Whisper base; mean and spread over a window's voiced frames of what layers 2, 3 and 4 say",
    "text": "token ids of one line by a unigram tokenizer for 16 languages; of an English line its word pieces, and "
    "those of the lines before it where they are given",
}
_PRESENCE = {"video": Presence(), "audio": Presence(least_amount=0.25), "text": Presence()}
_FUSED_LINES = "goemotions"
_ORDINARY = ("goemotions", "meld", "smp2020")
_ANSWER_FILES = {"video": "face/valid_logits.npz", "audio": "speech/oof_logits.npz", "text": "text/valid_logits.npz"}

Arrays = dict[str, NDArray[Any]]


def assemble(runs: Path, data: Path, out: Path) -> Manifest:
    """Writes the folder `out`. Raises FileNotFoundError, ValueError or ModelError naming what is missing or wrong."""
    files = {modality: _arrays(runs / name) for modality, name in _ANSWER_FILES.items()}
    parts = {
        part.name: read_part(runs / part.name / f"{part.name}.safetensors", part.name) for part in COMPONENTS.values()
    }
    tensors = {name: read for name, (read, _) in parts.items()}
    text = build_text_encoder(parts["text"][0], torch.device("cpu"))
    spoilt = _arrays(runs / "face" / "spoilt_logits.npz")
    reliability = {"video": reliability_of_faces(spoilt), "audio": reliability_of_voices(files["audio"])}
    plain, files = files, {m: trusted(arrays, reliability.get(m)) for m, arrays in files.items()}
    answers = {modality: _answers(arrays, modality) for modality, arrays in files.items()}
    answers["text"] = answers["text"].rows(np.flatnonzero(answers["text"].corpus == _FUSED_LINES))
    fitted = fit_fusion(answers)
    sets, promised = fit_sets(answers)
    noisy = {
        **spoilt_faces(spoilt, reliability["video"]),
        **spoilt_voices(plain["audio"], reliability["audio"]),
        "text": {"text": misspelt_lines(text, read_corpus(_FUSED_LINES, data, "valid"))},
    }
    compared = {"noise": measure_spoilt(answers, noisy), "strategies": compare_strategies(answers)}
    ordinary = {corpus: _risk_logits(text, corpus, data) for corpus in _ORDINARY}
    rule, levels = fit_risk({name: _risk_answers(files["text"], name) for name in RISKS}, ordinary)
    figures = {name: json.loads((runs / name / "metrics.json").read_text(encoding="utf-8")) for name in parts}
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
    measured = _on_each_corpus(manifest, files, data)
    return write_model_folder(out, measured, tensors, model_card(measured))


def _on_each_corpus(manifest: Manifest, files: Mapping[str, Arrays], data: Path) -> Manifest:
    """The manifest with how each corpus is measured, and the figures."""
    known = manifest.metrics["log_prior"]
    priors = {"ferplus/emotion": known["ferplus"][: len(EMOTIONS)], **_text_priors(data)}
    held = held_out_corpora(manifest, files, priors)
    of_emotion = {name.removesuffix("/emotion"): prior for name, prior in priors.items() if name.endswith("/emotion")}
    found = {
        "log_prior": of_emotion | known,
        "calibration": {name: fit_corpus(asked).model_dump(mode="json") for name, asked in held.items()},
        "corpora": {name: cross_validated_figures(asked) for name, asked in held.items()},
    }
    return manifest.model_copy(update={"metrics": {**manifest.metrics, **found}})


def _arrays(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _answers(arrays: Arrays, modality: str) -> Answers:
    """The rows that show one of the seven emotions (contempt is none of them).

    Sound as it was recorded and changed sound are corpora of their own, so that they weigh alike.
    """
    rows = np.arange(len(arrays["label7"]))
    corpus = arrays.get("corpus", np.full(len(rows), modality))
    if "question" in arrays:
        corpus = np.char.add(corpus, arrays["question"])
    group = arrays.get("speaker", arrays.get("group", rows.astype(str)))
    known = arrays["label7"] >= 0
    return Answers(arrays["logits7"][known], arrays["label7"][known].astype(np.int64), corpus[known], group[known])


def _risk_answers(arrays: Arrays, name: str) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.str_]]:
    of = f"risk_{name}"
    return arrays[f"{of}_logits"], arrays[f"{of}_labels"] > 0.5, arrays[f"{of}_corpus"]


def _risk_logits(encoder: TextEncoder, corpus: str, data: Path) -> torch.Tensor:
    lines = [encoder.prepare(sample.text) for sample in read_corpus(corpus, data, "valid")]
    logits: torch.Tensor = encoder.encode(sorted(lines, key=len)).embedding[:, len(EMOTIONS) :]
    return logits


def _text_priors(data: Path) -> dict[str, list[float | None]]:
    """By "corpus/task", the logarithm of each label's frequency in training; None for a label that is not used."""
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


@click.command()
@click.option("--runs", required=True, type=click.Path(exists=True, path_type=Path), metavar="DIR")
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path), metavar="DIR")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR")
def main(runs: Path, data: Path, out: Path) -> None:
    """Makes a model folder of the trained networks under RUNS."""
    manifest = assemble(runs, data, out)
    click.echo(f"{out}: {manifest.name} {manifest.version}, {manifest.digest()}", err=True)


if __name__ == "__main__":
    main()
