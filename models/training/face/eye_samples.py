"""Samples of eyes, made from faces with open eyes.

The rule. On each face the pupils are looked for near the landmarks, eyelids are drawn over them, and the picture is
made worse as cameras and light do: blur, noise, dark, gamma, shade, frames of glasses, landmarks that are off. Some
faces get dark glasses, a hand or hair over their eyes, and some samples are cut elsewhere on the face: there, and under
much blur or noise, no eye can be told. Left out: faces whose eyes are closed to begin with, a few in a hundred, which
are learned as open.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.face.detector import FaceDetector
from models.face.eyes import eye_patches
from models.training.face.eyelids import LidShape, draw_eyelids

_SIDE_PX = 96  # faces are enlarged to it: eyes are 12 pixels high
_ROOM_PX = 128
_LEAST_SCORE = 0.5
_CLOSED = ((0.0, 0.0), (0.0, 0.12), (0.88, 1.05), (0.88, 1.05), (0.88, 1.05), (0.1, 0.9), (0.1, 0.9))
"""Ranges of how far eyes are closed, of the samples of one face that show them."""

Picture = NDArray[np.uint8]
Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class EyeSamples:
    """Samples of eyes.

    patches: (n, 12, 18) float32. openness: (n,) in 0..1. told: (n,), 1 where an eye can be told. face: (n,) which face.
    """

    patches: NDArray[np.float32]
    openness: NDArray[np.float32]
    told: NDArray[np.float32]
    face: NDArray[np.int64]


def make_eye_samples(images: Picture, seed: int, detector: FaceDetector | None = None) -> EyeSamples:
    """Makes samples of the faces that are detected.

    images: (n, 48, 48) uint8. The same seed gives the same samples.
    """
    searched, random = detector or FaceDetector(), np.random.default_rng(seed)
    rows: list[tuple[NDArray[np.float32], float, float, int]] = []
    for number, image in enumerate(images):
        face = np.asarray(cv2.resize(image, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_CUBIC), np.uint8)
        landmarks = _landmarks(searched, face)
        if landmarks is not None:
            rows.extend((*sample, number) for sample in _FaceSamples(face, landmarks, random).samples())
    patches, openness, told, faces = zip(*rows, strict=True)
    return EyeSamples(
        np.stack(patches), np.asarray(openness, np.float32), np.asarray(told, np.float32), np.asarray(faces, np.int64)
    )


def _landmarks(detector: FaceDetector, face: Picture) -> Points | None:
    """The pupils, (2, 2), as the detector finds them."""
    room = np.full((_ROOM_PX, _ROOM_PX), int(face.mean()), np.uint8)
    edge = (_ROOM_PX - _SIDE_PX) // 2
    room[edge : edge + _SIDE_PX, edge : edge + _SIDE_PX] = face
    found = detector.detect(np.asarray(cv2.cvtColor(room, cv2.COLOR_GRAY2BGR), np.uint8))
    if not found or found[0].score < _LEAST_SCORE:
        return None
    return np.asarray(found[0].landmarks[:2], np.float64) - edge


class _FaceSamples:
    """Makes the samples of one face. `landmarks`: (2, 2)."""

    def __init__(self, face: Picture, landmarks: Points, random: np.random.Generator) -> None:
        self._face = face
        self._landmarks = landmarks
        self._random = random
        self._apart_px = float(np.hypot(*(landmarks[1] - landmarks[0])))
        self._pupils = _pupils(face, landmarks, self._apart_px)

    def samples(self) -> Iterator[tuple[NDArray[np.float32], float, float]]:
        """Patches, how open each eye is, and whether it is told."""
        for least, most in _CLOSED:
            closed = self._in(least, most)
            picture = self._with_lids(closed)
            if self._chance(0.3):
                picture = self._with_glasses(picture)
            yield from self._seen(picture, self._landmarks, 1 - min(1.0, closed), hidden=False)
        yield from self._seen(self._covered(), self._landmarks, 1.0, hidden=True)
        yield from self._seen(self._face, self._elsewhere(), 1.0, hidden=True)

    def _seen(
        self, picture: Picture, eyes: Points, openness: float, hidden: bool
    ) -> Iterator[tuple[NDArray[np.float32], float, float]]:
        """The eyes as a camera and a detector show them."""
        taken, blind = self._taken(picture)
        patches = eye_patches(taken, tuple((float(x), float(y)) for x, y in self._misplaced(eyes)))
        for patch in () if patches is None else patches:
            yield patch, openness, float(not (hidden or blind))

    def _with_lids(self, closed: float) -> Picture:
        shape = LidShape(
            half_width=self._in(0.24, 0.36),
            above=self._in(0.08, 0.15),
            below=self._in(0.05, 0.13),
            skin_above=self._in(0.13, 0.2),
            skin_below=self._in(0.13, 0.22),
            lashes=self._in(0.012, 0.05),
            darkness=self._in(0.1, 0.75),
            shade=self._in(0.85, 1.08),
            crease=self._in(0.0, 0.3) if self._chance(0.5) else 0.0,
        )
        first, second = self._pupils + self._random.normal(0, 0.015 * self._apart_px, (2, 2))
        return draw_eyelids(self._face, (tuple(first), tuple(second)), closed, shape)

    def _with_glasses(self, picture: Picture) -> Picture:
        """Frames, some with a reflection."""
        drawn = picture.copy()
        width, height, down = self._px(0.3, 0.42), self._px(0.2, 0.34), self._px(-0.02, 0.1)
        shade = self._in(0, 90) if self._chance(0.8) else self._in(150, 255)
        thickness, rounded = max(1, self._px(0.02, 0.06)), self._chance(0.5)
        for x, y in self._landmarks.astype(int).tolist():
            if rounded:
                cv2.ellipse(drawn, (x, y + down), (width, height), 0, 0, 360, shade, thickness, cv2.LINE_AA)
            else:
                corners = (x - width, y + down - height), (x + width, y + down + height)
                cv2.rectangle(drawn, *corners, shade, thickness, cv2.LINE_AA)
            if self._chance(0.25):
                at = x + self._px(-0.2, 0.2), y + self._px(-0.15, 0.15)
                cv2.ellipse(drawn, at, (1 + self._px(0, 0.08), 1 + self._px(0, 0.05)), 0, 0, 360, 255, -1)
        return drawn

    def _covered(self) -> Picture:
        """Dark glasses, a hand, or hair."""
        covers = self._behind_dark_glasses, self._behind_a_hand, self._behind_hair
        return covers[int(self._random.integers(len(covers)))]()

    def _behind_dark_glasses(self) -> Picture:
        drawn, shade = self._face.copy(), self._in(0, 45)
        width, height, down = self._px(0.36, 0.5), self._px(0.22, 0.36), self._px(0.02, 0.08)
        for x, y in self._landmarks.astype(int).tolist():
            cv2.ellipse(drawn, (x, y + down), (width, height), 0, 0, 360, shade, -1, cv2.LINE_AA)
            if self._chance(0.5):
                ends = (x + self._px(-0.3, 0.3), y - height), (x + self._px(-0.3, 0.3), y + height)
                cv2.line(drawn, *ends, self._in(40, 140), max(1, self._px(0.02, 0.1)), cv2.LINE_AA)
        return np.asarray(cv2.GaussianBlur(drawn, (0, 0), self._in(0.5, 1.5)), np.uint8)

    def _behind_a_hand(self) -> Picture:
        drawn, lines = self._face.copy(), self._landmarks[:, 1]
        top, bottom = max(0, int(lines.min() - 0.45 * self._apart_px)), int(lines.max() + 0.45 * self._apart_px)
        texture = cv2.GaussianBlur(self._random.normal(0, 1, drawn.shape), (0, 0), self._in(1, 6))
        skin = self._in(20, 240) + self._in(1, 25) * texture / texture.std()
        drawn[top:bottom] = np.clip(skin, 0, 255).astype(np.uint8)[top:bottom]
        return drawn

    def _behind_hair(self) -> Picture:
        drawn, line = self._face.copy(), self._landmarks[0, 1]
        for _ in range(int(self._in(25, 60))):
            x, aside = int(self._in(0, _SIDE_PX)), self._px(-0.5, 0.5)
            ends = (x, int(line - 0.8 * self._apart_px)), (x + aside, int(line) + self._px(0.2, 0.6))
            cv2.line(drawn, *ends, self._in(0, 90), int(self._in(1, 4)), cv2.LINE_AA)
        return drawn

    def _elsewhere(self) -> Points:
        """Points away from the eyes."""
        turn, far = self._in(0, 2 * np.pi), self._in(0.45, 1.1) * self._apart_px
        return self._landmarks + far * np.array([np.cos(turn), np.sin(turn)])

    def _taken(self, picture: Picture) -> tuple[Picture, bool]:
        """The picture as a camera takes it.

        And whether nothing can be told.
        """
        blur = self._in(0.02, 0.11) if self._chance(0.35) else 0.0
        soft = cv2.GaussianBlur(picture, (0, 0), blur * self._apart_px) if blur else picture
        light = soft.astype(np.float64)
        if self._chance(0.5):
            light = 255 * (light / 255) ** self._in(0.5, 2)
        light = light * (self._in(0.08, 0.5) if self._chance(0.25) else self._in(0.5, 1.2)) + self._in(-20, 40)
        if self._chance(0.4):
            ramp = np.linspace(-1, 1, _SIDE_PX)
            light = light * (1 + self._in(-0.5, 0.5) * (ramp * self._in(-1, 1) + ramp[:, None] * self._in(-1, 1)))
        lines, noise = self._landmarks[:, 1], self._in(0, 6)
        top, bottom = int(lines.min() - 0.2 * self._apart_px), int(lines.max() + 0.2 * self._apart_px) + 1
        blind = blur > 0.085 or light[max(0, top) : bottom].std() < 1.5 * noise
        return np.clip(light + self._random.normal(0, noise, light.shape), 0, 255).astype(np.uint8), bool(blind)

    def _misplaced(self, eyes: Points) -> Points:
        """The points as a detector may find them."""
        moved = eyes + self._random.normal(0, 0.035 * self._apart_px, 2)
        moved = moved + self._random.normal(0, 0.03 * self._apart_px, (2, 2))
        turn, scale = np.radians(self._random.normal(0, 5)), np.exp(self._random.normal(0, 0.07))
        rotation = scale * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        return np.asarray((moved - moved.mean(axis=0)) @ rotation + moved.mean(axis=0))

    def _in(self, least: float, most: float) -> float:
        return float(self._random.uniform(least, most))

    def _px(self, least: float, most: float) -> int:
        """A length between two, given in distances between the pupils."""
        return round(self._in(least, most) * self._apart_px)

    def _chance(self, share: float) -> bool:
        return bool(self._random.random() < share)


def _pupils(face: Picture, landmarks: Points, apart_px: float) -> Points:
    """The darkest spots of an iris's size near the landmarks, (2, 2)."""
    light = face.astype(np.float32)
    spots = cv2.GaussianBlur(light, (0, 0), 0.05 * apart_px) - cv2.GaussianBlur(light, (0, 0), 0.13 * apart_px)
    across = (landmarks[1] - landmarks[0]) / apart_px
    offsets = [
        (far, down, apart_px * (far * across + down * np.array([-across[1], across[0]])))
        for far in np.arange(-0.1, 0.101, 0.05)
        for down in np.arange(-0.14, 0.101, 0.03)
    ]

    def darkness(eye: Points, far: float, down: float, offset: Points) -> float:
        x, y = np.clip(np.rint(eye + offset).astype(int), 0, _SIDE_PX - 1)
        return float(spots[y, x] + 2 * light.std() * (far**2 + down**2))

    return np.stack([eye + min(offsets, key=lambda each: darkness(eye, *each))[2] for eye in landmarks])
