"""What is left out of a data set, and how it is drawn and split."""

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import skimage
import soundfile

from models.data.sampling import draw_weights, group_folds
from models.data.user.cleaning import LeftOut, UnusableError, checked_text, usable, without_copies
from models.data.user.manifest import Sample, Split
from models.data.user.media import faces_in, sound_of
from models.face.detector import FaceDetector

pytestmark = pytest.mark.unit


def _sample(name: str, split: Split = "train") -> Sample:
    return Sample(name, split, name, None, None, name, None, None, None, {})


def test_of_copies_in_two_splits_the_training_one_goes_and_every_loss_is_told(tmp_path: Path) -> None:
    left_out = LeftOut()
    rows = [(_sample("a"), "x"), (_sample("b", "test"), "x"), (_sample("c"), "y"), (_sample("d"), "y")]
    kept = without_copies(rows, str.encode, "text", left_out)
    assert [sample.id for sample, _ in kept] == ["b", "c"]
    assert left_out.counts() == {
        "text": {"copy of a sample in the test split": 1, "copy inside the train split": 1},
    }
    left_out.write(tmp_path / "left_out.csv")
    lines = (tmp_path / "left_out.csv").read_text().splitlines()
    assert lines[0] == "id,split,modality,reason"
    assert "a,train,text,copy of a sample in the test split" in lines


def test_what_cannot_be_used_is_counted_by_its_reason() -> None:
    left_out = LeftOut()
    found = usable([_sample("hello"), _sample("!?")], "text", lambda sample: [checked_text(sample.text)], left_out)
    assert [text for _, text in found] == ["hello"]
    assert left_out.rows == [("!?", "train", "text", "no words")]


def _portrait() -> np.ndarray:
    """(512, 512, 3) uint8 RGB, of the astronaut Eileen Collins (NASA, public domain)."""
    return np.asarray(skimage.data.astronaut(), np.uint8)  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector()


def test_a_face_is_found_in_a_picture_and_one_cut_out_is_taken_as_it_is(tmp_path: Path, detector: FaceDetector) -> None:
    cv2.imwrite(str(tmp_path / "portrait.png"), _portrait()[..., ::-1])
    (face,) = faces_in(tmp_path / "portrait.png", detector)
    left, top, right, bottom = face.box
    assert left < 224 < right
    assert top < 110 < bottom
    cut = np.arange(48 * 48, dtype=np.uint16).reshape(48, 48).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "cut.png"), cut)
    assert np.array_equal(faces_in(tmp_path / "cut.png", detector)[0].crop, cut)


def test_pictures_without_a_face_and_files_that_are_none_are_told_apart(tmp_path: Path, detector: FaceDetector) -> None:
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((200, 200, 3), 90, np.uint8))
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    (tmp_path / "broken.mp4").write_bytes(b"no film")
    for name, reason in (("wall.png", "no face found"), ("broken.jpg", "not a picture"), ("broken.mp4", "not a film")):
        with pytest.raises(UnusableError, match=reason):
            faces_in(tmp_path / name, detector)


def test_a_film_gives_a_face_for_every_second(tmp_path: Path, detector: FaceDetector) -> None:
    portrait = np.ascontiguousarray(_portrait()[:256, 100:356])
    with av.open(str(tmp_path / "film.mp4"), "w") as film:
        stream = film.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 256, 256, "yuv420p"
        for _ in range(13):
            film.mux(stream.encode(av.VideoFrame.from_ndarray(portrait, format="rgb24")))
        film.mux(stream.encode(None))
    assert len(faces_in(tmp_path / "film.mp4", detector)) == 3


def test_sound_of_any_rate_becomes_16_khz_mono(tmp_path: Path) -> None:
    seconds = np.arange(2 * 44_100) / 44_100
    stereo = np.stack([0.5 * np.sin(2 * np.pi * 440 * seconds)] * 2, axis=1)
    soundfile.write(tmp_path / "tone.wav", stereo, 44_100)
    pcm = sound_of(tmp_path / "tone.wav")
    assert pcm.dtype == np.float32
    assert len(pcm) == pytest.approx(32_000, abs=64)
    crossings = np.count_nonzero(np.diff(np.signbit(pcm)))
    assert crossings == pytest.approx(2 * 2 * 440, abs=4)


@pytest.mark.parametrize(
    ("pcm", "reason"),
    [(np.zeros(16_000), "silent"), (np.full(1_000, 0.5), "shorter than 0.3 s"), (np.zeros(61 * 16_000), "longer")],
)
def test_sound_that_says_nothing_is_left_out(tmp_path: Path, pcm: np.ndarray, reason: str) -> None:
    soundfile.write(tmp_path / "x.wav", pcm, 16_000)
    with pytest.raises(UnusableError, match=reason):
        sound_of(tmp_path / "x.wav")


def test_a_file_that_is_no_sound_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_bytes(b"RIFF nothing")
    with pytest.raises(UnusableError, match="not sound that can be read"):
        sound_of(tmp_path / "x.wav")


def test_draws_are_between_rows_alike_and_labels_alike() -> None:
    labels = np.array([0] * 9 + [1])
    assert len(set(draw_weights(labels, 0.0))) == 1
    by_label = draw_weights(labels, 1.0)
    assert by_label[:9].sum() == pytest.approx(by_label[9])


def test_no_group_is_on_both_sides_of_a_fold() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 12, 200).astype(str)
    folds = group_folds(rng.integers(0, 3, 200), groups, 4)
    assert all(not set(groups[train]) & set(groups[held_out]) for train, held_out in folds)
    assert sorted(np.concatenate([held_out for _, held_out in folds])) == list(range(200))
    with pytest.raises(ValueError, match="5 folds need as many groups"):
        group_folds(np.zeros(4, np.int64), np.array(list("aabb")), 5)
