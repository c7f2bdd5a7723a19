import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from models.data.speech_corpora import Clip, read_emodb, read_pcm, read_ravdess
from models.labels import EMOTIONS
from models.speech.network import STATES, SpeechNetwork, SpeechNetworkConfig
from models.training.augment_speech import (
    SpeechAugmentation,
    aac_coded,
    augment,
    band_limited,
    noisy,
    reverberated,
)
from models.training.speech import DrawnWindows, SpeechTraining, state_logits, train_network, window_batch
from models.training.speech_protocols import Answers, answers, cross_validated, held_out_speakers, scores
from models.training.speech_streams import Segments, laid_out, load_segments, save_segments, streams_of
from tests.models.test_speech_activity import vowel

pytestmark = pytest.mark.unit


def _tables(data: Path) -> None:
    (data / "speech").mkdir()
    (data / "speech" / "ravdess.csv").write_text(
        "file,actor,gender,emotion,fold\n"
        "ravdess/a.flac,01,male,calm,0\nravdess/b.flac,02,female,happy,1\nravdess/c.flac,01,male,angry,0\n"
    )
    (data / "speech" / "emodb.csv").write_text(
        "file,speaker,gender,emotion\nemodb/a.flac,03,male,boredom\nemodb/b.flac,08,female,fear\n"
    )


def test_the_corpora_are_read_with_their_labels_mapped(tmp_path: Path) -> None:
    _tables(tmp_path)
    clips = read_ravdess(tmp_path) + read_emodb(tmp_path)
    assert [(clip.speaker, clip.state, clip.emotion, clip.fold) for clip in clips] == [
        ("ravdess-01", "calm", "neutral", 0),
        ("ravdess-02", "happiness", "happiness", 1),
        ("ravdess-01", "anger", "anger", 0),
        ("emodb-03", "boredom", "neutral", None),
        ("emodb-08", "fear", "fear", None),
    ]
    assert clips[0].path == tmp_path / "speech" / "ravdess" / "a.flac"


def test_an_unknown_emotion_is_named_with_its_line(tmp_path: Path) -> None:
    _tables(tmp_path)
    table = tmp_path / "speech" / "emodb.csv"
    table.write_text(table.read_text().replace("fear", "dread"))
    with pytest.raises(ValueError, match=r"emodb\.csv:3: unknown emotion 'dread'"):
        read_emodb(tmp_path)


def test_sound_at_another_rate_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "clip.flac"
    soundfile.write(path, np.zeros(100), 8000)
    with pytest.raises(ValueError, match=r"clip\.flac: wanted 16000 Hz mono"):
        read_pcm(Clip(path, "emodb", "emodb-03", "anger"))


def test_no_speaker_is_held_out_twice_and_every_speaker_once() -> None:
    speakers = [(f"ravdess-{n}", n % 3) for n in range(7)] + [(f"emodb-{n}", None) for n in range(4)]
    folds = held_out_speakers([Clip(Path(), s.split("-")[0], s, "anger", fold) for s, fold in speakers for _ in "ab"])
    assert sorted(speaker for fold in folds for speaker in fold) == sorted(speaker for speaker, _ in speakers)
    assert [sum(speaker.startswith("emodb") for speaker in fold) for fold in folds] == [1, 1, 1, 1]


@pytest.mark.skipif("AFFECTD_DATA" not in os.environ, reason="AFFECTD_DATA is not set")
def test_the_folds_of_ravdess_and_emodb_share_no_speaker() -> None:
    data = Path(os.environ["AFFECTD_DATA"])
    clips = read_ravdess(data) + read_emodb(data)
    folds = held_out_speakers(clips)
    everyone = [speaker for fold in folds for speaker in fold]
    assert len(everyone) == len(set(everyone))
    assert set(everyone) == {clip.speaker for clip in clips}
    assert {clip.emotion for clip in clips} == set(EMOTIONS)


def _segments(streams: int = 12, seconds: int = 6) -> Segments:
    """Streams whose state can be read off their frames; speakers a to d."""
    rng = np.random.default_rng(3)
    state = np.arange(streams) % 3
    frames = rng.normal(size=(streams, seconds, 50, 512))
    frames[np.arange(streams), ..., state] += 8
    return Segments(
        frames.reshape(-1, 50, 512).astype(np.float16),
        np.ones((streams * seconds, 50), bool),
        np.full(streams * seconds, 0.8, np.float32),
        np.repeat(np.arange(streams), seconds),
        np.tile(np.arange(seconds), streams),
        np.array([f"{'emodb' if n % 4 == 0 else 'ravdess'}-{'abcd'[n % 4]}" for n in range(streams)]),
        state,
    )


_SMALL = SpeechTraining(
    network=SpeechNetworkConfig(projection=16, hidden=8, width=16, dropout=0.0),
    epochs=2,
    windows_per_epoch=128,
    batch_windows=16,
    learning_rate=1e-2,
    masked_frames=4,
    ema_decay=0.0,
)


def test_windows_are_drawn_from_the_given_speakers_alone_and_hold_one_stream_each() -> None:
    segments = _segments()
    training = replace(_SMALL, masked_frames=0)
    for windows in DrawnWindows([segments], {"ravdess-b", "emodb-a"}, training, seed=1)(0):
        assert len(windows.state) == training.batch_windows
        for row, window in zip(windows.frames, windows.window.tolist(), strict=True):
            origin = np.flatnonzero((segments.frames == row.numpy().astype(np.float16)).all(axis=(1, 2)))
            stream = segments.stream[origin[0]]
            assert segments.speaker[stream] in ("ravdess-b", "emodb-a")
            assert segments.state[stream] == windows.state[window]
        break


def test_an_epoch_is_the_same_whenever_it_is_drawn() -> None:
    draw = DrawnWindows([_segments()], {"ravdess-b", "emodb-a"}, _SMALL, seed=1)
    once, again, other = next(draw(4)), next(draw(4)), next(draw(5))
    torch.testing.assert_close(once.frames, again.frames)
    torch.testing.assert_close(once.voiced, again.voiced)
    assert once.window.tolist() != other.window.tolist() or not torch.equal(once.frames, other.frames)


def test_a_window_is_answered_alike_alone_and_beside_longer_ones() -> None:
    torch.manual_seed(0)
    network = SpeechNetwork(_SMALL.network).eval()
    rows = [np.array([0]), np.array([6, 7, 8, 9]), np.array([12, 14])]
    with torch.inference_mode():
        together = state_logits(network, window_batch(_segments(), rows))
        alone = torch.cat([state_logits(network, window_batch(_segments(), [row])) for row in rows])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_training_learns_what_can_be_heard_and_carries_it_to_unseen_speakers() -> None:
    segments = _segments()
    network = train_network([segments], {"emodb-a", "ravdess-b", "ravdess-c"}, _SMALL)
    found = answers(network, segments, {"ravdess-d"}, size_s=4)
    assert set(found.speaker) == {"ravdess-d"}
    assert scores(found)["accuracy"] > 0.9


def test_training_without_a_speaker_is_refused() -> None:
    with pytest.raises(ValueError, match="no stream of the speakers nobody"):
        train_network([_segments()], {"nobody"}, _SMALL)


def test_cross_validation_answers_for_every_speaker_once() -> None:
    segments = _segments(streams=8)
    folds = {"emodb-a": None, "ravdess-b": 0, "ravdess-c": 1, "ravdess-d": 0}
    clips = [Clip(Path(speaker), speaker.split("-")[0], speaker, "anger", fold) for speaker, fold in folds.items()]
    quick = replace(_SMALL, epochs=1, windows_per_epoch=16)
    found = cross_validated(clips, [segments], {"whole": (segments, None), "4 s": (segments, 4)}, quick)
    assert sorted(found["whole"].speaker) == sorted(segments.speaker)
    assert len(found["4 s"].state) == 8 * 9
    assert set(found["whole"].only("emodb").speaker) == {"emodb-a"}


def test_sliding_windows_move_by_a_second_and_a_stream_as_a_whole_is_one() -> None:
    network = SpeechNetwork(_SMALL.network).eval()
    segments = _segments(streams=4, seconds=6)
    assert len(answers(network, segments, {"ravdess-b"}, size_s=4).state) == 9
    assert len(answers(network, segments, {"ravdess-b"}, size_s=None).state) == 1


def test_scores_count_calm_as_neutral_among_the_emotions_only() -> None:
    calm, anger = STATES.index("calm"), STATES.index("anger")
    logits = np.full((3, len(STATES)), -9.0, np.float32)
    logits[0, STATES.index("neutral")] = logits[1, anger] = logits[2, calm] = 9
    found = Answers(logits, np.array([calm, anger, STATES.index("neutral")]), np.array(["ravdess-1"] * 3))
    assert scores(found)["accuracy"] == 1
    assert scores(found)["accuracy_states"] == pytest.approx(1 / 3)


def test_segments_survive_the_disk(tmp_path: Path) -> None:
    segments = _segments(streams=2)
    save_segments(tmp_path / "pass.npz", segments)
    loaded = load_segments(tmp_path / "pass.npz")
    for name in Segments.__slots__:
        np.testing.assert_array_equal(getattr(loaded, name), getattr(segments, name))


def test_clips_are_laid_on_the_grid_with_pauses_and_nothing_lost() -> None:
    clips = [np.full(20_000, 0.5, np.float32), np.full(9_000, -0.5, np.float32)]
    sound = laid_out(clips, np.random.default_rng(0))
    assert sound.shape[1] == 16_000
    flat = sound.ravel()
    assert (np.abs(flat - 0.5) < 0.01).sum() == 20_000
    assert (np.abs(flat + 0.5) < 0.01).sum() == 9_000
    assert np.flatnonzero(flat < -0.4)[0] - np.flatnonzero(flat > 0.4)[-1] == 6_401


def test_a_stream_holds_one_speaker_in_one_state() -> None:
    clips = [Clip(Path(str(n)), "emodb", f"emodb-{n % 2}", STATES[n % 3]) for n in range(12)]
    streams = streams_of(clips, np.random.default_rng(0))
    assert sorted(clip.path.name for stream in streams for clip in stream) == sorted(clip.path.name for clip in clips)
    assert all(len({(clip.speaker, clip.state) for clip in stream}) == 1 for stream in streams)


def _level(sound: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(sound, dtype=np.float64))))


def test_noise_is_added_at_the_ratio_asked_for() -> None:
    pcm = vowel().astype(np.float32)
    added = noisy(pcm, 10, np.random.default_rng(0)) - pcm
    loudest = 10 * np.log10(np.quantile(np.square(pcm), 0.9))
    assert loudest - _level(added) == pytest.approx(10, abs=0.5)


def test_a_telephone_line_keeps_its_band_alone() -> None:
    time_s = np.arange(16_000) / 16_000
    for frequency_hz, loss_db in ((100, -40), (1000, 0), (7000, -40)):
        tone = np.sin(2 * np.pi * frequency_hz * time_s).astype(np.float32)
        lost = _level(band_limited(tone, 300, 3400)) - _level(tone)
        assert lost == pytest.approx(loss_db, abs=1) if loss_db == 0 else lost < loss_db


def test_a_room_rings_after_the_sound() -> None:
    click = np.zeros(16_000, np.float32)
    click[1000] = 1
    rung = reverberated(click, 0.3, np.random.default_rng(0))
    assert np.abs(rung[:1000]).max() < 1e-4
    assert _level(rung[1001:2000]) > _level(rung[4000:5000]) + 20


def test_aac_keeps_length_and_place() -> None:
    pcm = vowel().astype(np.float32)
    coded = aac_coded(pcm, 64_000)
    assert coded.shape == pcm.shape
    assert np.corrcoef(pcm[2000:-2000], coded[2000:-2000])[0, 1] > 0.95


def test_augmentation_repeats_with_its_seed_and_stays_in_range() -> None:
    pcm = (4 * vowel()).astype(np.float32)
    changed = [augment(pcm, SpeechAugmentation(), np.random.default_rng(seed)) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(changed[0], changed[1])
    assert changed[0].shape != changed[2].shape or not np.array_equal(changed[0], changed[2])
    assert all(np.abs(sound).max() <= 1.5 and sound.dtype == np.float32 for sound in changed)
