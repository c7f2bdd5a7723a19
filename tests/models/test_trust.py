"""What is hard to see or hear makes a window less sure, and changes neither its label nor what lies beside it."""

import math

import numpy as np
import pytest
import torch

from models.calibration.trust import TrustCurve, unbroken_trust
from models.face.crop import given_face
from models.face.encoder import FaceEncoder
from models.face.network import ExpressionNet, NetworkConfig
from models.training.calibration.trust import fit_reliability, trusted
from models.training.part.held_out import EmotionLogits, HeldOutLogits

pytestmark = pytest.mark.unit

DIM = TrustCurve(intercept=0.0, linear={"light": 2.0}, quadratic={"light": 0.0})


def test_trust_rises_with_what_speaks_for_it_and_stays_within_bounds() -> None:
    trust = DIM.trust({"light": torch.tensor([-1e6, -1.0, 0.0, 1.0, 1e6])})
    assert trust.tolist() == sorted(trust.tolist())
    assert trust[0] == 0
    assert trust[2] == 0.5
    assert trust[-1] == 1
    with pytest.raises(KeyError, match="light"):
        DIM.trust({"dark": torch.zeros(1)})


def test_answers_are_trusted_where_they_are_right() -> None:
    """Of two hundred answers, those in the dark are right by chance."""
    rng = np.random.default_rng(0)
    labels = np.tile(np.arange(7), 200)
    light = rng.uniform(0, 1, len(labels))
    logits = rng.normal(0, 1, (len(labels), 7)).astype(np.float32)
    logits[np.arange(len(labels)), np.where(light > 0.5, labels, rng.integers(0, 7, len(labels)))] += 4
    fitted = fit_reliability(logits, labels, {"light": light}, np.full(len(labels), "made"))
    dark, bright = fitted.trust({"light": torch.tensor([0.1, 0.9])}).tolist()
    assert dark < 0.2 < 0.7 < bright


def test_a_parts_answers_are_scaled_by_the_qualities_beside_them() -> None:
    ones, names = np.ones((2, 7), np.float32), np.array(["a", "b"])
    emotion = EmotionLogits(ones, np.array([1, 2]), names, names)
    voices = HeldOutLogits("audio", emotion, ones, names, {"snr_db": np.array([0.0, 1e6])})
    noisy = TrustCurve(intercept=0.0, linear={"snr_db": 2.0}, quadratic={"snr_db": 0.0})
    found = trusted(voices, noisy)
    assert found.emotion.logits[:, 0].tolist() == found.corpus_logits[:, 0].tolist() == [0.5, 1.0]
    assert found.emotion.labels.tolist() == [1, 2]
    assert trusted(voices, None).emotion.logits.min() == 1


def test_a_face_in_the_dark_is_read_alike_and_believed_less() -> None:
    torch.manual_seed(0)
    encoder = FaceEncoder(ExpressionNet(NetworkConfig(widths=(4, 8, 8))))
    picture = np.random.default_rng(0).integers(60, 250, (48, 48)).astype(np.uint8)
    faces = [given_face(picture), given_face(picture // 8)]
    plain = encoder.encode(faces)
    encoder.trust_curve = TrustCurve(intercept=4.0, linear={"log_brightness": 2.0}, quadratic={"log_brightness": 0.0})
    judged = encoder.encode(faces)
    torch.testing.assert_close(plain.embedding[:, :-1], judged.embedding[:, :-1])
    assert plain.embedding[:, -1].tolist() == [1, 1]
    assert judged.embedding[0, -1] > judged.embedding[1, -1]
    weight = judged.weight[:, None]
    before = encoder.pool(plain.embedding[:, None], weight).emotion
    after = encoder.pool(judged.embedding[:, None], weight).emotion
    torch.testing.assert_close(after, before * judged.embedding[:, -1:])


def test_a_voice_in_pieces_is_trusted_less_the_shorter_they_are() -> None:
    trust = [unbroken_trust(unbroken_s) for unbroken_s in (0.02, 0.1, 0.2, 0.32, 2.0, math.inf)]
    assert trust == pytest.approx([0.25, 0.45, 0.7, 1, 1, 1])
