from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from models.labels import EMOTIONS
from models.speech.encoder import SpeechEncoder, load_encoder, save_network
from models.speech.segment import SpeechSegment
from models.speech.states import EMOTION_OF, STATES, emotion_logits
from models.speech.statistics import levelled, segment_statistics, window_statistics
from models.speech.whisper import load_whisper
from models.speech.window_network import WindowNetwork, WindowNetworkConfig
from tests.models.test_speech_activity import vowel

pytestmark = pytest.mark.unit

SMALL = WindowNetworkConfig(streams=(1, 2), members=2, hidden=16)


@pytest.fixture(scope="module")
def encoder() -> SpeechEncoder:
    torch.manual_seed(0)
    return SpeechEncoder(load_whisper(2), WindowNetwork(SMALL), "cpu")


@pytest.fixture(scope="module")
def segments(encoder: SpeechEncoder) -> list[SpeechSegment]:
    """Pairs of seconds, a single second, and silence."""
    sounds = [np.tile(vowel(pitch), 2) for pitch in (100.0, 130.0, 170.0)] + [vowel(210.0), np.zeros(16_000)]
    return [encoder.prepare(sound.astype(np.float32)) for sound in sounds]


def test_a_segment_alone_is_encoded_as_in_any_batch(encoder: SpeechEncoder, segments: list[SpeechSegment]) -> None:
    together = encoder.encode(segments)
    for row, segment in enumerate(segments):
        alone = encoder.encode([segment])
        torch.testing.assert_close(alone.embedding[0], together.embedding[row], atol=1e-5, rtol=0)
        assert alone.weight[0] == together.weight[row]
    assert not torch.allclose(together.embedding[0], together.embedding[1], atol=1e-3)


def test_a_segment_weighs_its_voiced_fraction_and_silence_nothing(
    encoder: SpeechEncoder, segments: list[SpeechSegment]
) -> None:
    encoded = encoder.encode(segments)
    assert [segment.voiced_fraction for segment in segments] == pytest.approx(encoded.weight.tolist())
    assert encoded.weight[0] > 0
    assert encoded.weight[-1] == 0
    assert encoded.embedding[-1].abs().max() == 0


def test_the_gain_of_the_microphone_does_not_change_what_whisper_reads(encoder: SpeechEncoder) -> None:
    loud = encoder.prepare(vowel().astype(np.float32))
    quiet = encoder.prepare((0.25 * vowel()).astype(np.float32))
    assert loud.level_db - quiet.level_db > 6
    mel = levelled(torch.from_numpy(np.stack([loud.mel, quiet.mel])))
    torch.testing.assert_close(mel[0], mel[1], atol=0.02, rtol=0)


def test_pooling_ignores_the_order_of_segments(encoder: SpeechEncoder, segments: list[SpeechSegment]) -> None:
    encoded = encoder.encode(segments)
    order = torch.tensor([2, 0, 4, 3, 1])
    straight = encoder.pool(encoded.embedding[None], encoded.weight[None]).emotion
    shuffled = encoder.pool(encoded.embedding[None, order], encoded.weight[None, order]).emotion
    torch.testing.assert_close(straight, shuffled, atol=1e-5, rtol=0)


def test_pooling_ignores_segments_without_weight_whatever_they_hold(encoder: SpeechEncoder) -> None:
    embedding = torch.randn(1, 4, encoder.width)
    weight = torch.tensor([[0.5, 0.9, 0.0, 0.0]])
    alone = encoder.pool(embedding[:, :2], weight[:, :2]).emotion
    padded = encoder.pool(embedding, weight).emotion
    torch.testing.assert_close(alone, padded, atol=1e-5, rtol=0)


def test_pooling_reads_weights_as_shares(encoder: SpeechEncoder) -> None:
    embedding = torch.randn(1, 3, encoder.width)
    weight = torch.tensor([[0.2, 0.4, 0.1]])
    torch.testing.assert_close(
        encoder.pool(embedding, weight).emotion, encoder.pool(embedding, 2 * weight).emotion, atol=1e-5, rtol=0
    )
    unequal = encoder.pool(embedding, torch.tensor([[0.9, 0.1, 0.1]])).emotion
    assert not torch.allclose(unequal, encoder.pool(embedding, weight).emotion, atol=1e-4)


@pytest.mark.parametrize("count", [1, 2, 10])
def test_a_window_of_any_number_of_segments_is_answered(encoder: SpeechEncoder, count: int) -> None:
    pooled = encoder.pool(torch.randn(3, count, encoder.width), torch.rand(3, count))
    assert pooled.emotion.shape == (3, len(EMOTIONS))
    assert pooled.risk is None


def test_a_window_without_voice_is_finite(encoder: SpeechEncoder) -> None:
    pooled = encoder.pool(torch.zeros(1, 4, encoder.width), torch.zeros(1, 4))
    assert torch.isfinite(pooled.emotion).all()


@pytest.mark.parametrize(
    "pcm",
    [
        pytest.param(np.zeros(15_999, np.float32), id="too short"),
        pytest.param(np.zeros((16_000, 2), np.float32), id="stereo"),
        pytest.param(np.zeros(16_000, np.int16), id="integers"),
        pytest.param(np.full(16_000, np.nan, np.float32), id="not a number"),
    ],
)
def test_sound_that_is_not_one_second_or_two_of_float32_is_refused(encoder: SpeechEncoder, pcm: np.ndarray) -> None:
    with pytest.raises(ValueError, match="speech segment"):
        encoder.prepare(pcm)


def test_the_probability_of_neutral_is_that_of_its_three_states() -> None:
    states = torch.randn(5, len(STATES))
    emotion = emotion_logits(states).softmax(dim=-1)
    expected = states.softmax(dim=-1)
    neutral = [index for index, state in enumerate(STATES) if EMOTION_OF[state] == "neutral"]
    assert len(neutral) == 3
    torch.testing.assert_close(emotion[:, 0], expected[:, neutral].sum(dim=-1))
    torch.testing.assert_close(emotion[:, 1:], expected[:, 1 : len(EMOTIONS)])


def test_a_windows_statistics_are_those_of_all_its_voiced_frames_in_a_row(
    encoder: SpeechEncoder, segments: list[SpeechSegment]
) -> None:
    whisper, pairs = load_whisper(2), segments[:3]
    mel = levelled(torch.from_numpy(np.stack([segment.mel for segment in pairs])))
    voiced = torch.from_numpy(np.stack([segment.voiced for segment in pairs]))
    frames = [stream[voiced] for stream in whisper.each_stream(mel)[1:]]
    expected = torch.cat([torch.cat([one.mean(dim=0), one.std(dim=0, correction=0)]) for one in frames])
    weight = voiced.float().mean(dim=1)[None]
    found = window_statistics(
        segment_statistics(whisper, torch.from_numpy(np.stack([segment.mel for segment in pairs])), voiced, (1, 2))[
            None
        ],
        weight,
    )[0]
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=1e-3)


def test_a_saved_network_answers_as_before_within_half_precision(
    encoder: SpeechEncoder, segments: list[SpeechSegment], tmp_path: Path
) -> None:
    heard = encoder.encode(segments)
    network = WindowNetwork(SMALL).eval()
    save_network(tmp_path / "speech.safetensors", network)
    loaded = load_encoder(tmp_path / "speech.safetensors")
    expected = SpeechEncoder(load_whisper(2), network, "cpu").pool(heard.embedding[None], heard.weight[None])
    found = loaded.pool(heard.embedding[None], heard.weight[None])
    torch.testing.assert_close(found.emotion, expected.emotion, atol=0.02, rtol=0)


def test_files_that_are_no_speech_network_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent"):
        load_encoder(tmp_path / "absent.safetensors")
    (tmp_path / "noise.safetensors").write_bytes(b"noise")
    with pytest.raises(ValueError, match=r"noise\.safetensors: not a speech network"):
        load_encoder(tmp_path / "noise.safetensors")
    save_file({"other": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other\.safetensors: not a speech network"):
        load_encoder(tmp_path / "other.safetensors")
