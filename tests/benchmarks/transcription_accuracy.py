"""Word error rates of the recogniser and of faster-whisper's own `transcribe`.

Both are given the same sound, model files and language, and search with five beams.
`python -m tests.benchmarks.transcription_accuracy` prints a row of JSON for each material on stdout, and a table on
stderr. It takes hours; `--cache` keeps what faster-whisper answered, for the next time.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from faster_whisper import WhisperModel
from rich.console import Console
from rich.table import Table

from models.transcription.model_files import find_model
from models.transcription.recognizer import Recognizer, RecognizerSettings
from tests.benchmarks.transcription_material import CONDITIONS, Utterance, acted, synthesised
from tests.speech.transcripts import HeardWord, error_rate, time_errors_s

WORST_POINTS = 0.5
_BATCH = 8
_ACTED = 60
_OTHER_LANGUAGES = ("de", "es", "fr", "zh")

Words = Sequence[HeardWord]
Recognise = Callable[[Sequence[Utterance]], list[Words]]
Transcribe = Callable[[Sequence[Utterance]], list[str]]


@dataclass(frozen=True, slots=True)
class Row:
    """What two recognisers made of the same utterances: error rates in percent, times in milliseconds."""

    model: str
    material: str
    utterances: int
    error_rate: float
    reference_error_rate: float
    start_error_ms: float | None
    end_error_ms: float | None
    refused: int

    @property
    def points_worse(self) -> float:
        return self.error_rate - self.reference_error_rate


def compared(material: str, model: str, utterances: Sequence[Utterance], own: Recognise, reference: Transcribe) -> Row:
    """Both recognisers' errors in some utterances of one language."""
    said, language = [utterance.text for utterance in utterances], utterances[0].language
    answers, reference_texts = own(utterances), reference(utterances)
    texts = [" ".join(word.text for word in words) for words in answers]
    starts, ends = [], []
    for utterance, words in zip(utterances, answers, strict=True):
        if utterance.marks:
            errors = time_errors_s(utterance.marks, words)
            starts += [abs(error) for error in errors[0]]
            ends += [abs(error) for error in errors[1]]
    return Row(
        model=model,
        material=material,
        utterances=len(said),
        error_rate=100 * error_rate(said, texts, language),
        reference_error_rate=100 * error_rate(said, reference_texts, language),
        start_error_ms=_milliseconds(starts),
        end_error_ms=_milliseconds(ends),
        refused=sum(not words for words in answers),
    )


class Own:
    """The recogniser: one session an utterance, several at once."""

    def __init__(self, model: str, language: str, threads: int = 0) -> None:
        self._recognizer = Recognizer.load(RecognizerSettings(model, language, "cpu", threads))

    def __call__(self, utterances: Sequence[Utterance]) -> list[Words]:
        heard: list[Words] = []
        for start in range(0, len(utterances), _BATCH):
            batch = utterances[start : start + _BATCH]
            rows = [(utterance.name, self._recognizer.prepare(utterance.pcm)) for utterance in batch]
            answers = self._recognizer.recognize(rows)
            heard += [[HeardWord(word.text, word.start_s, word.end_s) for word in answer.words] for answer in answers]
        return heard


class Reference:
    """faster-whisper's own `transcribe` as it comes, call after call. Remembers texts in a file."""

    def __init__(self, model: str, language: str, threads: int = 0, cache: Path | None = None) -> None:
        files = find_model(model, language, on_gpu=False)
        self._whisper = WhisperModel(
            files.name, device="cpu", compute_type="int8", cpu_threads=threads, files=dict(files.contents)
        )
        self._cache = cache
        self._known: dict[str, str] = {}
        if cache and cache.exists():
            self._known = dict(map(json.loads, cache.read_text("utf-8").splitlines()))

    def __call__(self, utterances: Sequence[Utterance]) -> list[str]:
        return [self._transcribe(utterance) for utterance in utterances]

    def _transcribe(self, utterance: Utterance) -> str:
        if utterance.name not in self._known:
            parts, _ = self._whisper.transcribe(utterance.pcm, language=utterance.language)
            text = " ".join(part.text for part in parts)
            self._known[utterance.name] = text
            if self._cache:
                with self._cache.open("a", encoding="utf-8") as file:
                    print(json.dumps([utterance.name, text], ensure_ascii=False), file=file)
        return self._known[utterance.name]


def campaign(model: str, cache: Path | None, threads: int, numbers: Sequence[int] | None = None) -> Iterator[Row]:
    """All rows of a model."""
    materials: Mapping[str, list[Utterance]] = {
        **{name: list(synthesised("en", name, numbers)) for name in CONDITIONS},
        "RAVDESS": list(acted(_ACTED)),
    }
    own, reference = Own(model, "en", threads), Reference(model, "en", threads, cache)
    for name, utterances in materials.items():
        if utterances:
            yield compared(name, model, utterances, own, reference)
    if model != "tiny":
        for language in _OTHER_LANGUAGES:
            utterances = list(synthesised(language, "clean"))
            yield compared(language, model, utterances, Own(model, language, threads), reference)


def print_table(rows: Sequence[Row]) -> None:
    """Prints rows to stderr."""
    table = Table("model", "material", "utterances", "own", "reference", "worse by", "start", "end", "refused")
    for row in rows:
        times = ["-" if ms is None else f"{ms:.0f} ms" for ms in (row.start_error_ms, row.end_error_ms)]
        rates = [f"{row.error_rate:.2f} %", f"{row.reference_error_rate:.2f} %", f"{row.points_worse:+.2f}"]
        table.add_row(row.model, row.material, str(row.utterances), *rates, *times, str(row.refused))
    Console(stderr=True, width=120).print(table)


def main() -> None:
    """Runs the campaign of the models named."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("models", nargs="*", default=["tiny", "base"])
    options.add_argument("--cache", type=Path, help="a folder for the answers of faster-whisper")
    options.add_argument("--threads", type=int, default=0)
    options.add_argument("--sentences", type=int, help="how many English sentences, all by default")
    chosen = options.parse_args()
    rows = []
    for model in chosen.models:
        cache = chosen.cache / f"{model}.jsonl" if chosen.cache else None
        numbers = range(chosen.sentences) if chosen.sentences else None
        for row in campaign(model, cache, chosen.threads, numbers):
            rows.append(row)
            print(json.dumps(asdict(row)), flush=True)
    print_table(rows)


def _milliseconds(errors_s: Sequence[float]) -> float | None:
    return 1000 * median(errors_s) if errors_s else None


if __name__ == "__main__":
    main()
