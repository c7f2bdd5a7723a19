"""Training on a manifest of one's own: voices and lines become parts of a model folder that is whole and measured."""

import io
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray
from rich.console import Console
from safetensors.torch import load_file, save_file

from daemon.cli.figures import print_comparison
from daemon.cli.main import main
from models.artifact import CARD, SHIPPED, ModelFolder, read_model_folder, write_model_folder
from models.data.user.manifest import TooFewRowsError
from models.data.user.texts import read_user_texts
from models.evaluation.evaluate import evaluate
from models.labels import EMOTIONS, RISKS
from models.model import AffectModel
from models.training.assemble import user_choice
from models.training.assemble.card import model_card
from models.training.assemble.user_choice import LEAST_HELD_OUT, better_model
from models.training.assemble.user_model import LEAST_OF_RISK, with_user_parts
from models.training.calibration.command import CROSS_VALIDATED
from models.training.calibration.user_calibration import LEAST_OF_LABEL, LEAST_ROWS
from models.training.command import train
from models.training.loop.fit import Metrics
from models.training.part.folder import PartFolder
from models.training.part.held_out import CLEAN, EmotionLogits, HeldOutLogits, RiskLogits
from models.training.speech.train import SpeechTraining
from models.training.speech.user import train_user_speech
from models.training.speech.window_passes import load_windows
from models.training.text.recipes import TextTraining
from models.training.text.user import make_user_text
from tests.models.model_folders import plain_manifest
from tests.models.test_speech_activity import vowel

pytestmark = pytest.mark.unit

HEADER = "id,split,group,audio,text,emotion,distress"
SPLITS = ("train", "train", "valid", "test")
CONFIG = """
[speech]
epochs = 3
windows_per_epoch = 512
batch_windows = 32
augmented_passes = 1
learning_rate = 0.002
ema_decay = 0.0
[text]
epochs = 1
"""


def manifest(folder: Path, rows: Sequence[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.csv").write_text("\n".join((HEADER, *rows)) + "\n", encoding="utf-8")
    return folder


def voices(folder: Path, count: int = 16) -> list[str]:
    """Rows of sung vowels: sad ones low, angry ones higher."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(count):
        angry = number // 4 % 2
        soundfile.write(folder / f"{number}.wav", np.tile(vowel((100.0, 150.0)[angry] + number), 2), 16_000)
        rows.append(f"voice{number},{SPLITS[number % 4]},singer{number},{number}.wav,,{('sad', 'angry')[angry]},")
    return rows


def lines(count: int = 32) -> list[str]:
    """Rows of lines, half of them in distress, with an emotion or without one."""
    said = ("we had a lovely picnic on day", "I cannot bear this any longer on day")
    return [
        f"line{n},{SPLITS[n % 4]},writer{n},,{said[n // 4 % 2]} {n},{(('joy', 'sad')[n // 4 % 2], '')[n // 8 % 2]},"
        f"{n // 4 % 2}"
        for n in range(count)
    ]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Voices and lines, among them what cannot be used."""
    folder = tmp_path_factory.mktemp("own") / "data"
    rows = voices(folder) + lines()
    soundfile.write(folder / "hum.wav", 0.3 * np.sin(2 * np.pi * 50 * np.arange(16_000) / 16_000), 16_000)
    shutil.copy(folder / "2.wav", folder / "copy.wav")
    rows += ["hum,train,h,hum.wav,,sad,", "copy,train,c,copy.wav,,sad,", "plain,train,p,0.wav,,,"]
    rows += ["shouted,train,s,,WE HAD A LOVELY PICNIC ON DAY 2,joy,", "unlabelled,train,u,,hello,,"]
    return manifest(folder, rows)


@pytest.fixture(scope="module")
def out(data: Path) -> Path:
    """Where all tasks of this module train."""
    (data.parent / "train.toml").write_text(CONFIG)
    return data.parent / "out"


def trained(task: str, data: Path, out: Path) -> ModelFolder:
    return read_model_folder(train(task, data, out, out.parent / "train.toml"))


def same(one: ModelFolder, other: ModelFolder, part: str) -> bool:
    ours, theirs = one.tensors[part], other.tensors[part]
    return ours.keys() == theirs.keys() and all(ours[name].equal(tensor) for name, tensor in theirs.items())


def test_voices_become_a_model_folder_that_is_measured(data: Path, out: Path) -> None:
    model, shipped = trained("speech", data, out), read_model_folder(SHIPPED)
    assert [same(model, shipped, part) for part in ("face", "speech", "text")] == [True, False, True]
    scale = model.tensors["speech"]["scale"]
    assert scale.equal(shipped.tensors["speech"]["scale"])

    metrics = model.manifest.metrics
    assert metrics["speech"]["rows"] == {"train": 8, "valid": 4}
    assert metrics["speech"]["dropped"]["audio"] == {
        "no voice": 1,
        "copy of a sample in the valid split": 1,
        "no emotion": 1,
    }
    assert {name.partition("/")[0] for name in metrics["corpora"]}.isdisjoint({"ravdess", "emodb"})
    assert set(metrics["fusion"]["subsets"]) == {"video", "text", "video+text"}
    assert model.manifest.conformal is None
    card = (model.path / CARD).read_text()
    assert "| speech | the user's own valid |" in card
    assert "held out" not in card.partition("## On each corpus")[0]
    assert "| manifest | speech | train | the user's own |" in card

    others = data.parent / "others"
    figures = evaluate(str(model.path), "manifest", manifest(others, voices(others)), "test", None, None)
    assert figures["n"] == 4
    assert figures["accuracy"] == 1


def test_only_voices_to_learn_from_are_changed(data: Path, out: Path) -> None:
    trained("speech", data, out)
    passes = out / "speech" / "passes"
    assert len(list((passes / "train").iterdir())) == 2
    (heard,) = (passes / "valid").iterdir()
    assert load_windows(heard).whole.all()
    learnt = {speaker for file in (passes / "train").iterdir() for speaker in load_windows(file).speaker}
    assert learnt.isdisjoint(load_windows(heard).speaker)


def test_lines_that_the_shipped_part_reads_as_well_leave_it_where_it_is(data: Path, out: Path) -> None:
    made, shipped = trained("text", data, out), read_model_folder(SHIPPED)
    assert same(made, shipped, "text")
    assert made.manifest.digest() == shipped.manifest.digest()
    own = made.manifest.metrics["own"]
    assert own["parts"] == []
    assert set(own["compared"]["text"]) == {"emotion", "distress", "all tasks"}
    assert own["compared"]["fused"]["emotion"]["change"] == [0, 0, 0]
    assert own["held_out"] == {"splits": ["test", "valid"], "rows": 16}
    assert "all are as they were shipped" in (made.path / CARD).read_text()


def test_a_part_made_of_lines_is_whole_and_said_only_what_was_measured_of_it(data: Path, out: Path) -> None:
    trained("text", data, out)
    shipped = read_model_folder(SHIPPED)
    model = with_user_parts(shipped, out, ["text"])
    assert [same(model, shipped, part) for part in ("face", "speech", "text")] == [True, True, False]
    tensors = model.tensors["text"]
    table = [
        f"{network}.{name}" for network in ("english", "multilingual") for name in ("table.nibbles", "pieces.spelling")
    ]
    assert all(tensors[name].equal(shipped.tensors["text"][name]) for name in table)

    metrics = model.manifest.metrics
    assert metrics["text"]["rows"] == {"train": 16, "valid": 8}
    assert metrics["text"]["dropped"]["text"] == {
        "neither emotion nor risk": 1,
        "copy of a sample in the valid split": 1,
    }
    assert set(metrics["text"]["best_epochs"]) == {"english", "multilingual"}
    assert set(metrics["corpora"]) == {"ferplus/emotion", "emodb/emotion", "ravdess/emotion"}
    assert metrics["thresholds"] == {}
    assert "risk" not in metrics
    assert model.manifest.risk == shipped.manifest.risk
    assert "distress: the curve is kept" in model_card(model.manifest)

    write_model_folder(out / "of_lines", model.manifest, model.tensors, "")
    assert evaluate(str(out / "of_lines"), "manifest", data, "test", "distress", None)["n"] == 8


def test_all_trains_what_there_are_rows_for_and_nothing_twice(data: Path, out: Path) -> None:
    alone = {part: trained(part, data, out) for part in ("speech", "text")}
    written = {part: (out / part / f"{part}.safetensors").stat().st_mtime_ns for part in alone}
    model = trained("all", data, out)
    assert {part: (out / part / f"{part}.safetensors").stat().st_mtime_ns for part in alone} == written
    assert same(model, read_model_folder(SHIPPED), "face")
    assert all(same(model, folder, part) for part, folder in alone.items())
    assert model.manifest.metrics["own"]["parts"] == ["speech"]
    assert set(model.manifest.metrics["fusion"]["subsets"]) == {"video", "text", "video+text"}
    assert evaluate(str(model.path), "manifest", data, "test", None, None)["n"] == 8


class Killed(Exception):
    pass


def killed(epoch: int, metrics: Metrics) -> None:
    raise Killed


def test_speech_that_was_killed_goes_on_to_the_same_network(data: Path, tmp_path: Path) -> None:
    quick = SpeechTraining(epochs=2, windows_per_epoch=32, batch_windows=16, augmented_passes=0)
    with pytest.raises(Killed):
        train_user_speech(data, tmp_path / "killed", quick, killed)
    shutil.copytree(tmp_path / "killed" / "passes", tmp_path / "whole" / "passes")
    train_user_speech(data, tmp_path / "killed", quick)
    train_user_speech(data, tmp_path / "whole", quick)
    resumed, whole = (load_file(tmp_path / run / "speech.safetensors") for run in ("killed", "whole"))
    assert all(resumed[name].equal(tensor) for name, tensor in whole.items())


def test_the_english_network_learns_from_english_lines_alone(tmp_path: Path) -> None:
    rows = [
        f"{n},{SPLITS[n % 4]},,,{('今天真高兴', '我好难过')[n // 4 % 2]}第{n}天,{('joy', 'sad')[n // 4 % 2]},"
        for n in range(16)
    ]
    figures = make_user_text(
        manifest(tmp_path / "data", rows), tmp_path / "text", TextTraining(epochs=1), {"multilingual": lambda *_: None}
    )
    assert set(figures["best_epochs"]) == {"multilingual"}
    shipped, made = read_model_folder(SHIPPED).tensors["text"], load_file(tmp_path / "text" / "text.safetensors")
    changed = {
        name.partition(".")[0]
        for name, tensor in made.items()
        if not torch.allclose(shipped[name].float(), tensor.float())
    }
    assert changed == {"multilingual"}


def test_a_group_is_in_one_split_however_rows_are_dealt(tmp_path: Path) -> None:
    rows = [f"{n},,singer{n // 2},{n % 16}.wav,line {n},{('joy', 'sad')[n % 2]}," for n in range(48)]
    voices(tmp_path / "data")
    learnt, judged, _ = read_user_texts(manifest(tmp_path / "data", rows))
    assert {line.group for line in learnt}.isdisjoint(line.group for line in judged)
    assert len(learnt) > len(judged) > 0


@pytest.mark.parametrize(
    ("task", "rows", "message"),
    [
        ("speech", ["1,train,,0.wav,,sad,", "2,train,,1.wav,,angry,"], "the split valid has no voice with an emotion"),
        ("speech", ["1,valid,,0.wav,,sad,"], "the split train has no voice with an emotion"),
        (
            "speech",
            ["1,train,,0.wav,,sad,", "2,valid,,1.wav,,angry,"],
            r"the split train shows one emotion alone \(sadness\), and two are needed",
        ),
        ("text", ["1,train,,,so sad,sad,", "2,valid,,,so glad,joy,"], "two emotions in the split train"),
        ("text", ["1,train,,,so sad,,1", "2,train,,,so glad,,0", "3,valid,,,what,,1"], "a risk and without it in both"),
        ("all", ["1,train,,0.wav,so sad,sad,"], "(?s)no face with an emotion.*no voice with an emotion.*two emotions"),
    ],
)
def test_too_few_rows_are_said_and_begin_nothing(tmp_path: Path, task: str, rows: list[str], message: str) -> None:
    voices(tmp_path / "data", 2)
    with pytest.raises(TooFewRowsError, match=rf"(?s)manifest\.csv: .*{message.removeprefix('(?s)')}"):
        train(task, manifest(tmp_path / "data", rows), tmp_path / "out")
    assert not list((tmp_path / "out").rglob("training.json"))


def left_by_training(
    folder: PartFolder,
    tensors: dict[str, torch.Tensor],
    labels: NDArray[np.int64],
    logits: NDArray[np.float32],
    risks: Mapping[str, tuple[NDArray[np.float32], NDArray[np.bool_]]],
) -> None:
    """risks: logits and labels by risk; a risk that is not given has no line."""
    rows, none = len(labels), (np.zeros(0, np.float32), np.zeros(0, np.bool_))
    emotion = EmotionLogits(logits, labels, np.full(rows, "manifest"), np.arange(rows).astype(str))
    heads = {
        risk: RiskLogits(curve, curve, with_risk, np.full(len(curve), "manifest"))
        for risk in RISKS
        for curve, with_risk in [risks.get(risk, none)]
    }
    HeldOutLogits("text", emotion, logits, np.full(rows, CLEAN), risks=heads).save(folder.held_out)
    folder.write_metrics({"data": "manifest", "rows": {"train": 40, "valid": rows}})
    save_file(tensors, folder.weights)


def broken_run(out: Path, shipped: ModelFolder) -> None:
    """What training leaves, of a text part that answers happiness to everything."""
    tensors = {name: tensor.clone() for name, tensor in shipped.tensors["text"].items()}
    for network in ("english", "multilingual"):
        tensors[f"{network}.emotion.bias"][EMOTIONS.index("happiness")] = 100.0
    left_by_training(PartFolder.under(out, "text"), tensors, np.zeros(0, np.int64), np.zeros((0, 7), np.float32), {})


def test_a_part_that_became_worse_is_shown_beside_the_shipped_one_which_stays(tmp_path: Path) -> None:
    shipped = read_model_folder(SHIPPED)
    broken_run(tmp_path / "runs", shipped)
    said = {
        "joy": "what a lovely day I am so happy",
        "sad": "she died and I miss her",
        "angry": "this is infuriating!",
    }
    rows = [f"{n},test,,,{text} {n},{label}," for n, (label, text) in enumerate([*said.items()] * 8)]
    model = better_model(manifest(tmp_path / "data", rows), tmp_path / "runs", ["text"])
    assert same(model, shipped, "text")
    own = model.manifest.metrics["own"]
    assert (own["parts"], own["held_out"]["splits"]) == ([], ["test"])
    found = own["compared"]["text"]["emotion"]
    assert (found["rows"], found["better_in"]) == (24, 0)
    assert found["after"][0] == pytest.approx(1 / 3, abs=1e-3)
    assert found["before"][0] > 0.9
    assert found["change"][2] < 0
    assert "no row of the split valid is labelled with emotion" in own["calibration"][0]
    written = io.StringIO()
    print_comparison(own, Console(file=written, width=80))
    assert "text: not better, the shipped part stays" in written.getvalue()
    assert max(map(len, written.getvalue().splitlines())) <= 80


@pytest.mark.parametrize(("after", "measured", "taken"), [(0.9, CROSS_VALIDATED, True), (1.1, CROSS_VALIDATED, False)])
def test_calibration_follows_where_it_answers_other_rows_better(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, after: float, measured: str, taken: bool
) -> None:
    before, fitted = plain_manifest(), plain_manifest(version="0+own")
    losses = {"before": {"label_nll": 1.0}, "after": {"label_nll": after}}
    figures = {"n": 42, "after_is_of": measured, "kept": ["fusion: weights are kept"], **losses}
    monkeypatch.setattr(user_choice, "calibrated", lambda *_: (fitted, figures))
    model = AffectModel(before, {}, torch.device("cpu"))
    manifest, said = user_choice.calibrated_if_better(model, tmp_path)
    assert manifest is (fitted if taken else before)
    assert said[0].startswith("calibration: fitted to 42" if taken else "calibration: kept as it was")


def test_the_smallest_amounts_stand_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    for amount in (
        f"with fewer than {LEAST_HELD_OUT}, valid too",
        f"from {LEAST_ROWS} rows of valid on, {LEAST_OF_LABEL} or more of each of two labels",
        f"from {LEAST_OF_RISK} lines with it and {LEAST_OF_RISK} without",
    ):
        assert amount in told


def answered(labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float32]:
    shown = rng.normal(0, 1, (len(labels), len(EMOTIONS))) + 3 * np.eye(len(EMOTIONS))[labels]
    return shown.astype(np.float32)


@pytest.mark.parametrize("each", [LEAST_OF_RISK - 1, LEAST_OF_RISK])
def test_a_risk_is_calibrated_anew_where_there_are_enough_lines(tmp_path: Path, each: int) -> None:
    rng, shipped = np.random.default_rng(0), read_model_folder(SHIPPED)
    labels = np.arange(70) % len(EMOTIONS)
    risks = {"distress": (rng.normal(0, 1, 2 * each).astype(np.float32), np.repeat([False, True], each))}
    folder = PartFolder.under(tmp_path, "text")
    left_by_training(folder, dict(shipped.tensors["text"]), labels, answered(labels, rng), risks)
    made = with_user_parts(shipped, tmp_path, ["text"]).manifest
    fitted = [risk for risk in RISKS if made.risk.heads[risk] != shipped.manifest.risk.heads[risk]]
    assert fitted == (["distress"] if each >= LEAST_OF_RISK else [])
    assert made.risk.levels == shipped.manifest.risk.levels
    assert made.calibration["text"] != shipped.manifest.calibration["text"]
    assert made.calibration["audio"] == shipped.manifest.calibration["audio"]
