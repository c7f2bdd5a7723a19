import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from models.data.corpora.speech import Clip, read_emodb, read_pcm, read_ravdess
from models.labels import EMOTIONS
from models.speech.states import STATES
from models.speech.window_network import WindowNetworkConfig
from models.training.part.folder import PartFolder
from models.training.part.held_out import CLEAN
from models.training.speech.augment import (
    SpeechAugmentation,
    aac_coded,
    augment,
    band_limited,
    noisy,
    reverberated,
)
from models.training.speech.cross_validation import (
    AUGMENTED,
    cross_validated,
    held_out_speakers,
    measure_speech,
    scores,
    state_logits,
)
from models.training.speech.state_logits import StateLogits
from models.training.speech.train import DrawnWindows, SpeechTraining, train_network
from models.training.speech.window_passes import Windows, on_grid, read_windows, window_passes
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


def _windows(clips: int = 24) -> Windows:
    """Windows whose state can be read off their statistics; speakers a to d, of whom a is EMO-DB's."""
    rng = np.random.default_rng(3)
    state = np.arange(clips) % 3
    statistics = rng.normal(size=(clips, _SMALL.network.features))
    for one, shown in zip(statistics, state, strict=True):
        one[100 * shown : 100 * (shown + 1)] += 4
    return Windows(
        statistics.astype(np.float16),
        np.ones(clips, bool),
        np.arange(clips),
        np.array([f"{'emodb' if n % 4 == 0 else 'ravdess'}-{'abcd'[n % 4]}" for n in range(clips)]),
        state,
        np.full(clips, 30, np.float32),
    )


_SMALL = SpeechTraining(
    network=WindowNetworkConfig(streams=(1,), members=2, hidden=16, input_dropout=0.1, dropout=0.0),
    epochs=3,
    windows_per_epoch=256,
    batch_windows=16,
    learning_rate=1e-2,
    ema_decay=0.0,
)


def _of(windows: Windows, *speakers: str) -> Windows:
    return windows.only(np.isin(windows.speaker, speakers))


def test_each_corpus_is_drawn_with_its_share_and_its_emotions_equally() -> None:
    windows = _of(_windows(), "emodb-a", "ravdess-b")
    draw = DrawnWindows(windows, replace(_SMALL, mixup=0.0, label_smoothing=0.0, windows_per_epoch=8000), seed=1)
    drawn = torch.cat([target for _, target in draw(0)]).sum(dim=0)
    assert drawn.sum() == 8000
    np.testing.assert_allclose(drawn[:3] / 8000, [1 / 3] * 3, atol=0.03)
    alone = DrawnWindows(_of(_windows(), "emodb-a"), _SMALL, seed=1)
    assert len(list(alone(0))) == 16


def test_a_mixed_window_is_mixed_with_its_answer() -> None:
    draw = DrawnWindows(_windows(), replace(_SMALL, mixup=1.0, label_smoothing=0.0), seed=1)
    statistics, target = next(draw(0))
    torch.testing.assert_close(target.sum(dim=-1), torch.ones(16))
    assert (target.amax(dim=-1) < 0.99).any()
    told = statistics[:, :300].reshape(-1, 3, 100).mean(dim=-1) / 4
    torch.testing.assert_close(told, target[:, :3], atol=0.15, rtol=0)


def test_an_epoch_is_the_same_whenever_it_is_drawn() -> None:
    draw = DrawnWindows(_windows(), _SMALL, seed=1)
    once, again, other = next(draw(4)), next(draw(4)), next(draw(5))
    torch.testing.assert_close(once, again)
    assert not torch.equal(once[0], other[0])


def test_training_learns_what_can_be_heard_and_carries_it_to_unseen_speakers() -> None:
    windows = _windows()
    network = train_network(_of(windows, "emodb-a", "ravdess-b", "ravdess-c"), _SMALL)
    found = state_logits(network, _of(windows, "ravdess-d"))
    assert set(found.speaker) == {"ravdess-d"}
    assert scores(found)["accuracy"] > 0.9


def test_statistics_are_scaled_by_the_windows_trained_on_alone() -> None:
    windows = _of(_windows(), "ravdess-b")
    network = train_network(windows, replace(_SMALL, epochs=1, windows_per_epoch=16))
    np.testing.assert_allclose(network.centre.numpy(), windows.statistics.mean(0, np.float32), atol=1e-6)


def test_cross_validation_answers_for_every_speaker_once() -> None:
    windows = _windows()
    folds = {"emodb-a": None, "ravdess-b": 0, "ravdess-c": 1, "ravdess-d": 0}
    clips = [Clip(Path(speaker), speaker.split("-")[0], speaker, "anger", fold) for speaker, fold in folds.items()]
    quick = replace(_SMALL, epochs=1, windows_per_epoch=16)
    found = cross_validated(held_out_speakers(clips), [windows], {CLEAN: windows}, quick)
    assert sorted(found[CLEAN].speaker) == sorted(windows.speaker)
    assert set(found[CLEAN].only("emodb").speaker) == {"emodb-a"}


def test_scores_count_calm_as_neutral_among_the_emotions_only() -> None:
    calm, anger = STATES.index("calm"), STATES.index("anger")
    logits = np.full((3, len(STATES)), -9.0, np.float32)
    logits[0, STATES.index("neutral")] = logits[1, anger] = logits[2, calm] = 9
    found = StateLogits(
        logits,
        np.array([calm, anger, STATES.index("neutral")]),
        np.array(["ravdess-1"] * 3),
        np.arange(3),
        np.ones(3, np.float32),
    )
    assert scores(found)["accuracy"] == 1
    assert scores(found)["accuracy_states"] == pytest.approx(1 / 3)


def _clips(folder: Path) -> list[Clip]:
    """Two utterances of 1.5 s and 2.5 s, and one of silence."""
    voice = np.tile(vowel(), 3).astype(np.float32)
    sounds = [voice[:24_000], voice[:40_000], np.zeros(16_000, np.float32)]
    for number, sound in enumerate(sounds):
        soundfile.write(folder / f"{number}.flac", sound, 16_000)
    return [Clip(folder / f"{number}.flac", "emodb", f"emodb-{number}", "fear") for number in range(len(sounds))]


def test_a_clip_gives_one_window_of_all_its_voice_and_none_where_there_is_no_voice(tmp_path: Path) -> None:
    windows = read_windows(_clips(tmp_path), (1, 2), np.asarray, np.random.default_rng(0), parts=False)
    assert windows.clip.tolist() == [0, 1]
    assert windows.statistics.shape == (2, 2 * 2 * 512)
    assert windows.speaker.tolist() == ["emodb-0", "emodb-1"]
    assert set(windows.state) == {STATES.index("fear")}


def test_a_changed_pass_also_gives_a_shorter_run_of_each_clip(tmp_path: Path) -> None:
    windows = read_windows(_clips(tmp_path), (1,), np.asarray, np.random.default_rng(0), parts=True)
    assert windows.whole[windows.clip == 1].tolist() == [True, False]
    whole, part = windows.statistics[windows.clip == 1]
    assert not np.array_equal(whole, part)


def test_passes_are_made_once_and_then_read(tmp_path: Path) -> None:
    clips = _clips(tmp_path)
    made = list(window_passes(clips, tmp_path / "passes", (1,), changed=1))
    for clip in clips:
        clip.path.unlink()
    for fresh, read in zip(made, window_passes(clips, tmp_path / "passes", (1,), changed=1), strict=True):
        for name in Windows.__slots__:
            np.testing.assert_array_equal(getattr(fresh, name), getattr(read, name))


def _corpora(data: Path) -> None:
    """Two actors of each of two folds and two speakers of EMO-DB, who are angry at one pitch and sad at another."""
    rows: dict[str, list[str]] = {"ravdess": [], "emodb": []}
    for speaker, corpus in enumerate(["ravdess"] * 4 + ["emodb"] * 2):
        (data / "speech" / corpus).mkdir(parents=True, exist_ok=True)
        for emotion, pitch_hz in (("angry", 200.0), ("sad", 100.0)):
            file = f"{corpus}/{speaker}-{emotion}.flac"
            soundfile.write(data / "speech" / file, vowel(pitch_hz + speaker), 16_000)
            named = {"angry": "anger", "sad": "sadness"}[emotion] if corpus == "emodb" else emotion
            rows[corpus].append(f"{file},{speaker},{named},{speaker % 2}")
    for corpus, who in (("ravdess", "actor"), ("emodb", "speaker")):
        table = "\n".join([f"file,{who},emotion,fold", *rows[corpus], ""])
        (data / "speech" / f"{corpus}.csv").write_text(table)


def test_measuring_writes_figures_and_the_answers_that_calibration_reads(tmp_path: Path) -> None:
    _corpora(tmp_path)
    quick = replace(_SMALL, augmented_passes=1, epochs=1, windows_per_epoch=32)
    metrics = measure_speech(tmp_path, tmp_path / "out", quick)
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == json.loads(json.dumps(metrics))
    assert set(metrics["results"]) == {f"{q}/{c}" for q in ("clips", "augmented") for c in ("ravdess", "emodb")}
    answered = metrics["results"]["clips/ravdess"]["n"]["mean"] + metrics["unanswered_clips"]["ravdess"]
    assert answered == 8
    folder = PartFolder(tmp_path / "out", "speech")
    held_out = folder.read_held_out()
    assert set(held_out.emotion.corpus) == {"ravdess", "emodb"}
    assert set(held_out.condition) == {CLEAN, AUGMENTED}
    states = StateLogits.load(folder.state_logits)
    clean = held_out.rows(held_out.condition == CLEAN)
    np.testing.assert_array_equal(states.emotion_logits(), clean.emotion.logits)
    assert states.snr_db.tolist() == clean.qualities["snr_db"].tolist()


def test_a_clip_is_laid_on_the_grid_whole() -> None:
    clip = np.full(20_000, 0.5, np.float32)
    pairs = on_grid(clip, np.random.default_rng(0))
    assert pairs.shape[1] == 32_000
    np.testing.assert_array_equal(pairs[:-1, 16_000:], pairs[1:, :16_000])
    seconds = np.concatenate([pairs[:, :16_000].ravel(), pairs[-1, 16_000:]])
    assert (seconds == 0.5).sum() == 20_000
    assert (pairs == 0.5).sum() == 40_000


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
