"""Faces on a session's pictures, in order of time: detected once per cell of event time, followed in between.

The first picture of each cell (`detect_every_s`, cells counted from the epoch) is detected on; the others follow its
boxes by optical flow, unless the flow is lost, the face no longer looks the same, or there is none to follow. Because
cells do not depend on when following began, neither do the boxes, from the first cell on. A picture that comes out of
order is detected on by itself and changes nothing. No face gives an empty list, never a guess.
"""

from dataclasses import dataclass, replace
from typing import Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from models.face.crop import Face, cut_face
from models.face.detector import Detection
from models.face.flow import moved_box
from models.face.geometry import Box
from models.face.tracks import Tracks

_NS_PER_S = 1_000_000_000
_FLOW_SIDE_PX = 320  # pictures are reduced to it for optical flow
_LEAST_LIKENESS = 0.5  # correlation of a followed crop with the one that was detected


class Detects(Protocol):
    """What following needs of a detector."""

    def detect(self, picture: NDArray[np.uint8]) -> list[Detection]:
        """Faces of a (height, width, 3) uint8 BGR picture."""
        ...


@dataclass(frozen=True, slots=True)
class FollowConfig:
    """policy: only the session's largest face, or all. remember_s: how long an unseen face keeps its track."""

    policy: Literal["largest", "all"] = "largest"
    detect_every_s: float = 1.0
    remember_s: float = 2.0

    def __post_init__(self) -> None:
        """Raises ValueError for a cell or a memory of no length."""
        for name in ("detect_every_s", "remember_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"FollowConfig.{name} must be above 0 s (is {getattr(self, name)})")


@dataclass(slots=True)
class _Followed:
    """Everyone being followed, as of the newest picture. detected: each one's crop when it was last detected."""

    time_ns: int
    shape: tuple[int, ...]
    small: NDArray[np.uint8]
    faces: dict[int, Detection]
    detected: dict[int, NDArray[np.uint8]]


class FaceFollower:
    """Follows one session's faces. Owned by the worker thread of its session; no lock. The detector may be shared."""

    def __init__(self, detector: Detects, config: FollowConfig | None = None) -> None:
        self.config = config or FollowConfig()
        self._detector = detector
        self._cell_ns = round(self.config.detect_every_s * _NS_PER_S)
        self._tracks = Tracks(round(self.config.remember_s * _NS_PER_S))
        self._followed: _Followed | None = None

    def faces(self, picture: NDArray[np.uint8], time_ns: int) -> list[Face]:
        """Faces of `picture` ((height, width, 3) uint8 BGR, taken at `time_ns`), those of the policy, by track."""
        grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)
        before = self._followed
        if before is not None and time_ns < before.time_ns:
            return self._of_its_own(picture, grey)
        small, scale = _reduced(grey)
        faces = None
        if before is not None and before.faces and self._same_cell(before.time_ns, time_ns):
            faces = self._follow(before, grey, small, scale, time_ns)
        if faces is None:
            detections = self._detector.detect(picture)
            numbers = self._tracks.see(detections, time_ns)
            faces = [cut_face(grey, d, number) for d, number in zip(detections, numbers, strict=True)]
            found = dict(zip(numbers, detections, strict=True))
            crops = {number: face.crop for number, face in zip(numbers, faces, strict=True)}
            self._followed = _Followed(time_ns, grey.shape, small, found, crops)
        return self._by_policy(faces)

    def _same_cell(self, before_ns: int, time_ns: int) -> bool:
        return before_ns // self._cell_ns == time_ns // self._cell_ns

    def _follow(
        self, before: _Followed, grey: NDArray[np.uint8], small: NDArray[np.uint8], scale: float, time_ns: int
    ) -> list[Face] | None:
        """The faces where the flow took them, or None when any of them is lost."""
        if grey.shape != before.shape:
            return None
        moved: dict[int, Detection] = {}
        faces = []
        for number, detection in before.faces.items():
            box = moved_box(before.small, small, _scaled(detection.box, scale))
            if box is None:
                return None
            # Landmarks are not followed: those of the detection would be wrong, and nothing here reads them.
            moved[number] = replace(detection, box=_scaled(box, 1 / scale), landmarks=())
            face = cut_face(grey, moved[number], number)
            if _likeness(face.crop, before.detected[number]) < _LEAST_LIKENESS:
                return None
            faces.append(face)
        for number, detection in moved.items():
            self._tracks.move(number, detection.box, time_ns)
        self._followed = replace(before, time_ns=time_ns, small=small, faces=moved)
        return faces

    def _of_its_own(self, picture: NDArray[np.uint8], grey: NDArray[np.uint8]) -> list[Face]:
        detections = self._detector.detect(picture)
        numbers = self._tracks.find([detection.box for detection in detections])
        return self._by_policy([cut_face(grey, d, number) for d, number in zip(detections, numbers, strict=True)])

    def _by_policy(self, faces: list[Face]) -> list[Face]:
        if self.config.policy == "all":
            return faces
        if self._tracks.largest is None:  # nobody has been seen in order yet
            return sorted(faces, key=lambda face: -face.size_px)[:1]
        return [face for face in faces if face.track == self._tracks.largest]


def _reduced(grey: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    scale = min(1.0, _FLOW_SIDE_PX / max(grey.shape))
    if scale == 1.0:
        return grey, scale
    size = max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8), scale


def _scaled(box: Box, scale: float) -> Box:
    return box[0] * scale, box[1] * scale, box[2] * scale, box[3] * scale


def _likeness(crop: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float(cv2.matchTemplate(crop, other, cv2.TM_CCOEFF_NORMED)[0, 0])
