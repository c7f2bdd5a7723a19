"""A model folder is read whole and unchanged, or refused with the name of what is wrong."""

import copy
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from models.artifact import (
    CARD,
    MANIFEST,
    SHIPPED,
    ModelError,
    Tensors,
    read_manifest,
    read_model_folder,
    write_model_folder,
)
from models.calibration.prediction_sets import SUBSETS, ConformalSets
from models.calibration.scaling import TemperatureScaling
from models.fusion.pool import LogLinearPool
from models.labels import MODALITIES
from models.model import AffectModel
from models.training.assemble.card import model_card
from tests.models.model_folders import plain_manifest

pytestmark = pytest.mark.unit

TENSORS = {"face": {"head.weight": torch.ones(2, 3)}, "text": {"bias": torch.zeros(4, dtype=torch.float16)}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_model_folder(tmp_path, plain_manifest(), TENSORS, "# card\n")
    return tmp_path


def rewrite(folder: Path, **changes: Any) -> None:
    content = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(content | changes))


def test_what_is_written_is_read_again(folder: Path) -> None:
    read = read_model_folder(folder)
    assert read.manifest.digest() == read_manifest(folder).digest()
    assert read.tensors["face"]["head.weight"].equal(TENSORS["face"]["head.weight"])
    assert read.tensors["text"]["bias"].dtype == torch.float16
    assert (folder / "MODEL_CARD.md").read_text() == "# card\n"


def test_a_folder_from_before_there_were_sets_is_read_and_keeps_its_digest(folder: Path) -> None:
    digest = read_manifest(folder).digest()
    content = json.loads((folder / "model.json").read_text())
    del content["conformal"]
    (folder / "model.json").write_text(json.dumps(content))
    assert read_manifest(folder).conformal is None
    assert read_manifest(folder).digest() == digest
    sets = ConformalSets(coverages=(0.9,), least=dict.fromkeys(SUBSETS, (0.25,)))
    rewrite(folder, conformal=sets.model_dump(mode="json"))
    assert read_manifest(folder).conformal == sets
    assert read_manifest(folder).digest() != digest


def test_a_changed_byte_of_the_weights_is_refused_with_the_files_name(folder: Path) -> None:
    weights = folder / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ModelError, match=r"weights\.safetensors: its SHA-256 is \w+, model\.json says \w+: changed"):
        read_model_folder(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "weights.safetensors").unlink()
    with pytest.raises(ModelError, match=r"weights\.safetensors: no such file"):
        read_model_folder(folder)
    with pytest.raises(ModelError, match=r"nowhere/model\.json: no such file"):
        read_manifest(folder / "nowhere")


def test_weights_that_are_no_safetensors_are_refused_even_with_their_digest(folder: Path) -> None:
    (folder / "weights.safetensors").write_bytes(b"\x80\x04 not tensors")
    rewrite(folder, files={"weights.safetensors": hashlib.sha256(b"\x80\x04 not tensors").hexdigest()})
    with pytest.raises(ModelError, match=r"weights\.safetensors: "):
        read_model_folder(folder)


@pytest.mark.parametrize("name", ["../weights.safetensors", "weights.pt"])
def test_only_safetensors_of_the_folder_itself_are_read(folder: Path, name: str) -> None:
    rewrite(folder, files={name: "0"})
    with pytest.raises(ModelError, match="in the folder itself"):
        read_model_folder(folder)


def test_a_tensor_of_no_part_is_refused(folder: Path) -> None:
    rewrite(folder, parts={"face": {}})
    with pytest.raises(ModelError, match=r"tensor text\.bias belongs to no part"):
        read_model_folder(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": "affectd.model/2"}, r"schema is 'affectd\.model/2', this version reads 'affectd\.model/1'"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"fusion": {"strategy": "vote", "weights": {}}}, "strategy 'vote' is not one of log_linear_pool"),
        ({"presence": {"video": {}}}, "presence must be given for video, audio, text"),
        ({"emotions": ["joy"]}, "emotions are joy; they have to be neutral, happiness"),
        ({"risks": ["abuse", "distress", "self_harm"]}, "risks are abuse, .* in this order"),
        ({"least_confidence": 1.5}, "least_confidence: "),
        ({"parts": {"face": {}, "smell": {}}}, "parts: smell is none of face, speech, text"),
        ({"files": {}}, "files: names no file with weights"),
        (
            {"reliability": {"text": {"intercept": 1, "linear": {"length": 1}, "quadratic": {"length": 1}}}},
            "length is no",
        ),
        ({"metrics": {"calibration": {"meld/emotion": {"bias": [float("nan")]}}}}, "calibration.meld/emotion.bias.0"),
        ({"metrics": {"log_prior": {"meld": [float("-inf")]}}}, "metrics: log_prior.meld.0: .*finite"),
    ],
)
def test_a_manifest_that_means_nothing_here_is_refused(folder: Path, changes: dict[str, Any], message: str) -> None:
    rewrite(folder, **changes)
    with pytest.raises(ModelError, match=message):
        read_manifest(folder)


def number_paths(content: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Where the numbers are that change a score."""
    if isinstance(content, dict | list):
        items = content.items() if isinstance(content, dict) else enumerate(content)
        for key, value in items:
            if key not in ("metrics", "data", "licences", "parts"):
                yield from number_paths(value, (*path, key))
    elif isinstance(content, float | int) and not isinstance(content, bool):
        yield path


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e308, -1e308])
def test_no_number_that_changes_a_score_may_be_absurd(folder: Path, value: float) -> None:
    """Tried on the shipped manifest, which has all of them."""
    shipped = json.loads((SHIPPED / MANIFEST).read_text(encoding="utf-8"))
    paths = list(number_paths(shipped))
    assert ("fusion", "weights", "video") in paths
    assert ("calibration", "text", "bias", 3) in paths
    for path in paths:
        content = copy.deepcopy(shipped)
        place = content
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        (folder / MANIFEST).write_text(json.dumps(content))
        named = "[.]".join(str(key) for key in path if not isinstance(key, int))
        with pytest.raises(ModelError, match=rf"model\.json: .*{named.split('[.]')[0]}"):
            read_manifest(folder)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (
            {"face": {"head.weight": torch.tensor([1.0, float("nan")])}},
            r"tensor face\.head\.weight holds .* not finite",
        ),
        ({"text": {"bias": torch.full((3,), float("inf"), dtype=torch.float16)}}, r"tensor text\.bias holds"),
        ({"face": {"norm.running_var": torch.tensor([-1.0])}}, r"face\.norm\.running_var holds variances below 0"),
    ],
)
def test_weights_that_are_no_numbers_are_refused_by_name(
    tmp_path: Path, tensors: dict[str, Tensors], message: str
) -> None:
    write_model_folder(tmp_path, plain_manifest(), tensors, "")
    with pytest.raises(ModelError, match=rf"weights\.safetensors: .*{message}"):
        read_model_folder(tmp_path)


def test_weights_of_another_shape_are_refused_by_file_and_key(tmp_path: Path) -> None:
    shipped = read_model_folder(SHIPPED)
    spoilt = {**shipped.tensors, "face": {**shipped.tensors["face"], "head.weight": torch.zeros(7, 64)}}
    write_model_folder(tmp_path, shipped.manifest, spoilt, "")
    with pytest.raises(ModelError, match=r"(?s)weights\.safetensors: part face: .*head\.weight"):
        AffectModel.load(tmp_path)


def test_a_manifest_that_is_not_json_is_refused(folder: Path) -> None:
    (folder / "model.json").write_text("{")
    with pytest.raises(ModelError, match=r"model\.json: not JSON"):
        read_manifest(folder)


def test_the_digest_changes_with_a_weight_and_with_whatever_changes_a_score(tmp_path: Path) -> None:
    changed = {**TENSORS, "face": {"head.weight": torch.ones(2, 3) * 1.001}}
    hotter = dict.fromkeys(MODALITIES, TemperatureScaling(temperature=1.01, bias=(0.0,) * 7))
    heavier = LogLinearPool(weights=dict.fromkeys(MODALITIES, 1.01))
    digests = [
        write_model_folder(tmp_path / "0", plain_manifest(), TENSORS, "").digest(),
        write_model_folder(tmp_path / "1", plain_manifest(), changed, "").digest(),
        write_model_folder(tmp_path / "2", plain_manifest(calibration=hotter), TENSORS, "").digest(),
        write_model_folder(tmp_path / "3", plain_manifest(fusion=heavier), TENSORS, "").digest(),
    ]
    assert len(set(digests)) == 4


def test_the_digest_does_not_change_with_what_is_said_about_the_model() -> None:
    assert plain_manifest(metrics={"uar": 1}, licences="none").digest() == plain_manifest().digest()


def test_a_users_own_model_may_be_of_any_size(tmp_path: Path) -> None:
    write_model_folder(tmp_path, plain_manifest(), {"face": {"w": torch.zeros(11_000_000)}, "text": {}}, "")
    assert read_model_folder(tmp_path).tensors["face"]["w"].numel() == 11_000_000


def test_the_models_that_are_kept_in_git_are_small() -> None:
    folders = [folder for folder in SHIPPED.parent.iterdir() if (folder / MANIFEST).is_file()]
    assert SHIPPED in folders
    assert all(sum(file.stat().st_size for file in folder.iterdir()) < 50_000_000 for folder in folders)


def test_the_shipped_card_is_the_one_its_manifest_gives() -> None:
    assert (SHIPPED / CARD).read_text(encoding="utf-8") == model_card(read_manifest(SHIPPED))
