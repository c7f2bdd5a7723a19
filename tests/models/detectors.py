"""A face detector that tests can watch."""

import numpy as np
from numpy.typing import NDArray

from models.face.detector import Detection, FaceDetector


class CountingDetector:
    """The real detector, counting its calls."""

    def __init__(self, detector: FaceDetector) -> None:
        self._detector = detector
        self.calls = 0

    def detect(self, picture: NDArray[np.uint8]) -> list[Detection]:
        self.calls += 1
        return self._detector.detect(picture)
