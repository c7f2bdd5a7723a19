"""The expression encoder: rows stand alone, pooling is a weighted mean, files are checked."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from models.encoder import Encoder
from models.face.crop import Face, given_face
from models.face.encoder import FaceEncoder, load_network, save_network
from models.face.network import ExpressionCommittee, ExpressionNet, NetworkConfig, build_network
from models.labels import EMOTIONS

pytestmark = pytest.mark.unit

_RESIDUAL = {"widths": (8, 16, 24)}
_VGG = {"kind": "vgg", "widths": (4, 8, 16, 24)}
_SIZES: dict[str, dict[str, Any]] = {"residual": _RESIDUAL, "vgg": _VGG, "both": {"members": [_RESIDUAL, _VGG]}}


@pytest.fixture(scope="module", params=sorted(_SIZES))
def network(request: pytest.FixtureRequest) -> ExpressionNet | ExpressionCommittee:
    torch.manual_seed(0)
    network = build_network(_SIZES[request.param])
    network(torch.randint(0, 256, (64, 48, 48), dtype=torch.uint8))  # gives normalisation its statistics
    return network.eval()


@pytest.fixture(scope="module")
def encoder(network: ExpressionNet | ExpressionCommittee) -> Encoder:
    return FaceEncoder(network)


def _faces(count: int) -> list[Face]:
    rng = np.random.default_rng(0)
    return [given_face(rng.integers(0, 256, (48, 48), dtype=np.uint8)) for _ in range(count)]


@pytest.mark.parametrize("batch", [2, 7, 33])
def test_a_row_of_a_batch_equals_the_row_alone(encoder: Encoder, batch: int) -> None:
    faces = _faces(batch)
    together = encoder.encode(faces)
    for row, face in enumerate(faces):
        alone = encoder.encode([face])
        torch.testing.assert_close(together.embedding[row], alone.embedding[0], rtol=0, atol=1e-5)


def test_an_embedding_is_float32_of_the_encoders_width_and_weighs_its_score(encoder: Encoder) -> None:
    encoded = encoder.encode(_faces(3))
    assert encoded.embedding.shape == (3, encoder.width)
    assert encoded.embedding.dtype == torch.float32
    assert encoded.weight.tolist() == [1, 1, 1]


def test_a_face_and_its_mirror_image_show_the_same(encoder: Encoder) -> None:
    (face,) = _faces(1)
    mirrored = given_face(np.ascontiguousarray(face.crop[:, ::-1]))
    torch.testing.assert_close(encoder.encode([face]).embedding, encoder.encode([mirrored]).embedding)


def test_light_and_contrast_do_not_change_what_a_face_shows(encoder: Encoder) -> None:
    rng = np.random.default_rng(1)
    crop = rng.integers(0, 100, (48, 48), dtype=np.uint8)
    plain, lit = encoder.encode([given_face(crop)]), encoder.encode([given_face(2 * crop + 40)])
    torch.testing.assert_close(plain.embedding, lit.embedding, rtol=1e-3, atol=1e-4)


def test_a_crop_of_one_colour_is_finite(encoder: Encoder) -> None:
    assert encoder.encode([given_face(np.full((48, 48), 7, np.uint8))]).embedding.isfinite().all()


def test_pooling_weighs_faces_and_ignores_padding(encoder: Encoder) -> None:
    embedding = torch.rand(1, 3, encoder.width)
    pooled = encoder.pool(embedding, torch.tensor([[1.0, 0.5, 0.0]]))
    mean = (embedding[:, :1] * 2 + embedding[:, 1:2]) / 3
    assert pooled.emotion.shape == (1, len(EMOTIONS))
    assert pooled.risk is None
    torch.testing.assert_close(pooled.emotion, encoder.pool(mean, torch.ones(1, 1)).emotion)


def test_a_window_without_a_face_is_finite(encoder: Encoder) -> None:
    assert encoder.pool(torch.zeros(2, 1, encoder.width), torch.zeros(2, 1)).emotion.isfinite().all()


def test_saved_weights_read_back_to_half_precision(
    network: ExpressionNet | ExpressionCommittee, tmp_path: Path
) -> None:
    save_network(tmp_path / "face.safetensors", network)
    read = load_network(tmp_path / "face.safetensors")
    crops = torch.from_numpy(np.stack([face.crop for face in _faces(4)]))
    assert type(read) is type(network)
    torch.testing.assert_close(read(crops), network(crops), rtol=0, atol=0.02)


def test_a_committee_answers_the_mean_of_its_members_logits() -> None:
    members = [ExpressionNet(NetworkConfig(widths=(4, 4, 4))).eval() for _ in range(3)]
    crops = torch.from_numpy(np.stack([face.crop for face in _faces(2)]))
    expected = torch.stack([member(crops) for member in members]).mean(0)
    torch.testing.assert_close(ExpressionCommittee(members)(crops), expected)


@pytest.mark.parametrize(("kind", "widths"), [("mobile", (4, 4, 4)), ("vgg", (4, 4, 4)), ("residual", (4, 4, 4, 4))])
def test_a_network_of_another_kind_or_number_of_stages_is_refused(kind: str, widths: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"NetworkConfig\."):
        NetworkConfig(kind=kind, widths=widths)  # type: ignore[arg-type]


def test_a_file_that_is_no_expression_network_is_named(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other\.safetensors: not an expression network"):
        load_network(tmp_path / "other.safetensors")
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors: no such file"):
        load_network(tmp_path / "none.safetensors")


@pytest.mark.parametrize("crop", [np.zeros((47, 48), np.uint8), np.zeros((48, 48), np.float32)])
def test_a_crop_of_another_shape_or_type_is_refused(crop: np.ndarray) -> None:
    with pytest.raises(ValueError, match="a face crop is"):
        given_face(crop)
