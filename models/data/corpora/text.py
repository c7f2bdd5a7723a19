"""The public text corpora, each read to the same samples.

A sample is one text with its corpus's labels, in our label spaces.

Every corpus labels only some heads; what it does not speak of is None and masked in losses and figures. Files are
`DATA/text/NAME_SPLIT.jsonl.gz`. A corpus without a validation file gives one: a tenth of its training groups, chosen by
a hash of the group, so that the split never depends on the order of rows and no group is on both sides. Lines of a
dialogue come with the ones said before them.

Maps to Ekman's labels: GoEmotions by its own Ekman grouping (joy is happiness); TweetEval optimism is happiness; ISEAR
guilt and shame are sadness, as GoEmotions groups remorse and embarrassment; SMP2020 angry is anger, and its missing
disgust is unknown rather than absent. Risks: stress is distress; suicide against depression is self_harm, and both are
distress; high suicide risk is self_harm and distress; hateful or offensive is abuse.
"""

import gzip
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from models.labels import EMOTIONS, RISKS

Split = Literal["train", "valid", "test"]
RiskTargets = tuple[float | None, float | None, float | None]
NO_RISK: RiskTargets = (None, None, None)

_VALID_SHARE = 10  # one group in ten
_LINES_BEFORE = 3
_EKMAN = {name: name for name in EMOTIONS} | {"joy": "happiness"}
_TWEETEVAL_EMOTION = {"anger": "anger", "joy": "happiness", "optimism": "happiness", "sadness": "sadness"}
_ISEAR = _EKMAN | {"guilt": "sadness", "shame": "sadness"}
_SMP2020 = _EKMAN | {"angry": "anger", "happy": "happiness", "sad": "sadness"}


class CorpusError(ValueError):
    """A corpus file is missing or malformed.

    The message names the file, the line and what is wrong.
    """


@dataclass(frozen=True, slots=True)
class TextSample:
    """One text with its labels.

    emotion: seven shares that sum to 1, in the order of EMOTIONS. risk: 0..1 or None, in the order of RISKS.
    group: what must not be in two splits (a dialogue, a respondent, else the text's own id).
    before: the lines said just before it in its dialogue, the last one last; empty outside dialogues.
    """

    id: str
    lang: str
    text: str
    group: str
    emotion: tuple[float, ...] | None
    risk: RiskTargets = NO_RISK
    before: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Corpus:
    """How one corpus's rows become samples.

    emotions: a row's labels in EMOTIONS, empty where the corpus does not label emotion. group: as in TextSample.
    dialogue: rows of a group follow each other as they were said.
    """

    stem: str
    emotions: Callable[[Mapping[str, Any]], Iterable[str]] = lambda row: ()
    risk: Callable[[Mapping[str, Any]], Mapping[str, float]] = lambda row: {}
    group: Callable[[Mapping[str, Any]], str] = lambda row: str(row["id"])
    has_valid: bool = True
    dialogue: bool = False
    keep: Callable[[Mapping[str, Any]], bool] = lambda row: True


def _suicide(row: Mapping[str, Any]) -> dict[str, float]:
    return {"self_harm": float(row["suicide"]), "distress": 1.0}


def _suicide_risk(row: Mapping[str, Any]) -> dict[str, float]:
    return {"self_harm": 1.0, "distress": 1.0} if row["suicide_risk"] else {"self_harm": 0.0}


CORPORA: dict[str, Corpus] = {
    "goemotions": Corpus("goemotions", emotions=lambda row: [_EKMAN[label] for label in row["ekman"]]),
    "meld": Corpus(
        "meld",
        emotions=lambda row: [_EKMAN[row["emotion"]]],
        group=lambda row: str(row["id"]).rpartition("-")[0],
        dialogue=True,
    ),
    "tweeteval-emotion": Corpus("tweeteval_emotion", emotions=lambda row: [_TWEETEVAL_EMOTION[row["label"]]]),
    "isear": Corpus(
        "isear",
        emotions=lambda row: [_ISEAR[row["emotion"]]],
        group=lambda row: str(row["id"])[:-1],
        has_valid=False,
        keep=lambda row: not row["no_response"],
    ),
    "smp2020": Corpus("smp2020_zh", emotions=lambda row: [_SMP2020[row["emotion"]]]),
    "dreaddit": Corpus("dreaddit", risk=lambda row: {"distress": float(row["stress"])}, has_valid=False),
    "sdcnl": Corpus("sdcnl", risk=_suicide, has_valid=False),
    "sos1k": Corpus("sos1k_zh", risk=_suicide_risk, has_valid=False),
    "davidson": Corpus("davidson", risk=lambda row: {"abuse": float(row["class"] != "neither")}, has_valid=False),
    "tweeteval-hate": Corpus("tweeteval_hate", risk=lambda row: {"abuse": float(row["label"] == "hate")}),
    "tweeteval-offensive": Corpus(
        "tweeteval_offensive", risk=lambda row: {"abuse": float(row["label"] == "offensive")}
    ),
    "cold": Corpus("cold_zh", risk=lambda row: {"abuse": float(row["offensive"])}),
}
"""By the names the commands take."""


def read_corpus(name: str, data: Path, split: Split) -> list[TextSample]:
    """Reads one split of a corpus under the folder `data`.

    Raises KeyError for an unknown name, CorpusError naming file and line for a missing or malformed file.
    """
    corpus = CORPORA[name]
    held_out = split == "valid" and not corpus.has_valid
    path = data / "text" / f"{corpus.stem}_{'train' if held_out else split}.jsonl.gz"
    samples = _samples(path, corpus)
    if corpus.dialogue:
        samples = _with_lines_before(samples)
    if corpus.has_valid or split == "test":
        return list(samples)
    return [sample for sample in samples if _in_valid(sample.group) == held_out]


def without_repeats(train: Iterable[TextSample], valid: Iterable[TextSample]) -> tuple[list[TextSample], int]:
    """Training samples without repeats of `valid`, and how many were dropped.

    Case and spaces do not count.
    """
    seen = {_plain(sample.text) for sample in valid}
    before = list(train)
    unique = [sample for sample in before if _plain(sample.text) not in seen]
    return unique, len(before) - len(unique)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _in_valid(group: str) -> bool:
    return int.from_bytes(hashlib.sha256(group.encode()).digest()[:8]) % _VALID_SHARE == 0


def _samples(path: Path, corpus: Corpus) -> Iterator[TextSample]:
    if not path.is_file():
        raise CorpusError(f"{path}: no such file")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
                if corpus.keep(row):
                    yield _sample(row, corpus)
            except (KeyError, ValueError, TypeError) as wrong:
                raise CorpusError(f"{path}:{number}: {type(wrong).__name__}: {wrong}") from wrong


def _with_lines_before(samples: Iterable[TextSample]) -> Iterator[TextSample]:
    lines_before: tuple[str, ...] = ()
    group = None
    for sample in samples:
        lines_before = lines_before if sample.group == group else ()
        yield replace(sample, before=lines_before)
        group, lines_before = sample.group, (*lines_before, sample.text)[-_LINES_BEFORE:]


def _sample(row: Mapping[str, Any], corpus: Corpus) -> TextSample:
    labels = set(corpus.emotions(row))
    emotion = tuple((name in labels) / len(labels) for name in EMOTIONS) if labels else None
    risk = corpus.risk(row)
    distress, self_harm, abuse = (risk.get(name) for name in RISKS)
    return TextSample(
        str(row["id"]), row["lang"], row["text"], corpus.group(row), emotion, (distress, self_harm, abuse)
    )
