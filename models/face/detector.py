"""Face detection: CenterFace, an anchor-free detector, by onnxruntime.

CenterFace (Xu et al., 2020) has 1.8 M parameters, is fully convolutional and takes pictures of any size. The published
file fixes its input to 10x3x32x32; the shipped one is the same but for that. Pictures are reduced first, because the
cost grows with the area, and a face needs only about twenty pixels to be detected. Left out: identity.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.face.geometry import Box, Landmarks
from models.trusted_files import CENTERFACE

_STRIDE_PX = 4  # of the heat map
_MULTIPLE_PX = 32  # the deepest feature map's stride
_MOST_CELLS = 2_000  # compared with each other; a face has a dozen
_MOST_FACES = 64  # of a picture: each is encoded, and ten thousand would take half a minute
_NMS_IOU = 0.3


@dataclass(frozen=True, slots=True)
class Detection:
    """One detected face.

    box: in pixels of the whole picture. score: 0..1. landmarks: five (x, y) in the same pixels.

    Landmarks are the eyes, the tip of the nose and the corners of the mouth, from the picture's left to its right.
    quarter_turns: counterclockwise, that set the face upright.
    """

    box: Box
    score: float
    landmarks: Landmarks
    quarter_turns: int = 0


@dataclass(frozen=True, slots=True)
class DetectorConfig:
    """Configuration of the face detector.

    longest_side_px: pictures are reduced to it, never enlarged. threads: of onnxruntime, within one picture.

    The defaults find 98 % of FER+ faces of 210 pixels on pictures of 640x480, at 0.25 of the cost of full size.
    """

    longest_side_px: int = 320
    min_score: float = 0.3
    threads: int = 1


class FaceDetector:
    """Detects faces in one picture at a time. Stateless; threads may share."""

    def __init__(self, config: DetectorConfig | None = None) -> None:
        self.config = config or DetectorConfig()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.config.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # the file lists its weights as inputs, which is warned about line by line
        self._session = onnxruntime.InferenceSession(CENTERFACE.read(), options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def detect(self, picture: NDArray[np.uint8]) -> list[Detection]:
        """Detects the faces of a picture, best score first.

        picture: (height, width, 3) uint8 BGR. Raises ValueError for other shapes.
        """
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or 0 in picture.shape:
            raise ValueError(f"a picture is (height, width, 3) uint8, not {picture.shape} {picture.dtype}")
        height, width = picture.shape[:2]
        scale = min(1.0, self.config.longest_side_px / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        reduced = picture if scale == 1.0 else cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        right, bottom = -size[0] % _MULTIPLE_PX, -size[1] % _MULTIPLE_PX
        padded = cv2.copyMakeBorder(reduced, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=(0, 0, 0))
        blob = cv2.dnn.blobFromImage(padded, swapRB=True)
        heat, log_size, offset, landmarks = self._session.run(None, {self._input: blob})
        boxes, scores, points = _decode(heat[0, 0], log_size[0], offset[0], landmarks[0], self.config.min_score)
        enlarge = np.array([width / size[0], height / size[1]], np.float32)
        corners = np.clip(boxes.reshape(-1, 2, 2) * enlarge, 0, np.array([width, height], np.float32))
        marks = points * enlarge
        return [
            _detection(corners[i], scores[i], marks[i])
            for i in _strongest(boxes, scores, self.config.min_score)
            if (corners[i, 1] - corners[i, 0] >= 1).all()
        ]


def _detection(corners: NDArray[np.float32], score: np.float32, marks: NDArray[np.float32]) -> Detection:
    (left, top), (right, bottom) = corners.tolist()
    return Detection((left, top, right, bottom), float(score), tuple((x, y) for x, y in marks.tolist()))


def _strongest(boxes: NDArray[np.float32], scores: NDArray[np.float32], min_score: float) -> list[int]:
    """Non-maximum suppression: rows of the boxes kept, best first."""
    corner_and_size = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    best = np.argsort(-scores, kind="stable")[:_MOST_CELLS]
    indices = cv2.dnn.NMSBoxes(corner_and_size[best].tolist(), scores[best].tolist(), min_score, _NMS_IOU)
    return [int(best[row]) for row in indices[:_MOST_FACES]]


def _decode(
    heat: NDArray[np.float32],
    log_size: NDArray[np.float32],
    offset: NDArray[np.float32],
    landmarks: NDArray[np.float32],
    min_score: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Decodes boxes (n, 4), scores (n,) and landmarks (n, 5, 2).

    All are in pixels of the network's input. heat: (rows, columns); log_size and offset: (2, rows, columns), vertical
    first; landmarks: (10, rows, columns), vertical before horizontal, as fractions of the box from its corner.
    """
    row, column = np.nonzero(heat > min_score)
    size = np.exp(log_size[:, row, column]) * _STRIDE_PX
    centre = (np.stack([row, column]) + offset[:, row, column] + 0.5) * _STRIDE_PX
    corner = centre - size / 2
    boxes = np.concatenate([corner[::-1], (corner + size)[::-1]]).T
    marks = landmarks[:, row, column].reshape(5, 2, -1) * size + corner
    return boxes.astype(np.float32), heat[row, column], marks[:, ::-1].transpose(2, 0, 1)
