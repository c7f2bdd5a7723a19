"""Words that are recognised in sound without speech: there should be none.

`python -m tests.benchmarks.transcription_inventions` makes more than two hours of such sound, takes it through voice
activity and segmentation to the recogniser, and prints a row of JSON for each kind on stdout and a table on stderr.
`--everything` leaves out voice activity: all sound is given to the recogniser, in pieces of eight seconds.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field

from rich.console import Console
from rich.table import Table

from models.transcription.recognizer import Recognizer, RecognizerSettings
from tests.speech.non_speech import KINDS, non_speech
from tests.speech.segmentation import utterances_in
from tests.speech.synthesis import RATE_HZ, Samples

_MINUTES = 8  # of each kind: 16 kinds are more than two hours
_BATCH = 8
_PIECE_S = 8


@dataclass(slots=True)
class Heard:
    """What was made of the sound of one kind. refused: utterances by reason. invented: text of the others."""

    kind: str
    model: str
    seconds: float = 0.0
    utterances: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    invented: list[str] = field(default_factory=list)

    @property
    def words(self) -> int:
        return sum(len(text.split()) for text in self.invented)


def heard_in(kind: str, recognizer: Recognizer, minutes: Sequence[int], everything: bool = False) -> Heard:
    """Takes minutes of a kind, each from a seed of its own, to the recogniser."""
    heard = Heard(kind, recognizer.name)
    for seed in minutes:
        sound = non_speech(kind, seed, 60)
        heard.seconds += 60
        utterances = list(_pieces(sound)) if everything else utterances_in(sound)
        heard.utterances += len(utterances)
        for start in range(0, len(utterances), _BATCH):
            batch = [(f"{kind} {seed}", recognizer.prepare(pcm)) for pcm in utterances[start : start + _BATCH]]
            for answer in recognizer.recognize(batch):
                if answer.rejected is not None:
                    heard.refused[answer.rejected] = heard.refused.get(answer.rejected, 0) + 1
                if answer.words:
                    heard.invented.append(" ".join(word.text for word in answer.words))
    return heard


def _pieces(sound: Samples) -> Iterator[Samples]:
    for start in range(0, len(sound), _PIECE_S * RATE_HZ):
        yield sound[start : start + _PIECE_S * RATE_HZ]


def main() -> None:
    """Runs the campaign."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--model", default="auto")
    options.add_argument("--language", default="auto")
    options.add_argument("--minutes", type=int, default=_MINUTES)
    options.add_argument("--threads", type=int, default=0)
    options.add_argument("--everything", action="store_true")
    options.add_argument("--kinds", nargs="*", default=list(KINDS))
    chosen = options.parse_args()
    recognizer = Recognizer.load(RecognizerSettings(chosen.model, chosen.language, "cpu", chosen.threads))
    table = Table("kind", "seconds", "utterances", "refused", "words", "invented")
    total = 0
    for kind in chosen.kinds:
        heard = heard_in(kind, recognizer, range(chosen.minutes), chosen.everything)
        print(json.dumps(asdict(heard)), flush=True)
        reasons = ", ".join(f"{reason} {count}" for reason, count in heard.refused.items())
        numbers = [f"{heard.seconds:.0f}", str(heard.utterances), reasons, str(heard.words)]
        table.add_row(kind, *numbers, " | ".join(heard.invented)[:200])
        total += heard.words
    table.add_row("all", f"{chosen.minutes * 60 * len(chosen.kinds)}", "", "", str(total), "")
    Console(stderr=True, width=140).print(table)


if __name__ == "__main__":
    main()
