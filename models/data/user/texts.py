"""Lines of a user's manifest, to train the text networks on.

A row's text may have an emotion, risks, or both; what it has no label for is masked. Copies of a line are used once,
and never on both sides of a split. Left out: the lines said before it, which a manifest does not tell.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.data.corpora.text import TextSample
from models.data.user.cleaning import LeftOut, UnusableError, checked_text, usable, without_copies
from models.data.user.manifest import Sample, TooFewRowsError, read_manifest
from models.labels import EMOTIONS, RISKS
from models.text.language import EnglishDetector

ENGLISH, OTHER = "en", "other"
"""Languages of the lines, as far as it matters which network reads them."""

_MODALITY = "text"


def read_user_texts(folder: Path) -> tuple[list[TextSample], list[TextSample], LeftOut]:
    """The lines for training, those for validation, and what was left out.

    Raises ManifestError for a manifest that cannot be used, TooFewRowsError for too few lines in it.
    """
    detector, left_out = EnglishDetector(), LeftOut()

    def lines(sample: Sample) -> Sequence[TextSample]:
        if sample.emotion is None and not sample.risk:
            raise UnusableError("neither emotion nor risk")
        text = checked_text(sample.text)
        return [_line(sample, text, ENGLISH if detector.is_english(text) else OTHER)]

    written = [sample for sample in read_manifest(folder) if sample.text is not None]
    unique = without_copies(
        usable(written, _MODALITY, lines, left_out), lambda line: line.text.casefold().encode(), _MODALITY, left_out
    )
    train, valid = ([line for sample, line in unique if sample.split == split] for split in ("train", "valid"))
    if not learnable(train, valid):
        raise TooFewRowsError(
            f"{folder / 'manifest.csv'}: lines with two emotions in the split train and one in the split valid are "
            "needed, or lines with a risk and without it in both; there are neither "
            f"({len(train)} labelled lines in train, {len(valid)} in valid)"
        )
    return train, valid, left_out


def learnable(train: Sequence[TextSample], valid: Sequence[TextSample]) -> bool:
    """Whether training and validation lines share an emotion or risk to learn.

    Training lines must teach it and validation lines measure it.
    """
    emotion = len(_emotions(train)) > 1 and len(_emotions(valid)) > 0
    return emotion or any(_both(train, head) and _both(valid, head) for head in range(len(RISKS)))


def _line(sample: Sample, text: str, lang: str) -> TextSample:
    shares = None if sample.emotion is None else tuple(float(name == sample.emotion) for name in EMOTIONS)
    distress, self_harm, abuse = (sample.risk.get(name) for name in RISKS)
    return TextSample(sample.id, lang, text, sample.group, shares, (distress, self_harm, abuse))


def _emotions(lines: Sequence[TextSample]) -> set[int]:
    return {int(np.argmax(line.emotion)) for line in lines if line.emotion is not None}


def _both(lines: Sequence[TextSample], head: int) -> bool:
    return len({risk > 0.5 for line in lines if (risk := line.risk[head]) is not None}) == 2
