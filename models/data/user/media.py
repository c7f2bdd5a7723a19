"""Faces and sound of a user's files.

Training and measurement read them alike.

A picture of exactly 48x48 pixels is a face already cut out; in any other picture, the face that the daemon's own
detector is surest of is cut out. A film gives such a face for every second, up to eight. Sound is brought to 16 kHz
mono; a film's is its first sound track. Left out: several people in one picture, who cannot share one label.
"""

from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from models.data.user.cleaning import UnusableError, checked_sound
from models.data.user.manifest import PICTURES
from models.face.crop import Face, cut_face, given_face
from models.face.detector import FaceDetector
from models.face.network import CROP_PX
from models.speech.whisper import SAMPLE_RATE_HZ

_MOST_FACES = 8  # of one film
_LEAST_FACE_PX = 24

Picture = NDArray[np.uint8]


def faces_in(path: Path, detector: FaceDetector) -> list[Face]:
    """The faces of a picture or film, at least one. Raises UnusableError."""
    if path.suffix.lower() in PICTURES:
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            raise UnusableError("not a picture that can be read")
        pictures: Iterator[Picture] = iter([np.asarray(picture, np.uint8)])
    else:
        pictures = _pictures_of_film(path)
    faces = [face for picture in pictures if (face := _face(picture, detector)) is not None]
    if not faces:
        raise UnusableError("no face found")
    if max(face.size_px for face in faces) < _LEAST_FACE_PX:
        raise UnusableError(f"a face of less than {_LEAST_FACE_PX} pixels")
    return [face for face in faces if face.size_px >= _LEAST_FACE_PX]


def sound_of(path: Path) -> NDArray[np.float32]:
    """(samples,) float32 in -1..1 at 16 kHz. Raises UnusableError."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE_HZ)
    parts: list[NDArray[np.float32]] = []
    try:
        with av.open(str(path)) as file:
            if not file.streams.audio:
                raise UnusableError("no sound track")
            for frame in file.decode(audio=0):
                parts += [out.to_ndarray()[0] for out in resampler.resample(frame)]
            parts += [out.to_ndarray()[0] for out in resampler.resample(None)]
    except (FFmpegError, OSError) as wrong:
        raise UnusableError("not sound that can be read") from wrong
    return checked_sound(np.concatenate(parts) if parts else np.zeros(0, np.float32), SAMPLE_RATE_HZ)


def _pictures_of_film(path: Path) -> Iterator[Picture]:
    """One for every second."""
    try:
        with av.open(str(path)) as film:
            if not film.streams.video:
                raise UnusableError("no picture track")
            next_s, given = 0.0, 0
            for frame in film.decode(video=0):
                at_s = frame.time or 0.0
                if at_s >= next_s and given < _MOST_FACES:
                    next_s, given = at_s + 1.0, given + 1
                    yield np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
    except (FFmpegError, OSError) as wrong:
        raise UnusableError("not a film that can be read") from wrong


def _face(picture: Picture, detector: FaceDetector) -> Face | None:
    grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.uint8)
    if grey.shape == (CROP_PX, CROP_PX):
        return given_face(grey)
    detections = detector.detect(picture)
    return cut_face(grey, detections[0]) if detections else None
