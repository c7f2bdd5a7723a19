"""Face tracking: detection once per cell, optical flow in between.

A cell begins at every multiple of each of `cells_ns`, counted from the epoch. Faces are detected on the first picture
of a cell. On the others, optical flow moves its boxes. A face is detected again where the flow is lost, where the crop
no longer resembles the detected one, and where there is no face to track. Where eyes are read, faces are detected on
every picture: landmarks are not tracked. Where no face is upright, rotated faces are
detected on the first picture of a cell, and on the picture where tracked faces are lost. A picture older than the
newest of its cell is detected on by itself and changes nothing.

Nothing is carried from one cell to the next. So the faces of a window are the same on any instance, whatever came
before. A picture without a face gives an empty list, never a guess. Left out: identity, which is followed over many
pictures by `models.face.tracks`; under "largest", two people of nearly the same size may alternate from cell to cell.

Beside the faces of the policy, others of the same detection may be asked for, so that people can be told apart. They
change nothing for the first: one of them that the flow loses is left out until faces are detected again.
"""

from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from models.face.crop import Face, cut_face
from models.face.detector import Detection
from models.face.eyes import EyeReader
from models.face.geometry import Box, longest_side
from models.face.head_pitch import head_pitch_degrees
from models.face.optical_flow import moved_box
from models.face.rotated import Detector, RotatedFaceDetector

_FLOW_SIDE_PX = 320  # pictures are reduced to it for optical flow
_LEAST_LIKENESS = 0.5  # correlation of a followed crop with the one that was detected
_OPEN_CELLS = 3  # pictures may come in any order among so many; reduced pictures of 320x180 pixels are 58 kB each


@dataclass(frozen=True, slots=True)
class TrackerConfig:
    """Configuration of face tracking.

    policy: only the largest face of a detection, or all. cells_ns: a cell begins at every multiple of each. most_faces:
    how many, the largest first, are followed where the policy chooses fewer.
    """

    policy: Literal["largest", "all"] = "largest"
    cells_ns: tuple[int, ...] = (1_000_000_000,)
    most_faces: int = 0

    def __post_init__(self) -> None:
        """Raises ValueError for a cell of no length."""
        if min(self.cells_ns) <= 0:
            raise ValueError(f"FollowConfig.cells_ns must be above 0 ns (is {self.cells_ns})")


@dataclass(frozen=True, slots=True)
class FacesSeen:
    """The faces of one picture: those that the policy chooses, and others."""

    chosen: list[Face]
    others: list[Face]


@dataclass(frozen=True, slots=True)
class _Followed:
    """One face of a cell's newest picture.

    detected: its crop on the picture that was last detected on.
    """

    detection: Detection
    face: Face
    detected: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class _Seen:
    """A cell's newest picture and the faces on it."""

    time_ns: int
    shape: tuple[int, ...]
    small: NDArray[np.uint8]
    chosen: list[_Followed]
    others: list[_Followed]

    @property
    def faces(self) -> FacesSeen:
        return FacesSeen([each.face for each in self.chosen], [each.face for each in self.others])


class FaceTracker:
    """Tracks one session's faces.

    Owned by the worker thread of its session; no lock. The detector may be shared.
    """

    def __init__(
        self,
        detector: Detector,
        config: TrackerConfig | None = None,
        turned: RotatedFaceDetector | None = None,
        eyes: EyeReader | None = None,
    ) -> None:
        """Without `turned`, only upright faces are detected.

        Without `eyes`, no eyes are read.
        """
        self.config = config or TrackerConfig()
        self._detector = detector
        self._turned = turned
        self._eyes = eyes
        self._cells: OrderedDict[tuple[int, ...], _Seen] = OrderedDict()

    def faces(self, picture: NDArray[np.uint8], time_ns: int) -> list[Face]:
        """The faces of a picture, as the policy chooses.

        picture: (height, width, 3) uint8 BGR, taken at `time_ns`.
        """
        return self._see(picture, time_ns, 0).chosen

    def all_faces(self, picture: NDArray[np.uint8], time_ns: int) -> FacesSeen:
        """The faces of a picture, as the policy chooses, and others."""
        return self._see(picture, time_ns, self.config.most_faces)

    def _see(self, picture: NDArray[np.uint8], time_ns: int, most: int) -> FacesSeen:
        grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)
        cell = tuple(time_ns // length_ns for length_ns in self.config.cells_ns)
        before = self._cells.get(cell)
        if before is not None and time_ns < before.time_ns:
            return self._detected(picture, grey, time_ns, True, most).faces
        now = _followed(before, grey, time_ns) if before is not None and self._eyes is None else None
        if now is None:
            now = self._detected(picture, grey, time_ns, before is None or bool(before.chosen), most)
        self._cells[cell] = now
        self._cells.move_to_end(cell)
        if len(self._cells) > _OPEN_CELLS:
            self._cells.popitem(last=False)
        return now.faces

    def _detected(
        self, picture: NDArray[np.uint8], grey: NDArray[np.uint8], time_ns: int, search: bool, most: int
    ) -> _Seen:
        """Detects faces.

        search: also rotated ones where none is upright. most: of all that are chosen, and others.
        """
        detections = self._detector.detect(picture)
        if self._turned is not None:
            if detections:
                detections = self._turned.set_upright(picture, detections)
            elif search:
                detections = self._turned.search(picture)
        ranked = sorted(detections, key=lambda detection: -longest_side(detection.box))
        chosen = ranked[:1] if self.config.policy == "largest" else detections
        others = ranked[len(chosen) : most]
        return _Seen(
            time_ns,
            grey.shape,
            _reduced(grey),
            [_begun(detection, self._face(grey, detection)) for detection in chosen],
            [_begun(detection, cut_face(grey, detection)) for detection in others],
        )

    def _face(self, grey: NDArray[np.uint8], detection: Detection) -> Face:
        face = cut_face(grey, detection)
        if self._eyes is None:
            return face
        openness, pitch = self._eyes.openness(grey, detection.landmarks), head_pitch_degrees(detection.landmarks)
        return replace(face, eyes_open=openness, pitch_degrees=pitch)


def _begun(detection: Detection, face: Face) -> _Followed:
    return _Followed(detection, face, face.crop)


def _followed(before: _Seen, grey: NDArray[np.uint8], time_ns: int) -> _Seen | None:
    """The faces moved by optical flow; None if one is lost.

    Others than the chosen ones may be lost.
    """
    if not before.chosen or grey.shape != before.shape:
        return None
    small = _reduced(grey)
    chosen = []
    for each in before.chosen:
        moved = _moved(each, before.small, small, grey)
        if moved is None:
            return None
        chosen.append(moved)
    others = [moved for each in before.others if (moved := _moved(each, before.small, small, grey)) is not None]
    return replace(before, time_ns=time_ns, small=small, chosen=chosen, others=others)


def _moved(
    followed: _Followed, before: NDArray[np.uint8], after: NDArray[np.uint8], grey: NDArray[np.uint8]
) -> _Followed | None:
    """A face on the next picture, `grey`; None if lost.

    before, after: the pictures, reduced alike.
    """
    scale = max(after.shape) / max(grey.shape)
    box = moved_box(before, after, _scaled(followed.detection.box, scale))
    if box is None:
        return None
    # Landmarks are not followed: those of the detection would be wrong, and nothing here reads them.
    detection = replace(followed.detection, box=_scaled(box, 1 / scale), landmarks=())
    face = cut_face(grey, detection)
    if _likeness(face.crop, followed.detected) < _LEAST_LIKENESS:
        return None
    return replace(followed, detection=detection, face=face)


def _reduced(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    scale = _FLOW_SIDE_PX / max(grey.shape)
    if scale >= 1:
        return grey
    size = max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)


def _scaled(box: Box, scale: float) -> Box:
    return box[0] * scale, box[1] * scale, box[2] * scale, box[3] * scale


def _likeness(crop: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float(cv2.matchTemplate(crop, other, cv2.TM_CCOEFF_NORMED)[0, 0])
