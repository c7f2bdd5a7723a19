"""The recurrent speech network reads voiced frames and nothing else, learns, and is judged by speakers it never saw."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import nn

from models.data.corpora.speech import Clip
from models.encoder import Encoder
from models.recurrent_layers import AttentionPool, BidirectionalLstm
from models.speech.recurrent import (
    RecurrentSpeechConfig,
    RecurrentSpeechEncoder,
    RecurrentSpeechNetwork,
    load_recurrent,
    save_recurrent,
)
from models.speech.states import STATES
from models.training.speech.augment import Masks, masked
from models.training.speech.cross_validation import scores
from models.training.speech.mel_passes import Voices, padded, read_voices
from models.training.speech.recurrent import (
    DrawnVoices,
    RecurrentSpeechTraining,
    measure_recurrent,
    state_logits,
    train_recurrent,
)
from tests.models.test_speech_activity import vowel

pytestmark = pytest.mark.unit

SIZES = RecurrentSpeechConfig(channels=(8, 8, 8), hidden=8, dropout=0.1)
QUICK = RecurrentSpeechTraining(
    network=SIZES,
    augmented_passes=1,
    epochs=4,
    voices_per_epoch=256,
    batch_voices=16,
    learning_rate=2e-2,
    ema_decay=0.0,
)


@pytest.fixture
def network() -> RecurrentSpeechNetwork:
    torch.manual_seed(0)
    return RecurrentSpeechNetwork(SIZES).eval()


def _voice(time: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """One voice of so many frames of 20 ms, of which every fifth is not voiced."""
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(1, 80, 2 * time, generator=rng), (torch.arange(time) % 5 > 0)[None]


def test_frames_without_voice_have_no_effect(network: RecurrentSpeechNetwork) -> None:
    mel, voiced = _voice(40)
    changed = torch.where(voiced.repeat_interleave(2, dim=1)[:, None], mel, mel + 5)
    torch.testing.assert_close(network(mel, voiced), network(changed, voiced), atol=1e-5, rtol=0)
    assert not torch.allclose(network(mel, voiced), network(mel + torch.randn(mel.shape), voiced), atol=1e-3)


def test_a_voice_in_a_batch_is_answered_as_the_voice_alone(network: RecurrentSpeechNetwork) -> None:
    voices = [_voice(time, seed=time) for time in (20, 50, 100)]
    mel, voiced = padded([(mel[0].numpy(), voiced[0].numpy()) for mel, voiced in voices])
    alone = torch.cat([network(*voice) for voice in voices])
    torch.testing.assert_close(network(mel, voiced), alone, atol=1e-5, rtol=0)


def test_how_loud_a_voice_arrives_has_no_effect(network: RecurrentSpeechNetwork) -> None:
    mel, voiced = _voice(40)
    torch.testing.assert_close(network(mel, voiced), network(mel + 0.5, voiced), atol=1e-5, rtol=0)


def test_a_voice_without_voiced_frames_is_finite(network: RecurrentSpeechNetwork) -> None:
    mel, voiced = _voice(20)
    assert network(mel, torch.zeros_like(voiced)).isfinite().all()


def test_gradients_reach_every_parameter(network: RecurrentSpeechNetwork) -> None:
    network.train()(*_voice(40))[0, 0].backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.recurrent.parameters())
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_both_directions_read_a_row_within_its_own_length() -> None:
    torch.manual_seed(0)
    ours, known = BidirectionalLstm(3, 4), nn.LSTM(3, 4, batch_first=True, bidirectional=True)
    known.load_state_dict(
        {name.removeprefix("forwards."): value for name, value in ours.state_dict().items() if name[0] == "f"}
        | {f"{name.removeprefix('backwards.')}_reverse": v for name, v in ours.state_dict().items() if name[0] == "b"}
    )
    steps, lengths = torch.randn(2, 6, 3), torch.tensor([4, 6])
    read = ours(steps, lengths)
    torch.testing.assert_close(read[0, :4], known(steps[:1, :4])[0][0])
    torch.testing.assert_close(read[1], known(steps[1:])[0][0])


def test_attention_sums_up_what_counts_alone() -> None:
    pool = AttentionPool(3)
    steps, counted = torch.randn(2, 5, 3), torch.tensor([[True, True, False, False, False], [True] * 5])
    torch.testing.assert_close(pool(steps, counted)[:1], pool(steps[:1, :2], counted[:1, :2]))


def _voices(clips: int = 24) -> Voices:
    """Clips of a second whose state is a band that rises; speakers a to d, of whom a is EMO-DB's."""
    rng = np.random.default_rng(3)
    state = np.arange(clips) % 3
    mel = rng.normal(size=(clips, 80, 100)) * 0.1
    for one, shown in zip(mel, state, strict=True):
        one[20 * shown : 20 * (shown + 1)] += np.linspace(-2, 2, 100)
    return Voices(
        np.concatenate(list(mel), axis=1).astype(np.float16),
        np.ones(50 * clips, bool),
        np.full(clips, 100),
        np.array([f"{'emodb' if n % 4 == 0 else 'ravdess'}-{'abcd'[n % 4]}" for n in range(clips)]),
        state,
    )


def test_an_epoch_is_the_same_whenever_it_is_drawn_and_holds_no_held_out_speaker() -> None:
    voices = _voices()
    draw = DrawnVoices([voices], {"emodb-a", "ravdess-b", "ravdess-c"}, QUICK, seed=1)
    once, again, other = next(draw(4)), next(draw(4)), next(draw(5))
    torch.testing.assert_close(once, again)
    assert not torch.equal(once[0], other[0])
    without_masks = replace(QUICK, masks=Masks(bands=0, stretches=0))
    mel, _, _ = next(DrawnVoices([voices], {"emodb-a", "ravdess-b", "ravdess-c"}, without_masks, seed=1)(0))
    heard = [frames for (frames, _), who in zip(voices.each(), voices.speaker, strict=True) if who == "ravdess-d"]
    assert all(any(np.array_equal(row, frames) for frames in heard) for row in mel.numpy())


def test_a_long_clip_is_learnt_from_in_runs_that_hold_a_voice() -> None:
    voiced = np.zeros(400, bool)
    voiced[390:] = True
    voices = Voices(
        np.zeros((80, 800), np.float16),
        voiced,
        np.array([800]),
        np.array(["ravdess-a"]),
        np.array([STATES.index("fear")]),
    )
    mel, said, _ = next(DrawnVoices([voices], set(), QUICK, seed=0)(0))
    assert mel.shape == (16, 80, QUICK.longest_run)
    assert said.any(dim=1).all()


def test_training_learns_what_can_be_heard_and_carries_it_to_unseen_speakers() -> None:
    voices = _voices()
    network = train_recurrent([voices], {"ravdess-d"}, QUICK)
    found = state_logits(network, voices, {"ravdess-d"})
    assert set(found.speaker) == {"ravdess-d"}
    assert scores(found)["accuracy"] > 0.9


def test_a_saved_network_answers_as_before(network: RecurrentSpeechNetwork, tmp_path: Path) -> None:
    path = tmp_path / "network.safetensors"
    save_recurrent(path, network)
    torch.testing.assert_close(load_recurrent(path)(*_voice(40)), network(*_voice(40)), atol=1e-2, rtol=0)


def test_a_file_that_is_no_such_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_recurrent(tmp_path / "missing.safetensors")
    path = tmp_path / "text.safetensors"
    path.write_text("nothing of the kind")
    with pytest.raises(ValueError, match=r"text\.safetensors: not a recurrent speech network"):
        load_recurrent(path)


def test_segments_are_answered_once_and_a_window_by_the_mean_of_its_voice(network: RecurrentSpeechNetwork) -> None:
    encoder = RecurrentSpeechEncoder(network)
    protocol: Encoder = encoder
    sounds = [vowel()[:16_000].astype(np.float32), np.zeros(16_000, np.float32)]
    encoded = protocol.encode([encoder.prepare(sound) for sound in sounds])
    assert encoded.weight[1] == 0
    assert not encoded.embedding[1].any()
    alone = encoder.pool(encoded.embedding[None, :1], encoded.weight[None, :1]).emotion
    both = encoder.pool(encoded.embedding[None], encoded.weight[None]).emotion
    torch.testing.assert_close(both, alone)
    assert encoder.pool(torch.zeros(1, 2, 9), torch.zeros(1, 2)).emotion.isfinite().all()


def test_hiding_parts_of_the_frames_leaves_the_rest_as_it_was() -> None:
    mel = np.random.default_rng(0).normal(size=(80, 200)).astype(np.float32)
    once, again, other = (masked(mel, Masks(), np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(once, again)
    assert not np.array_equal(once, other)
    assert once.dtype == np.float32
    hidden = once != mel
    assert 0 < hidden.mean() < 0.7
    assert np.unique(once[hidden]).size == 1
    np.testing.assert_array_equal(hidden, hidden.all(axis=1)[:, None] | hidden.all(axis=0))


def _corpora(data: Path) -> None:
    """Two speakers a corpus, two emotions each, told apart by the pitch of a vowel."""
    (data / "speech").mkdir()
    for corpus, who in (("ravdess", "actor"), ("emodb", "speaker")):
        rows = [f"file,{who},emotion,fold"]
        for speaker in (1, 2):
            for emotion, pitch_hz in (("angry", 220), ("sad", 110)):
                file = f"{corpus}-{speaker}-{emotion}.flac"
                soundfile.write(data / "speech" / file, vowel(pitch_hz + speaker), 16_000)
                named = {"angry": "anger", "sad": "sadness"}[emotion] if corpus == "emodb" else emotion
                rows.append(f"{file},{speaker},{named},{speaker % 2}")
        (data / "speech" / f"{corpus}.csv").write_text("\n".join([*rows, ""]))


def test_measuring_writes_figures_and_a_network_of_all_speakers(tmp_path: Path) -> None:
    _corpora(tmp_path)
    out = tmp_path / "out"
    metrics = measure_recurrent(tmp_path, out, replace(QUICK, epochs=1, voices_per_epoch=32))
    assert json.loads((out / "metrics.json").read_text()) == json.loads(json.dumps(metrics))
    assert set(metrics["results"]) == {f"{q}/{c}" for q in ("clips", "augmented") for c in ("ravdess", "emodb")}
    assert metrics["results"]["clips/ravdess"]["n"]["mean"] + metrics["unanswered_clips"]["ravdess"] == 4
    assert load_recurrent(out / "speech-recurrent.safetensors").config == SIZES


def test_a_clip_without_a_voice_is_left_out(tmp_path: Path) -> None:
    for name, sound in (("voice", vowel()[:30_000]), ("silence", np.zeros(16_000))):
        soundfile.write(tmp_path / f"{name}.flac", sound, 16_000)
    clips = [Clip(tmp_path / f"{name}.flac", "emodb", f"emodb-{name}", "fear") for name in ("silence", "voice")]
    voices = read_voices(clips, 0, None)
    assert voices.speaker.tolist() == ["emodb-voice"]
    assert voices.mel.shape == (80, voices.length[0])
    assert len(voices.voiced) == voices.length[0] // 2
