"""Faces of a user's manifest, to train the expression network on.

Every face of a row has the row's emotion. Copies of a face are used once, and never on both sides of a split. FER+'s
contempt is none of a manifest's labels.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.data.corpora.ferplus import Faces
from models.data.user.cleaning import LeftOut, UnusableError, usable, without_copies
from models.data.user.manifest import Sample, check_enough, read_manifest
from models.data.user.media import faces_in
from models.face.crop import Face
from models.face.detector import FaceDetector
from models.face.expressions import EXPRESSIONS
from models.labels import EMOTIONS

_MODALITY = "video"


def read_user_faces(folder: Path) -> tuple[Faces, Faces, LeftOut]:
    """The faces for training, those for validation, and what was left out.

    Raises ManifestError for a manifest that cannot be used, TooFewRowsError for too few faces in it.
    """
    detector = FaceDetector()
    left_out = LeftOut()

    def faces(sample: Sample) -> Sequence[Face]:
        if sample.emotion is None:
            raise UnusableError("no emotion")
        return [] if sample.video is None else faces_in(sample.video, detector)

    shown = [sample for sample in read_manifest(folder) if sample.video is not None]
    unique = without_copies(
        usable(shown, _MODALITY, faces, left_out), lambda face: face.crop.tobytes(), _MODALITY, left_out
    )
    train, valid = ([(s, face) for s, face in unique if s.split == split] for split in ("train", "valid"))
    check_enough(folder, "face", *([sample.emotion or "" for sample, _ in part] for part in (train, valid)))
    return _faces(train), _faces(valid), left_out


def _faces(chosen: Sequence[tuple[Sample, Face]]) -> Faces:
    labels = np.array([EMOTIONS.index(sample.emotion or "") for sample, _ in chosen], np.int64)
    return Faces(
        np.stack([face.crop for _, face in chosen]),
        np.eye(len(EXPRESSIONS), dtype=np.float32)[labels],
        labels,
        np.array([sample.id for sample, _ in chosen]),
        {},
    )
