"""What a recogniser reads in lines that a synthesiser said.

Both take their time, so every reading is written to a file at once and read from there when asked again. The file holds
the lines themselves: it belongs beside the data, never among the weights.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.evaluation.progress import OnRows, no_progress
from models.training.transcripts.lines import SpokenLine
from models.training.transcripts.synthesis import Samples, synthesize
from models.transcription.recognizer import LONGEST_S, Recognizer, RecognizerSettings

_LINES_PER_CALL = 8
_RATE_HZ = 16_000


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read in one line.

    text: empty where nothing is believed. confidence: 0..1.
    """

    text: str
    confidence: float


def recognised(
    lines: Sequence[SpokenLine], model: str, file: Path, progress: OnRows = no_progress
) -> list[Reading | None]:
    """What a recogniser reads in English lines.

    None where a line is too long or too short to be read. model: as of `RecognizerSettings`. file: readings so far,
    which is added to. Raises models.artifact.ModelError.
    """
    known = _known(file)
    missing = [line for line in lines if (line.voice, line.said) not in known]
    if missing:
        recognizer = Recognizer.load(RecognizerSettings(model=model, language="en"))
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as out:
            for start in range(0, len(missing), _LINES_PER_CALL):
                for line, reading in _read(recognizer, missing[start : start + _LINES_PER_CALL]):
                    known[line.voice, line.said] = reading
                    row = [line.voice, line.said, reading.text, reading.confidence]
                    out.write(json.dumps(row, ensure_ascii=False) + "\n")
                out.flush()
                progress(recognizer.name, min(start + _LINES_PER_CALL, len(missing)), len(missing))
    return [known.get((line.voice, line.said)) for line in lines]


def _read(recognizer: Recognizer, lines: Sequence[SpokenLine]) -> list[tuple[SpokenLine, Reading]]:
    sounds = [(line, synthesize(line.said, line.voice).pcm) for line in lines]
    fitting = [(line, pcm) for line, pcm in sounds if _fits(pcm)]
    answers = recognizer.recognize([(line.sample.id, recognizer.prepare(pcm)) for line, pcm in fitting])
    return [(line, Reading(answer.text, answer.confidence)) for (line, _), answer in zip(fitting, answers, strict=True)]


def _fits(pcm: Samples) -> bool:
    return 0.1 * _RATE_HZ < len(pcm) <= LONGEST_S * _RATE_HZ and bool(np.abs(pcm).max() > 0)


def _known(file: Path) -> dict[tuple[str, str], Reading]:
    if not file.is_file():
        return {}
    rows = [json.loads(row) for row in file.read_text(encoding="utf-8").splitlines()]
    return {(voice, said): Reading(text, confidence) for voice, said, text, confidence in rows}
