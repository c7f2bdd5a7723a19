"""What every encoder of the shipped model does alike, whichever its modality."""

import numpy as np
import pytest
import torch

from models.artifact import SHIPPED
from models.encoder import Encoder
from models.face.crop import given_face
from models.labels import EMOTIONS, MODALITIES
from models.model import AffectModel
from models.speech.segment import SEGMENT_SAMPLES, SegmentSound

pytestmark = pytest.mark.unit

EVENTS = {
    "video": given_face(np.arange(48 * 48, dtype=np.uint8).reshape(48, 48)),
    "audio": SegmentSound(np.zeros(SEGMENT_SAMPLES, np.float32), unbroken_s=0.5),
    "text": "It just arrived.",
}
QUALITIES = {
    "video": {"faces", "size_px", "sharpness", "brightness"},
    "audio": {"level_db", "snr_db"},
    "text": {"characters", "read"},
}


@pytest.fixture(scope="module")
def model() -> AffectModel:
    return AffectModel.load(SHIPPED, device="cpu", threads=1)


@pytest.fixture(params=MODALITIES)
def modality(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def encoder(model: AffectModel, modality: str) -> Encoder:
    return model.encoders[modality]


def test_a_prepared_event_is_encoded_to_a_row_of_the_encoders_width_and_of_its_weight(
    encoder: Encoder, modality: str
) -> None:
    prepared = encoder.prepare(EVENTS[modality])
    encoded = encoder.encode([prepared])
    assert encoded.embedding.shape == (1, encoder.width)
    assert encoded.weight.tolist() == pytest.approx([encoder.weight(prepared)])


def test_an_example_is_evidence_and_is_pooled_to_finite_logits(encoder: Encoder) -> None:
    example = encoder.example()
    assert encoder.weight(example) == 1
    encoded = encoder.encode([example] * 2)
    pooled = encoder.pool(encoded.embedding[None], encoded.weight[None])
    assert pooled.emotion.shape == (1, len(EMOTIONS))
    assert torch.isfinite(pooled.emotion).all()


def test_quality_is_that_of_the_events_and_nothing_has_none(encoder: Encoder, modality: str) -> None:
    quality = encoder.quality([encoder.prepare(EVENTS[modality])])
    assert set(quality) == QUALITIES[modality]
    assert all(isinstance(value, float) for value in quality.values())
    assert encoder.quality([]) == {}


def test_silence_is_no_evidence(model: AffectModel) -> None:
    encoder = model.encoders["audio"]
    assert encoder.weight(encoder.prepare(EVENTS["audio"])) == 0


def test_whoever_asks_for_a_corpus_gets_both_answers_of_every_encoder(encoder: Encoder) -> None:
    served, of_corpus = encoder.encode_for_corpus([encoder.example()], "no such corpus")
    assert not encoder.has_corpus_head("no such corpus")
    torch.testing.assert_close(served.embedding, of_corpus.embedding)
