"""The model folder: weights, `model.json`, and a model card.

Weights are in safetensors, everything else that the service needs is in `model.json`; the card is for people.

The rule: a folder is refused as a whole unless its `model.json` is of this schema and every file has the digest written
there. The model's own digest covers the weights and whatever in `model.json` changes a score, so that a prediction's id
tells which model made it. Tensor names start with their part (`face.`, `speech.`, `text.`).
Left out: building encoders from the tensors (`models.components`). Pickle is never read.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import torch
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from safetensors import SafetensorError
from safetensors.torch import load, save

from models.calibration.prediction_sets import ConformalSets
from models.calibration.scaling import CorpusCalibration, TemperatureScaling
from models.calibration.transcripts import TranscriptCalibration
from models.calibration.trust import QUALITIES, TrustCurve
from models.fusion.pool import STRATEGY, LogLinearPool
from models.labels import EMOTIONS, MODALITIES, RISKS
from models.risk import RiskRule

SCHEMA: Literal["affectd.model/1"] = "affectd.model/1"
MANIFEST = "model.json"
WEIGHTS = "weights.safetensors"
CARD = "MODEL_CARD.md"
SHIPPED = Path(__file__).parent / "weights" / "default"
"""The folder of the model named "default"."""

PART_NAMES = ("face", "speech", "text")
"""Prefixes of the tensors, and keys of `parts`."""

_METRICS_READ: Mapping[str, TypeAdapter[Any]] = {
    "calibration": TypeAdapter(dict[str, CorpusCalibration]),
    "log_prior": TypeAdapter(dict[str, list[FiniteFloat | None]]),
    "thresholds": TypeAdapter(dict[str, list[FiniteFloat]]),
}
_ADDED = ("conformal", "transcripts")  # fields that older models lack
_DESCRIPTIVE = {"metrics", "data", "licences"}  # fields that change no score

Tensors = dict[str, torch.Tensor]


class ModelError(ValueError):
    """A model folder cannot be used; the message names file and problem."""


class Presence(BaseModel):
    """When a modality counts as present.

    Its events' summed weight is above 0 and at least `least_amount`.

    The amounts are seconds of voice, summed detection scores of faces, and lines.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    least_amount: float = Field(default=0.0, ge=0, le=3600)


class Manifest(BaseModel):
    """What `model.json` holds.

    parts: per part, the sizes its network is built from. presence, calibration, reliability: per modality, the last of
    those whose events differ in quality. least_confidence: a
    window whose best label is less probable is abstained from. features: what each modality's encoder is given.
    conformal: None for a model that promises no sets. transcripts: of spoken lines; None reads them as chat. files:
    name to SHA-256 in hexadecimal.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)

    schema_: Literal["affectd.model/1"] = Field(default=SCHEMA, alias="schema")
    name: str = Field(min_length=1)
    version: str = Field(min_length=1)
    emotions: tuple[str, ...] = EMOTIONS
    risks: tuple[str, ...] = RISKS
    features: Mapping[str, str]
    parts: Mapping[str, Mapping[str, Any]]
    presence: Mapping[str, Presence]
    calibration: Mapping[str, TemperatureScaling]
    fusion: LogLinearPool
    least_confidence: float = Field(ge=0, lt=1)
    risk: RiskRule
    reliability: Mapping[str, TrustCurve] = Field(default_factory=dict)
    conformal: ConformalSets | None = None
    transcripts: TranscriptCalibration | None = None
    metrics: Mapping[str, Any] = Field(default_factory=dict)
    data: tuple[Mapping[str, Any], ...] = ()
    licences: str = ""
    files: Mapping[str, str] = Field(default_factory=dict)

    @field_validator("fusion", mode="before")
    @classmethod
    def _known_strategy(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and value.get("strategy") != STRATEGY:
            raise ValueError(f"strategy {value.get('strategy')!r} is not one of {STRATEGY}")
        return value

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for field, labels, known in (("emotions", self.emotions, EMOTIONS), ("risks", self.risks, RISKS)):
            if labels != known:
                raise ValueError(f"{field} are {', '.join(labels)}; they have to be {', '.join(known)}, in this order")
        if unknown := sorted(set(self.parts) - set(PART_NAMES)):
            raise ValueError(f"parts: {', '.join(unknown)} is none of {', '.join(PART_NAMES)}")
        named = {"features": self.features, "presence": self.presence, "calibration": self.calibration}
        for field, values in (*named.items(), ("fusion.weights", self.fusion.weights)):
            if set(values) != set(MODALITIES):
                raise ValueError(f"{field} must be given for {', '.join(MODALITIES)} (is for {', '.join(values)})")
        for modality, curve in self.reliability.items():
            if unknown := sorted(set(curve.linear) - set(QUALITIES.get(modality, ()))):
                raise ValueError(f"reliability.{modality}: {', '.join(unknown)} is no quality that is measured of it")
        return self

    @field_validator("metrics")
    @classmethod
    def _measurable(cls, metrics: Mapping[str, Any]) -> Mapping[str, Any]:
        """The few metrics that answers on a corpus's terms are computed from."""
        for name, known in _METRICS_READ.items():
            try:
                known.validate_python(metrics.get(name, {}))
            except ValidationError as wrong:
                raise ValueError(_problems(wrong, name)) from wrong
        return metrics

    def digest(self) -> str:
        """Digest, "sha256:...", of all that changes a score.

        That is every field but metrics, data and licence notes. A model without prediction sets, or without a
        calibration of transcripts, has the digest that it had before there were any.
        """
        without = _DESCRIPTIVE | {name for name in _ADDED if getattr(self, name) is None}
        content = self.model_dump(mode="json", by_alias=True, exclude=without)
        return "sha256:" + hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class ModelFolder:
    """A model folder as read.

    tensors: by part, with the part's prefix taken off.
    """

    path: Path
    manifest: Manifest
    tensors: Mapping[str, Tensors]


def read_model_folder(path: Path) -> ModelFolder:
    """Reads and checks a model folder. Raises ModelError."""
    manifest = read_manifest(path)
    tensors: dict[str, Tensors] = {part: {} for part in manifest.parts}
    for name, digest in manifest.files.items():
        for key, tensor in read_tensors(path, name, digest).items():
            part, _, rest = key.partition(".")
            if part not in tensors:
                raise ModelError(f"{path / name}: tensor {key} belongs to no part that {MANIFEST} names")
            if rest in tensors[part]:
                raise ModelError(f"{path / name}: tensor {key} is in another file too")
            tensors[part][rest] = tensor
    return ModelFolder(path, manifest, tensors)


def read_manifest(path: Path) -> Manifest:
    """Reads `model.json` alone. Raises ModelError."""
    file = path / MANIFEST
    if not file.is_file():
        raise ModelError(f"{file}: no such file; a model folder holds {MANIFEST} and {WEIGHTS}")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as wrong:
        raise ModelError(f"{file}: not JSON: {wrong}") from wrong
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema != SCHEMA:
        raise ModelError(f"{file}: schema is {schema!r}, this version reads {SCHEMA!r}")
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError as wrong:
        raise ModelError(f"{file}: {_problems(wrong)}") from wrong
    if not manifest.files:
        raise ModelError(f"{file}: files: names no file with weights")
    return manifest


def write_model_folder(path: Path, manifest: Manifest, tensors: Mapping[str, Tensors], card: str) -> Manifest:
    """Writes weights, manifest and card, and returns the manifest with its digests."""
    flat = {f"{part}.{name}": tensor.contiguous() for part, named in tensors.items() for name, tensor in named.items()}
    weights = save(flat)
    path.mkdir(parents=True, exist_ok=True)
    (path / WEIGHTS).write_bytes(weights)
    complete = manifest.model_copy(update={"files": {WEIGHTS: hashlib.sha256(weights).hexdigest()}})
    content = complete.model_dump(mode="json", by_alias=True)
    (path / MANIFEST).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (path / CARD).write_text(card, encoding="utf-8")
    return complete


def read_tensors(path: Path, name: str, digest: str) -> Tensors:
    """Reads and checks the tensors of one file. Raises ModelError.

    The file must have this SHA-256, and hold finite numbers alone.
    """
    file = path / name
    if Path(name).name != name or file.suffix != ".safetensors":
        raise ModelError(f"{path / MANIFEST}: files.{name}: weights are .safetensors files in the folder itself")
    if not file.is_file():
        raise ModelError(f"{file}: no such file, though {MANIFEST} names it")
    content = file.read_bytes()
    if (actual := hashlib.sha256(content).hexdigest()) != digest:
        raise ModelError(f"{file}: its SHA-256 is {actual}, {MANIFEST} says {digest}: changed or damaged")
    try:
        tensors = load(content)
    except SafetensorError as wrong:
        raise ModelError(f"{file}: {wrong}") from wrong
    for key, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ModelError(f"{file}: tensor {key} holds numbers that are not finite")
        if key.endswith("running_var") and (tensor < 0).any():
            raise ModelError(f"{file}: tensor {key} holds variances below 0")
    return tensors


def _problems(wrong: ValidationError, inside: str | None = None) -> str:
    """Each with the path of its key, which begins with `inside`."""
    problems = []
    for error in wrong.errors():
        key = ".".join(map(str, (*([inside] if inside else []), *error["loc"])))
        problems.append(f"{key or 'top level'}: {error['msg'].removeprefix('Value error, ')}")
    return "; ".join(problems)
