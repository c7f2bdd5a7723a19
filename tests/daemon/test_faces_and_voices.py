"""Two real faces in one picture, one of them speaking: the voice is theirs whose mouth moves with it."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from daemon.config import Config
from daemon.scoring.faces_told import faces_told
from daemon.scoring.inline import InlineScorer
from daemon.scoring.participants import units_of
from daemon.scoring.preparer import build_preparer
from models.data.corpora.ferplus import read_ferplus
from models.data.corpora.speech import read_pcm, read_ravdess
from models.face.detector import FaceDetector
from models.model import AffectModel
from models.speech.whisper import SAMPLE_RATE_HZ
from streams.alignment.closed_window import ClosedWindow
from streams.alignment.driver import AlignmentDriver
from streams.alignment.sessions import Sessions
from streams.alignment.timeline_config import TimelineConfig
from streams.alignment.watermark import WatermarkConfig
from streams.alignment.windows import SegmentGrid, WindowGrid
from streams.clock import NS_PER_S, ManualClock
from streams.decoding.decode import Limits
from streams.delivery.ledger import Ledger
from streams.records import EndOfSession, Modality, OfSession, Record
from streams.telemetry import NullTelemetry
from tests.streams.making import START_NS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

LENGTH_S, WINDOW_S, PICTURES_HZ = 40, 4, 5
FACE_PX, WALL_PX = 192, (240, 640)
Grey = NDArray[np.uint8]
Sound = NDArray[np.float32]


@pytest.fixture(scope="module")
def data() -> Path:
    if not os.environ.get("AFFECTD_DATA"):
        pytest.skip("AFFECTD_DATA is not set")
    return Path(os.environ["AFFECTD_DATA"])


@pytest.fixture(scope="module")
def windows(data: Path) -> dict[str, ClosedWindow]:
    """The last window of a session in which the right face speaks with the first voice; and of each sound alone."""
    faces, voices = two_faces(data), [spoken(data, actor) for actor in ("01", "02")]
    model = AffectModel.load("default", "cpu", 1)
    seen = scored(model, [*pictures(faces, opened(voices[0])), *sounds(voices[0])])
    return {"own": seen, "other": with_sound(seen, scored(model, [*sounds(voices[1])]))}


def voices_of(window: ClosedWindow) -> dict[str, int]:
    """How many segments of sound each face has."""
    view = faces_told(window, 8)
    return {name: len(units_of(view.units, name)[Modality.AUDIO]) for name in ("face-1", "face-2")}


def test_a_voice_is_the_faces_whose_mouth_moves_with_it(windows: dict[str, ClosedWindow]) -> None:
    found = voices_of(windows["own"])
    assert found["face-1"] == 0
    assert found["face-2"] > 0


def test_a_voice_that_no_mouth_moves_with_is_nobodys(windows: dict[str, ClosedWindow]) -> None:
    assert voices_of(windows["other"]) == {"face-1": 0, "face-2": 0}


def two_faces(data: Path) -> list[Grey]:
    """The first two that are found side by side."""
    detector, found = FaceDetector(), list[Grey]()
    for image in read_ferplus(data, "valid").images:
        face = np.asarray(cv2.resize(image, (FACE_PX, FACE_PX), interpolation=cv2.INTER_CUBIC), np.uint8)
        if len(detector.detect(picture([face, face]))) == 2:
            found.append(face)
        if len(found) == 2:
            break
    return found


def spoken(data: Path, actor: str) -> Sound:
    """What an actor says, with pauses of any length: (samples,) at 16 kHz."""
    pauses_s = np.random.default_rng(int(actor)).uniform(0, 3, LENGTH_S)
    clips = [clip for clip in read_ravdess(data) if clip.speaker == f"ravdess-{actor}"]
    said = [read_pcm(clip) for clip in clips[:LENGTH_S]]
    pauses = [np.zeros(round(pause_s * SAMPLE_RATE_HZ), np.float32) for pause_s in pauses_s]
    whole = np.concatenate(
        [each for clip, pause in zip(said, pauses, strict=True) for each in (clip / np.abs(clip).max() / 2, pause)]
    )
    return np.asarray(whole[: LENGTH_S * SAMPLE_RATE_HZ], np.float32)


def opened(voice: Sound) -> NDArray[np.float64]:
    """How far a mouth that speaks is open on each picture, 0..1: as loud as the voice was shortly before."""
    power = np.convolve(np.square(voice, dtype=np.float64), np.ones(960) / 960, "same")
    level = np.sqrt(power[(np.arange(LENGTH_S * PICTURES_HZ) * SAMPLE_RATE_HZ) // PICTURES_HZ - 640])
    return np.asarray(np.clip(level / np.quantile(level, 0.95), 0, 1) ** 0.7, np.float64)


def with_mouth(face: Grey, opened: float) -> Grey:
    """The face with its lower jaw let down."""
    rows, columns = np.mgrid[0:FACE_PX, 0:FACE_PX].astype(np.float32)
    down = opened * 0.1 * FACE_PX * np.exp(-(((columns - FACE_PX / 2) / (0.2 * FACE_PX)) ** 2))
    lips = 0.74 * FACE_PX
    moved = cv2.remap(face, columns, np.where(rows > lips, rows - down, rows).astype(np.float32), cv2.INTER_LINEAR)
    return np.asarray(np.where((rows > lips) & (rows < lips + down), 30, moved), np.uint8)


def picture(faces: Sequence[Grey]) -> NDArray[np.uint8]:
    """Faces side by side: (height, width, 3) BGR."""
    wall, top = np.full(WALL_PX, 128, np.uint8), (WALL_PX[0] - FACE_PX) // 2
    for at, face in enumerate(faces):
        left = WALL_PX[1] * at // 2 + (WALL_PX[1] // 2 - FACE_PX) // 2
        wall[top : top + FACE_PX, left : left + FACE_PX] = face
    return np.repeat(wall[:, :, None], 3, axis=2)


def pictures(faces: Sequence[Grey], opened: NDArray[np.float64]) -> Iterator[Record]:
    for at, share in enumerate(opened):
        pixels = picture([faces[0], with_mouth(faces[1], float(share))])
        yield record(Modality.VIDEO, "image/png", cv2.imencode(".png", pixels)[1].tobytes(), at / PICTURES_HZ)


def sounds(voice: Sound) -> Iterator[Record]:
    pcm = (voice * 32_767).astype("<i2")
    for second in range(LENGTH_S):
        payload = pcm[second * SAMPLE_RATE_HZ : (second + 1) * SAMPLE_RATE_HZ].tobytes()
        yield record(Modality.AUDIO, f"audio/L16;rate={SAMPLE_RATE_HZ};channels=1", payload, second)


def record(modality: Modality, kind: str, payload: bytes, at_s: float) -> Record:
    time_ns = START_NS + round(at_s * NS_PER_S)
    return Record("room", modality, kind, payload, time_ns, time_ns)


def scored(model: AffectModel, records: Sequence[Record]) -> ClosedWindow:
    """The last window that the session fills, with all before it."""
    timeline = TimelineConfig(
        WindowGrid(WINDOW_S * NS_PER_S, WINDOW_S * NS_PER_S),
        WatermarkConfig(0, 3 * NS_PER_S),
        segments=SegmentGrid(2 * NS_PER_S, NS_PER_S),
        lookback_ns=(LENGTH_S - WINDOW_S) * NS_PER_S,
    )
    clock, telemetry = ManualClock(START_NS), NullTelemetry()
    sessions = Sessions(timeline, 3600 * NS_PER_S, clock, telemetry, Ledger(timeline.grid))
    driver = AlignmentDriver(sessions, Limits(), clock, telemetry)
    scorer = InlineScorer(driver, build_preparer(Config(), model), model)
    ordered = sorted(records, key=lambda each: each.event_time_ns)
    items: list[OfSession] = [*ordered, EndOfSession("room")]
    closed = [window for item in items for window in scorer.take(item, "file")]
    return closed[-1]


def with_sound(seen: ClosedWindow, heard: ClosedWindow) -> ClosedWindow:
    return replace(
        seen,
        units=seen.units | {Modality.AUDIO: heard.units[Modality.AUDIO]},
        lookback=seen.lookback | {Modality.AUDIO: heard.lookback[Modality.AUDIO]},
        memo={},
    )
