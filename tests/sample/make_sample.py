"""Makes `daemon/sample`: `python -m tests.sample.make_sample`, with espeak-ng and scikit-image installed.

The picture is the NASA portrait of Eileen Collins that scikit-image carries (public domain), cut out, set into a drawn
room, and moved, scaled, lit, covered and taken away as `tests.sample.script` says. The voice is espeak-ng's. The same
versions of the libraries give the same file.
"""

import io
import json
import subprocess
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import soundfile
import soxr
from skimage import data

from tests.sample.script import CHAT, FACE_COVERED, LENGTH_S, NO_FACE, SCARF, UTTERANCES, Utterance

OUT = Path(__file__).parents[2] / "daemon" / "sample"

_WIDTH, _HEIGHT, _FRAMES_PER_S = 640, 480, 10
_RATE_HZ = 16_000
_AAC_SAMPLES = 1024
_FADE_S = 0.6  # how long coming and going takes
_ROOM_NOISE = 0.0008  # full scale is 1: an ordinary quiet room, about -62 dB

Picture = npt.NDArray[np.float32]


def main() -> None:
    """Writes sample.mp4 and sample.chat.jsonl."""
    OUT.mkdir(parents=True, exist_ok=True)
    _write_media(OUT / "sample.mp4")
    lines = [{"at_s": c.at_s, "text": c.text, "author": c.author, "lang": c.lang} for c in CHAT]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (OUT / "sample.chat.jsonl").write_text(text, encoding="utf-8")


# The picture.


def _person() -> tuple[Picture, Picture]:
    """The portrait, (400, 370, 3) BGR in 0..255, and how much of each pixel is the person, (400, 370, 1) in 0..1."""
    portrait = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR)[:400, :370]  # type: ignore[no-untyped-call]
    guess = np.full(portrait.shape[:2], cv2.GC_PR_BGD, np.uint8)
    cv2.ellipse(guess, (222, 120), (85, 118), 0, 0, 360, cv2.GC_PR_FGD, -1)  # head and hair
    cv2.ellipse(guess, (210, 400), (190, 205), 0, 0, 360, cv2.GC_PR_FGD, -1)  # suit
    cv2.ellipse(guess, (222, 130), (50, 80), 0, 0, 360, cv2.GC_FGD, -1)
    cv2.ellipse(guess, (210, 222), (90, 66), 20, 0, 360, cv2.GC_FGD, -1)  # collar
    cv2.ellipse(guess, (210, 420), (130, 170), 0, 0, 360, cv2.GC_FGD, -1)
    guess[:, :20] = cv2.GC_BGD
    guess[:230, 330:] = cv2.GC_BGD
    cv2.setRNGSeed(1)
    cv2.grabCut(portrait, guess, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), 6, cv2.GC_INIT_WITH_MASK)
    mask = ((guess == cv2.GC_FGD) | (guess == cv2.GC_PR_FGD)).astype(np.float32)
    return portrait.astype(np.float32), cv2.GaussianBlur(mask, (0, 0), 1.5)[..., None]


def _with_scarf(portrait: Picture) -> Picture:
    """The portrait with a knitted scarf from below the nose to the collar."""
    outline = [
        (172, 134),
        (196, 131),
        (222, 136),
        (250, 134),
        (272, 138),
        (276, 176),
        (258, 202),
        (186, 200),
        (172, 176),
    ]
    cloth = np.zeros(portrait.shape[:2], np.float32)
    cv2.fillPoly(cloth, [np.array(outline, np.int32)], 1.0)
    cover = np.asarray(cv2.GaussianBlur(cloth, (0, 0), 1.0), np.float32)[..., None]
    rows = np.arange(portrait.shape[0], dtype=np.float32)[:, None, None]
    columns = np.arange(portrait.shape[1], dtype=np.float32)[None, :, None]
    folds = 1.0 + 0.16 * np.sin((rows + 0.004 * (columns - 222) ** 2) / 2.2)
    shade = 1.0 - 0.35 * ((columns - 222) / 55) ** 2
    wool = np.array([120, 84, 62], np.float32) * folds * np.clip(shade, 0.4, 1.0)
    return np.asarray(portrait * (1 - cover) + wool * cover, np.float32)


def _room() -> Picture:
    """A wall with a window and a shelf, and nobody in it: (480, 640, 3) BGR in 0..255."""
    room = np.empty((_HEIGHT, _WIDTH, 3), np.float32)
    room[:] = np.linspace(205, 165, _HEIGHT, dtype=np.float32)[:, None, None] * np.array([0.86, 0.95, 1.0], np.float32)
    cv2.rectangle(room, (40, 60), (180, 250), (235, 220, 190), -1)
    cv2.rectangle(room, (40, 60), (180, 250), (120, 140, 150), 6)
    cv2.line(room, (110, 60), (110, 250), (120, 140, 150), 4)
    cv2.rectangle(room, (480, 170), (620, 184), (70, 95, 120), -1)
    for left, colour in zip(
        (492, 516, 538, 566), ((90, 60, 50), (60, 110, 70), (60, 70, 140), (110, 100, 60)), strict=True
    ):
        cv2.rectangle(room, (left, 108), (left + 18, 169), colour, -1)
    return np.asarray(cv2.GaussianBlur(room, (0, 0), 1.2), np.float32)


def _frames() -> Iterator[npt.NDArray[np.uint8]]:
    """Every picture of the session, (480, 640, 3) BGR."""
    portrait, mask = _person()
    wrapped = _with_scarf(portrait)
    room, noise = _room(), np.random.default_rng(1)
    grain = noise.normal(0, 1.5, (4, _HEIGHT, _WIDTH, 1)).astype(np.float32)
    for index in range(round(LENGTH_S * _FRAMES_PER_S)):
        at_s = index / _FRAMES_PER_S
        place = _placement(at_s)
        here = np.asarray(cv2.warpAffine(mask, place, (_WIDTH, _HEIGHT)), np.float32)[..., None]
        shown = wrapped if any(start <= at_s < end for start, end in SCARF) else portrait
        person = np.asarray(cv2.warpAffine(shown, place, (_WIDTH, _HEIGHT)), np.float32)
        picture: Picture = np.float32(_light(at_s)) * (room * (1 - here) + person * here)
        if FACE_COVERED[0] <= at_s < FACE_COVERED[1]:
            _cover(picture, place)
        yield np.clip(picture + grain[index % len(grain)], 0, 255).astype(np.uint8)


def _placement(at_s: float) -> npt.NDArray[np.float64]:
    """Where the portrait is: an affine map, (2, 3). It is out of sight during NO_FACE."""
    scale = 1.25 + 0.2 * np.sin(at_s / 5.0) + (0.25 if at_s >= NO_FACE[1] else 0.0)
    turn_degrees = 5.0 * np.sin(at_s / 1.9)
    place = cv2.getRotationMatrix2D((205.0, 200.0), turn_degrees, scale)
    gone = 1.0 if NO_FACE[0] <= at_s < NO_FACE[1] else 0.0
    going = np.clip((at_s - NO_FACE[0] + _FADE_S) / _FADE_S, 0, 1) if at_s < NO_FACE[0] else 0.0
    coming = np.clip(1 - (at_s - NO_FACE[1]) / _FADE_S, 0, 1) if at_s >= NO_FACE[1] else 0.0
    across = 1000.0 * max(gone, float(going), float(coming))
    place[0, 2] += 320.0 - 205.0 + 35.0 * np.sin(at_s / 2.7) + across
    place[1, 2] += 270.0 - 200.0 + 12.0 * np.sin(at_s / 1.3)
    return np.asarray(place, np.float64)


def _light(at_s: float) -> float:
    """How bright it is: a slow change, and a dim spell while nobody speaks."""
    dim = 0.35 * np.exp(-(((at_s - 30.0) / 2.5) ** 2))
    return float(1.0 + 0.1 * np.sin(at_s / 3.3) - dim)


def _cover(picture: Picture, place: npt.NDArray[np.float64]) -> None:
    """A sheet of paper before the face."""
    corners = np.array([[140, 40], [305, 40], [305, 205], [140, 205]], np.float64)
    seen = corners @ place[:, :2].T + place[:, 2]
    cv2.fillConvexPoly(picture, seen.round().astype(np.int32), (232.0, 236.0, 238.0))


# The voice.


def _sound() -> npt.NDArray[np.float32]:
    """The whole sound track, (samples,) at 16 kHz in -1..1."""
    track = np.random.default_rng(2).normal(0, _ROOM_NOISE, round(LENGTH_S * _RATE_HZ)).astype(np.float32)
    free_from = 0
    for utterance in UTTERANCES:
        start, spoken = round(utterance.at_s * _RATE_HZ), _spoken(utterance)
        if start < free_from or start + len(spoken) > len(track):
            raise ValueError(f"no room for {utterance.text!r} ({len(spoken) / _RATE_HZ:.1f} s) at {utterance.at_s} s")
        track[start : start + len(spoken)] += spoken
        free_from = start + len(spoken)
        print(f"{utterance.at_s:6.1f} to {free_from / _RATE_HZ:5.1f} s  {utterance.text}")
    return np.clip(track, -1, 1)


def _spoken(utterance: Utterance) -> npt.NDArray[np.float32]:
    command = ["espeak-ng", "--stdout", "-v", utterance.voice, "-p", str(utterance.pitch)]
    command += ["-s", str(utterance.words_per_minute), "-a", str(utterance.loudness), utterance.text]
    wav = subprocess.run(command, check=True, capture_output=True).stdout
    samples, rate_hz = soundfile.read(io.BytesIO(wav), dtype="float32")
    resampled: npt.NDArray[np.float32] = soxr.resample(samples, rate_hz, _RATE_HZ) * 0.6
    loud = np.flatnonzero(np.abs(resampled) > 10 * _ROOM_NOISE)
    return resampled[loud[0] : loud[-1] + 1]


# The file.


def _write_media(path: Path) -> None:
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=_FRAMES_PER_S)
        video.width, video.height, video.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
        video.options = {"crf": "26", "preset": "slow", "g": str(2 * _FRAMES_PER_S), "threads": "1"}
        audio = container.add_stream("aac", rate=_RATE_HZ, layout="mono")
        audio.bit_rate = 48_000
        for index, picture in enumerate(_frames()):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = index, Fraction(1, _FRAMES_PER_S)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        _write_sound(container, audio)


def _write_sound(container: Any, stream: Any) -> None:
    track = _sound()
    for start in range(0, len(track), _AAC_SAMPLES):
        frame = av.AudioFrame.from_ndarray(track[None, start : start + _AAC_SAMPLES], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = _RATE_HZ, start, Fraction(1, _RATE_HZ)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


if __name__ == "__main__":
    main()
