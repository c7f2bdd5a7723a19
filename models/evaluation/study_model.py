"""A study's model folder: trained fusions of one corpus, and their scales.

A folder holds `model.json`, `weights.safetensors` and `MODEL_CARD.md`, as the service's model does (`models.artifact`),
but is for measuring only: the rows are a corpus's own. It has several members, each a fusion trained on other rows or
from another seed. A row is predicted by the mean of the members' posteriors: of those whose fold held its group out, or
of all where members have no fold. Weights are stored as halves. Pickle is never read.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors.torch import save
from torch import Tensor

from models.artifact import CARD, MANIFEST, WEIGHTS, ModelError, read_tensors
from models.calibration.scaling import Temperature
from models.data.fusion.corpora import Standardisation
from models.data.fusion.rows import FusionRows
from models.fusion.strategies.interface import FusionConfig, FusionStrategy, Missing, ModalitySteps
from models.fusion.strategies.registry import build_strategy

SCHEMA: Literal["affectd.study/1"] = "affectd.study/1"

_DESCRIPTIVE = {"metrics", "data", "licences"}  # fields that change no answer

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class StudyMember:
    """One trained fusion.

    fold: the fold that it was not trained on, None where it was trained on all. temperature: divides its logits.
    """

    strategy: str
    net: FusionStrategy
    scale: Standardisation
    seed: int
    fold: int | None = None
    temperature: float = 1.0

    def logits(self, rows: FusionRows, task: str) -> Floats:
        """(rows, labels) logits, divided by the temperature."""
        scaled = self.scale(rows.with_inputs({name: rows.inputs[name] for name in self.net.config.widths}))
        inputs = {name: ModalitySteps(*map(torch.from_numpy, steps)) for name, steps in scaled.inputs.items()}
        with torch.inference_mode():
            logits = self.net(inputs, torch.from_numpy(rows.session)).logits[task]
        divided: Floats = logits.double().numpy() / self.temperature
        return divided

    @property
    def parameters(self) -> int:
        """The number of trained parameters."""
        return sum(parameter.numel() for parameter in self.net.parameters())


class _MemberSpec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    strategy: str
    seed: int
    fold: int | None
    temperature: Temperature
    widths: Mapping[str, int]
    outputs: Mapping[str, int]
    hidden: int = Field(ge=1)
    dropout: float = Field(ge=0, lt=1)
    recurrent: bool
    missing: Missing

    def config(self) -> FusionConfig:
        return FusionConfig(
            dict(self.widths), dict(self.outputs), self.hidden, self.dropout, self.recurrent, self.missing
        )


class StudyManifest(BaseModel):
    """What `model.json` of a study's model holds.

    corpus, task, labels: what is predicted. files: name to SHA-256 in hexadecimal.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_: Literal["affectd.study/1"] = Field(default=SCHEMA, alias="schema")
    name: str = Field(min_length=1)
    version: str = Field(min_length=1)
    corpus: str
    task: str
    labels: tuple[str, ...]
    members: tuple[_MemberSpec, ...] = ()
    metrics: Mapping[str, Any] = Field(default_factory=dict)
    data: tuple[Mapping[str, Any], ...] = ()
    licences: str = ""
    files: Mapping[str, str] = Field(default_factory=dict)

    def digest(self) -> str:
        """Returns "sha256:..." of all that changes a prediction."""
        content = self.model_dump(mode="json", by_alias=True, exclude=_DESCRIPTIVE)
        return "sha256:" + hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class StudyModel:
    """A study's fusions as read. Immutable; any thread may call it."""

    manifest: StudyManifest
    members: Sequence[StudyMember]

    def probabilities(self, rows: FusionRows, fold: NDArray[np.int64]) -> Floats:
        """Predicts rows; returns (rows, labels).

        fold: (rows,) the fold of each row's group.

        Raises ValueError for a row that no member may answer, having been trained on its group.
        """
        total = np.zeros((len(rows), len(self.manifest.labels)))
        counted = np.zeros(len(rows))
        for member in self.members:
            chosen = np.flatnonzero((fold == member.fold) | (member.fold is None))
            if len(chosen):
                total[chosen] += _softmax(member.logits(rows.rows(chosen), self.manifest.task))
                counted[chosen] += 1
        if not counted.all():
            raise ValueError(f"no member of {self.manifest.name} may answer rows of the fold {fold[counted == 0][0]}")
        return total / counted[:, None]


def read_study(path: Path) -> StudyModel:
    """Reads and checks a folder. Raises ModelError naming file and problem."""
    file = path / MANIFEST
    if not file.is_file():
        raise ModelError(f"{file}: no such file; a model folder holds {MANIFEST} and {WEIGHTS}")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or content.get("schema") != SCHEMA:
            raise ModelError(f"{file}: is no study of a fusion, whose schema is {SCHEMA!r}")
        manifest = StudyManifest.model_validate(content)
    except ValidationError as wrong:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'top level'}: {e['msg']}" for e in wrong.errors())
        raise ModelError(f"{file}: {problems}") from wrong
    except json.JSONDecodeError as wrong:
        raise ModelError(f"{file}: not JSON: {wrong}") from wrong
    tensors = read_tensors(path, WEIGHTS, manifest.files.get(WEIGHTS, "none"))
    try:
        members = [_member(spec, _under(f"{i}.", tensors)) for i, spec in enumerate(manifest.members)]
    except (KeyError, RuntimeError, ValueError) as wrong:
        raise ModelError(f"{path / WEIGHTS}: is not what {MANIFEST} describes: {wrong}") from wrong
    return StudyModel(manifest, members)


def write_study(path: Path, manifest: StudyManifest, members: Sequence[StudyMember], card: str) -> StudyModel:
    """Writes the folder; returns the model as it will be read."""
    tensors: dict[str, Tensor] = {}
    for i, member in enumerate(members):
        halves = {name: value.half() if value.is_floating_point() else value for name, value in _state(member).items()}
        tensors |= {f"{i}.net.{name}": value.contiguous() for name, value in halves.items()}
        for kind in ("mean", "deviation"):
            values: Mapping[str, NDArray[np.float32]] = getattr(member.scale, kind)
            tensors |= {f"{i}.{kind}.{name}": torch.from_numpy(value) for name, value in values.items()}
    weights = save(tensors)
    complete = manifest.model_copy(
        update={"members": tuple(map(_spec, members)), "files": {WEIGHTS: hashlib.sha256(weights).hexdigest()}}
    )
    path.mkdir(parents=True, exist_ok=True)
    (path / WEIGHTS).write_bytes(weights)
    content = complete.model_dump(mode="json", by_alias=True)
    (path / MANIFEST).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (path / CARD).write_text(card, encoding="utf-8")
    return read_study(path)


def _state(member: StudyMember) -> dict[str, Tensor]:
    return dict(member.net.state_dict())


def _spec(member: StudyMember) -> _MemberSpec:
    config = member.net.config
    return _MemberSpec(
        strategy=member.strategy,
        seed=member.seed,
        fold=member.fold,
        temperature=member.temperature,
        widths=config.widths,
        outputs=config.outputs,
        hidden=config.hidden,
        dropout=config.dropout,
        recurrent=config.recurrent,
        missing=config.missing,
    )


def _member(spec: _MemberSpec, tensors: Mapping[str, Tensor]) -> StudyMember:
    net = build_strategy(spec.strategy, spec.config())
    net.load_state_dict({name: value.float() for name, value in _under("net.", tensors).items()})
    scale = Standardisation(
        *(
            {name: value.numpy() for name, value in _under(f"{kind}.", tensors).items()}
            for kind in ("mean", "deviation")
        )
    )
    if not set(spec.widths) <= set(scale.mean):
        raise KeyError(f"no scale for {', '.join(set(spec.widths) - set(scale.mean))}")
    return StudyMember(spec.strategy, net.eval(), scale, spec.seed, spec.fold, spec.temperature)


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _softmax(logits: Floats) -> Floats:
    weighted = np.exp(logits - logits.max(axis=1, keepdims=True))
    softmax: Floats = weighted / weighted.sum(axis=1, keepdims=True)
    return softmax
