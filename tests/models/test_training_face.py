"""Reading FER+, augmenting faces, and training on them."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

from models.data.corpora.ferplus import Faces, read_ferplus, with_repeats_merged, without_images_of
from models.face.detector import FaceDetector
from models.face.encoder import FaceEncoder, load_network
from models.face.expressions import EXPRESSIONS
from models.face.network import ExpressionNet, NetworkConfig
from models.model import AffectModel
from models.training.face.augment import augment_faces, mix_faces
from models.training.face.figures import detector_figures, expression_figures, expression_logits, in_a_room
from models.training.face.train import DrawnFaces, FaceTraining, train_face

pytestmark = pytest.mark.unit

_UNKNOWN, _NOT_A_FACE = 8, 9


def _write(folder: Path, split: str, images: np.ndarray, votes: np.ndarray) -> None:
    (folder / "faces").mkdir(exist_ok=True)
    names = np.array([f"{split}{row}.png" for row in range(len(images))])
    np.savez(folder / "faces" / f"ferplus_{split}.npz", images=images, votes=votes, names=names)


def _images(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 48, 48), dtype=np.uint8)


def _votes(*answers: dict[int, int]) -> np.ndarray:
    votes = np.zeros((len(answers), 10), np.uint8)
    for row, answer in enumerate(answers):
        for label, count in answer.items():
            votes[row, label] = count
    return votes


def test_pictures_that_most_people_could_not_read_are_dropped_and_counted(tmp_path: Path) -> None:
    votes = _votes({1: 6, 0: 4}, {_UNKNOWN: 6, 0: 4}, {_NOT_A_FACE: 10}, {4: 4, 7: 3, _UNKNOWN: 3})
    _write(tmp_path, "train", _images(4), votes)
    faces = read_ferplus(tmp_path, "train")
    assert faces.labels.tolist() == [1, 4]
    assert faces.names.tolist() == ["train0.png", "train3.png"]
    assert faces.dropped == {"majority unknown or not a face": 2}
    assert faces.votes.sum(1).tolist() == pytest.approx([1, 1])
    assert faces.votes[1, [4, 7]].tolist() == pytest.approx([4 / 7, 3 / 7])


def test_a_split_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    _write(tmp_path, "train", _images(1), _votes({0: 10}))
    with pytest.raises(FileNotFoundError, match=r"ferplus_test\.npz: .*\['train'\]"):
        read_ferplus(tmp_path, "test")


def test_arrays_that_are_not_ferplus_are_refused_naming_the_file(tmp_path: Path) -> None:
    _write(tmp_path, "train", _images(2)[:, :40], _votes({0: 10}, {0: 10}))
    with pytest.raises(ValueError, match=r"ferplus_train\.npz: images"):
        read_ferplus(tmp_path, "train")


def _faces(images: np.ndarray, *labels: int) -> Faces:
    votes = np.eye(len(EXPRESSIONS), dtype=np.float32)[list(labels)]
    names = np.array([str(row) for row in range(len(labels))])
    return Faces(images, votes, np.array(labels), names, {})


def test_copies_of_held_out_pictures_are_not_trained_on() -> None:
    images = _images(4)
    kept = without_images_of(_faces(images, 0, 1, 2, 3), _faces(images[[1, 3]], 5, 5))
    assert kept.labels.tolist() == [0, 2]
    assert kept.dropped == {"repeat of a held-out picture": 2}


def test_repeats_are_merged_and_their_votes_shared() -> None:
    images = _images(3)[[0, 1, 0, 2, 0]]
    merged = with_repeats_merged(_faces(images, 4, 1, 4, 2, 5))
    assert sorted(merged.labels.tolist()) == [1, 2, 4]
    assert merged.votes[merged.labels == 4][0, [4, 5]].tolist() == pytest.approx([2 / 3, 1 / 3])
    assert merged.dropped == {"repeat inside the split": 2}


def test_augmentation_keeps_shape_type_and_range_and_changes_every_picture() -> None:
    crops = torch.from_numpy(_images(64))
    augmented = augment_faces(crops, torch.Generator().manual_seed(0))
    assert augmented.shape == crops.shape
    assert augmented.dtype == torch.float32
    assert augmented.min() >= 0
    assert augmented.max() <= 255
    assert ((augmented - crops).abs().mean(dim=(1, 2)) > 1).all()


def test_augmentation_is_the_same_for_the_same_seed() -> None:
    crops = torch.from_numpy(_images(8))
    first, again, other = (augment_faces(crops, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_augmentation_moves_a_face_little() -> None:
    """A dot in the middle stays within a quarter of the side."""
    crops = torch.zeros(256, 48, 48)
    crops[:, 22:26, 22:26] = 255
    augmented = augment_faces(crops, torch.Generator().manual_seed(0))
    inner = augmented[:, 10:38, 10:38].amax(dim=(1, 2))
    assert (inner > 30).float().mean() > 0.9


def test_mixup_blends_pictures_and_votes_in_the_same_shares() -> None:
    crops = torch.arange(6.0)[:, None, None].expand(6, 48, 48)
    mixed, votes = mix_faces(crops, torch.eye(6), 0.4, torch.Generator().manual_seed(1))
    torch.testing.assert_close(votes.sum(1), torch.ones(6))
    torch.testing.assert_close(mixed[:, 0, 0], votes @ torch.arange(6.0))
    assert not torch.equal(votes, torch.eye(6))


def test_an_epoch_is_the_same_when_it_is_drawn_again_and_rare_classes_come_more_often() -> None:
    draw = DrawnFaces(_faces(_images(512), *([0] * 496 + [6] * 16)), seed=1)
    first, again = list(draw(3)), list(draw(3))
    assert all(torch.equal(a, b) for one, two in zip(first, again, strict=True) for a, b in zip(one, two, strict=True))
    drawn = torch.cat([votes for _, votes in first]).mean(0)
    assert drawn[6] > 2 * 16 / 512
    assert draw.prior[6].item() == pytest.approx(drawn[6].item(), abs=0.08)


def test_training_writes_a_network_and_its_figures_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    votes = _votes(*({int(label): 10} for label in rng.integers(0, 8, 160)))
    _write(tmp_path, "train", _images(160), votes)
    _write(tmp_path, "valid", _images(40, seed=1), votes[:40])
    networks = (NetworkConfig(widths=(4, 8, 8)), NetworkConfig(kind="vgg", widths=(4, 4, 8, 8)))
    training = FaceTraining(networks, epochs=2, mixup_alpha=0.2, bf16=False)
    told: list[int] = []
    metrics = train_face(tmp_path, tmp_path / "out", training, lambda epoch, _: told.append(epoch))
    assert told == [0, 1, 0, 1]
    assert metrics["valid"]["fer8"]["n"] == 40
    written = load_network(tmp_path / "out" / "face.safetensors")
    assert sum(p.numel() for p in written.parameters()) == metrics["parameters"]
    assert train_face(tmp_path, tmp_path / "out", training, lambda epoch, _: told.append(epoch)) == metrics
    assert told == [0, 1, 0, 1]
    with pytest.raises(ValueError, match="other settings"):
        train_face(tmp_path, tmp_path / "out", replace(training, learning_rate=1.0))


@pytest.mark.parametrize("loss", ["distribution", "focal"])
def test_faces_are_learned_by_either_loss(tmp_path: Path, loss: Literal["distribution", "focal"]) -> None:
    """Dark and light pictures are standardised away, so it is where the light is that tells the two labels apart."""
    images = np.zeros((64, 48, 48), np.uint8)
    images[::2, :24], images[1::2, 24:] = 200, 200
    votes = _votes(*({row % 2: 10} for row in range(64)))
    _write(tmp_path, "train", images + _images(64) // 8, votes)
    _write(tmp_path, "valid", images + _images(64, 1) // 8, votes)
    network = NetworkConfig(widths=(4, 8, 8), dropout=0.0)
    training = FaceTraining((network,), epochs=40, loss=loss, class_weight_power=0.5, learning_rate=1e-2, ema_decay=0.5)
    assert train_face(tmp_path, tmp_path / "out", training)["valid"]["fer8"]["accuracy"] > 0.9
    with pytest.raises(ValueError, match="loss is distribution or focal"):
        FaceTraining(loss="hinge")  # type: ignore[arg-type]


def test_validation_reads_pictures_as_they_are() -> None:
    network = ExpressionNet(NetworkConfig(widths=(4, 8, 8))).eval()
    images = _images(5)
    expected = network(torch.from_numpy(images))
    torch.testing.assert_close(expression_logits(network, images), expected, rtol=0, atol=1e-5)


def test_figures_leave_contempt_out_of_the_seven_and_use_frequencies_where_they_say_so() -> None:
    labels = np.array([0, 1, 7, 2])
    logits = 0.5 * torch.eye(8)[[0, 1, 7, 2]]
    log_prior = torch.log(torch.tensor([0.9, *[0.1 / 7] * 7]))
    figures = expression_figures(logits, labels, log_prior)
    assert (figures["fer8"]["n"], figures["ekman7"]["n"], figures["ekman7_equal"]["n"]) == (4, 3, 3)
    assert figures["ekman7_equal"]["accuracy"] == 1
    assert figures["ekman7"]["accuracy"] == pytest.approx(1 / 3)


def test_a_room_shows_the_face_and_nothing_else_sharp() -> None:
    face = np.kron(np.eye(6, dtype=np.uint8), np.full((8, 8), 255, np.uint8))
    room = in_a_room(face.astype(np.uint8), np.random.default_rng(0))
    assert room.shape == (480, 640, 3)
    assert (room > 250).sum() > 3 * 210 * 210 / 8


@pytest.mark.skipif("AFFECTD_DATA" not in os.environ, reason="AFFECTD_DATA, the folder of labelled data, is not set")
def test_the_shipped_network_reads_faces_as_well_through_the_detector() -> None:
    valid = read_ferplus(Path(os.environ["AFFECTD_DATA"]), "valid")
    encoder = AffectModel.load("default", device="cpu").encoders["video"]
    assert isinstance(encoder, FaceEncoder)
    rows = np.random.default_rng(0).choice(len(valid), 150, replace=False)
    figures = detector_figures(encoder, FaceDetector(), valid, rows)
    assert figures["detected"] > 0.95
    assert figures["accuracy_direct"] > 0.7
    assert figures["accuracy_through"] > figures["accuracy_direct"] - 0.06
