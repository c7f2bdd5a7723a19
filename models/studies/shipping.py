"""Writes the study models that are shipped, with a card each.

They are folders of `models.evaluation.study_model`.

CMU-MOSI: five seeds, each trained on all training videos. RAVDESS: for each fold of actors some seeds trained on the
other four, so that all clips can be answered by fusions that never saw their actor. Left out: choosing the strategies
and the temperatures, which come from `models.studies.reproduce`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.data.fusion.rows import FusionRows
from models.data.fusion.studied_corpora import STUDIED
from models.evaluation.study_model import StudyManifest, StudyMember, StudyModel, write_study
from models.studies.train import STUDY_TRAININGS, train_member

RAVDESS_SEEDS = 3
MOSI_SEEDS = 5

_VERSION = "1.0.0"
_ABOUT = {
    "ravdess-au": {
        "what": "Tells eight acted emotions of RAVDESS's clips from what a face and a speech network said of them and "
        "from the face's action units. It holds fusions for each fold of actors, and answers a clip by those that "
        "never saw its actor; values are brought to one scale actor by actor, labels unseen.",
        "data": "RAVDESS (Livingstone and Russo, 2018), CC BY-NC-SA 4.0; outputs and action units by Luna-Jiménez et "
        "al. (2022), MIT.",
        "limits": "Two sentences spoken by 24 actors of North America, emotions acted on request, every emotion as "
        "often as any other for each actor. Nobody else was measured.",
    },
    "mosi": {
        "what": "Tells positive from negative utterances of CMU-MOSI's films of opinion from the features that were "
        "released with bc-LSTM and from the transcripts, read by all-MiniLM-L6-v2. It is the mean of fusions from "
        "several seeds. The released features of text and picture saw the training labels, and are blurred in training "
        "until they tell as much as is published for new videos.",
        "data": "CMU-MOSI (Zadeh et al., 2016), features by Poria et al. (2017); licence not verified. "
        "all-MiniLM-L6-v2 (Apache-2.0) is read from its package.",
        "limits": "Reviews in English by 62 people in front of a camera; what a video is worth on other videos was "
        "estimated by folds of whole videos, as model.json says.",
    },
}

OnProgress = Callable[[str], None]


def ship_ravdess(
    out: Path,
    rows: FusionRows,
    fold: NDArray[np.int64],
    strategies: Mapping[int, str],
    temperatures: Mapping[int, float],
    metrics: Mapping[str, Any],
    on_progress: OnProgress,
) -> StudyModel:
    """Trains and writes the study model of RAVDESS.

    strategies, temperatures: by fold held out. metrics: go into `model.json`. Writes the folder `out`.
    """
    members: list[StudyMember] = []
    for held_out, strategy in strategies.items():
        for seed in range(RAVDESS_SEEDS):
            on_progress(f"ravdess-au: to ship, fold {held_out}, seed {seed}")
            trained = train_member(STUDY_TRAININGS["ravdess-au"], strategy, rows.rows(fold != held_out), seed, held_out)
            members.append(replace(trained, temperature=temperatures[held_out]))
    return _written(out, "ravdess-au", members, metrics)


def ship_mosi(
    out: Path, rows: FusionRows, strategy: str, temperature: float, metrics: Mapping[str, Any], on_progress: OnProgress
) -> StudyModel:
    """rows: all training videos. metrics: go into `model.json`. Writes the folder `out`."""
    members: list[StudyMember] = []
    for seed in range(MOSI_SEEDS):
        on_progress(f"mosi: to ship, seed {seed}")
        trained = train_member(STUDY_TRAININGS["mosi"], strategy, rows, seed)
        members.append(replace(trained, temperature=temperature))
    return _written(out, "mosi", members, metrics)


def _written(out: Path, corpus: str, members: Sequence[StudyMember], metrics: Mapping[str, Any]) -> StudyModel:
    about, studied = _ABOUT[corpus], STUDIED[corpus]
    manifest = StudyManifest(
        name=f"affectd-study-{corpus}",
        version=_VERSION,
        corpus=corpus,
        task=studied.task,
        labels=studied.labels,
        metrics=metrics,
        data=({"corpus": corpus, "used": "training and cross-validation"},),
        licences=about["data"],
    )
    return write_study(out, manifest, members, _card(manifest, members, about))


def _card(manifest: StudyManifest, members: Sequence[StudyMember], about: Mapping[str, str]) -> str:
    strategies = ", ".join(sorted({member.strategy for member in members}))
    numbers = " or ".join(map(str, sorted({member.parameters for member in members})))
    figures = "\n".join(f"| {name} | {value} |" for name, value in manifest.metrics.get("card", {}).items())
    return f"""# {manifest.name} {manifest.version}

{about["what"]}

Fusions: {len(members)} ({strategies}), {numbers} numbers each, stored as halves.

## Figures
| measured | accuracy |
|---|---|
{figures}

`make reproduce` measures them again, says how, and writes this folder.

## Data and licences
{about["data"]}

## Uses
Measuring ways of fusing, by `affectd evaluate --corpus {manifest.corpus}`. The service does not use it, and
it is not for decisions about people.

## Limits
{about["limits"]}
"""
