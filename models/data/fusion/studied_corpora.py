"""The corpora that fusion is studied on, as study models take them.

`ravdess-au`: every actor's values by the clips of that actor, without a look at labels. `mosi`: its released features,
and beside them its transcripts as vectors of a sentence encoder (`words`), because the released features of text and
picture were made by networks that had seen the training videos' labels (`models.studies.label_leakage`); a file without
transcripts gives rows without words. Left out: bringing values to one scale, which is fitted on training rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.data.fusion.corpora import (
    MOSI_LABELS,
    RAVDESS_LABELS,
    FusionCorpus,
    by_group,
    read_mosi,
    read_ravdess_au,
)
from models.data.fusion.rows import FusionRows
from models.data.fusion.sentence_vectors import sentence_vectors

_WORDS_WIDTH = 1152


@dataclass(frozen=True, slots=True)
class StudyCorpus:
    """Task, labels and inputs of a studied corpus.

    labels: of the task. inputs: by modality as people name them, which inputs of the rows belong to it.
    """

    task: str
    labels: tuple[str, ...]
    inputs: Mapping[str, tuple[str, ...]]

    def without(self, rows: FusionRows, modality: str) -> FusionRows:
        """The rows less a modality.

        Raises ValueError for one that the corpus does not have.
        """
        if modality not in self.inputs:
            raise ValueError(f"there is no {modality} to leave out, only {', '.join(self.inputs)}")
        for name in self.inputs[modality]:
            rows = rows.without(name)
        return rows


STUDIED = {
    "ravdess-au": StudyCorpus("emotion", RAVDESS_LABELS, {"video": ("video",), "audio": ("audio",)}),
    "mosi": StudyCorpus(
        "sentiment", MOSI_LABELS, {"text": ("words", "text"), "audio": ("audio",), "video": ("video",)}
    ),
}
"""By the corpus's name."""


def read_studied(corpus: str, data: Path, split: str) -> FusionCorpus:
    """Reads a studied corpus.

    corpus: of `STUDIED`. split: `all` or `fold0` to `fold4` of ravdess-au, `train` or `test` of mosi.

    Raises ValueError or OSError, naming the file or what there is.
    """
    if corpus == "mosi":
        return with_words(read_mosi(data, split))
    whole = read_ravdess_au(data)
    whole = FusionCorpus(by_group(whole.rows), whole.fold)
    if split == "all":
        return whole
    folds = {f"fold{fold}": fold for fold in np.unique(whole.fold)}
    if split not in folds:
        raise ValueError(f"{corpus} has no split {split!r}; it has all, {', '.join(folds)}")
    chosen = whole.fold == folds[split]
    return FusionCorpus(whole.rows.rows(chosen), whole.fold[chosen])


def with_words(corpus: FusionCorpus) -> FusionCorpus:
    """The corpus with sentence vectors as the input `words`.

    It is (rows, 1, 1152), absent where there are no transcripts.
    """
    there = corpus.words is not None
    shape = (len(corpus.rows), _WORDS_WIDTH)
    vectors = np.zeros(shape, np.float32) if corpus.words is None else sentence_vectors(corpus.words.tolist())
    words = (vectors[:, None], np.full((len(vectors), 1), there))
    return FusionCorpus(corpus.rows.with_inputs({"words": words, **corpus.rows.inputs}), corpus.fold, corpus.words)
