"""The encoder of text: lines to logits, windows to one answer.

An English network reads English lines, and a multilingual one all others: a line costs the one that knows its language
best. A line is read whole, and sentence by sentence (`models.text.readings`): its emotion is the mean of the whole's
stretches, its risk that of the worst stretch or sentence. A corpus labels its posts as wholes, so on a corpus's terms
risk is the mean of the stretches too.

The rule of pooling: a window's emotion is the mean of its lines; its risk is that of its worst line, because one cry
for help among ten jokes counts. The worst is a soft maximum (a Boltzmann mean), so that two alarming lines weigh as one
and a window never scores above its worst line. Lines that were spoken are read as lines of chat, and their logits then
calibrated for transcripts, which hold recognition errors. Left out: authors. The lines of all who write in a session
are one stream.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from models.calibration.transcripts import TranscriptCalibration
from models.encoder import Encoded, Encoder, Pooled
from models.labels import EMOTIONS, RISKS
from models.text.language import EnglishDetector
from models.text.network import TextNetwork
from models.text.reader import Reader
from models.text.readings import LineSpans, line_spans

_SHARPNESS = 2.0  # per logit: a line 2 logits above another counts 55 times as much
_LINES_PER_CALL = 64  # bounds the memory of one call; the CPU's caches are full by then


@dataclass(frozen=True, slots=True)
class ChatLine:
    """A line, and the lines before it in its dialogue.

    before: the last one last; they may tell how the line is meant. spoken: whether `text` is a transcript.
    """

    text: str
    before: tuple[str, ...] = ()
    spoken: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """The token ids of what is read at once.

    english: whether the English network reads it.
    """

    ids: list[int]
    english: bool = False


@dataclass(frozen=True, slots=True)
class PreparedLine:
    """The readings of a line, and how much of it they cover.

    whole: of its stretches, at least one. sentences: each by itself, where that is more to read. lengths: characters
    of each stretch. characters, read: of the line, and those that are read. spoken: whether the line is a transcript.
    """

    whole: tuple[Reading, ...]
    sentences: tuple[Reading, ...]
    lengths: tuple[int, ...]
    characters: int
    read: int
    spoken: bool = False

    def __len__(self) -> int:
        return sum(len(reading.ids) for reading in (*self.whole, *self.sentences))


@dataclass(frozen=True, slots=True, eq=False)
class NetworkInput:
    """What a network is given of one reading of a line.

    ids: of its tokens, the context's last. spans: of the reading's own tokens and marks, characters of the line.
    share: (10,) of this input in each of the line's logits; those of a line sum to 1.
    """

    network: TextNetwork
    ids: list[int]
    spans: list[tuple[int, int]]
    share: torch.Tensor


class TextEncoder(Encoder):
    """Encodes lines of chat and pools windows of them.

    A prepared event is a `PreparedLine`. transcripts: calibration of spoken lines; None reads them as chat.
    """

    transcripts: TranscriptCalibration | None = None
    width = len(EMOTIONS) + len(RISKS)

    def __init__(self, reader: Reader, device: torch.device | None = None, english: Reader | None = None) -> None:
        """reader: of all lines, or of those that `english` does not read."""
        self._device = device or torch.device("cpu")
        self._readers = {False: reader} if english is None else {False: reader, True: english}
        self._detector = None if english is None else EnglishDetector()
        for each in self._readers.values():
            each.network.to(self._device).eval()

    def has_corpus_head(self, corpus: str) -> bool:
        """Whether a network has a head for a corpus."""
        return any(corpus in reader.network.corpora for reader in self._readers.values())

    def prepare(self, event: str | ChatLine) -> PreparedLine:
        """Divides one line into readings, and these into tokens.

        Any text at all will do. Sentences by themselves are read without what was said before.
        """
        chat = event if isinstance(event, ChatLine) else ChatLine(event)
        return self._divided(chat)[0]

    def example(self) -> PreparedLine:
        """Returns a line of usual length."""
        return self.prepare("a line of chat, as long as lines of chat usually are")

    def quality(self, prepared: Sequence[PreparedLine]) -> dict[str, float]:
        """Returns the characters of a line, and the share that is read."""
        characters = sum(line.characters for line in prepared)
        if not characters:
            return {}
        return {"characters": float(characters), "read": sum(line.read for line in prepared) / characters}

    def encode(self, prepared: Sequence[PreparedLine]) -> Encoded:
        """Encodes at least one line: (lines, 10) logits, weight 1.

        Emotion logits come first, then risk logits; those of spoken lines are calibrated for transcripts.
        """
        return self.encode_for_corpus(prepared, None)[0]

    @torch.inference_mode()
    def encode_for_corpus(self, prepared: Sequence[PreparedLine], corpus: str | None) -> tuple[Encoded, Encoded]:
        """Encodes as `encode`, and with the corpus head where one exists.

        The networks, which nearly all of the time is spent in, run once for both.
        """
        logits = self._reading_logits([each for line in prepared for each in (*line.whole, *line.sentences)], corpus)
        sizes = [len(line.whole) + len(line.sentences) for line in prepared]
        lines = zip(prepared, torch.split(logits, sizes, dim=1), strict=True)
        mixed = torch.stack([_line_logits(line, own) for line, own in lines], dim=1)
        spoken = [i for i, line in enumerate(prepared) if line.spoken]
        if self.transcripts is not None and spoken:
            mixed[:, spoken] = self.transcripts.scaled(mixed[:, spoken])
        weight = torch.ones(len(prepared))
        return Encoded(mixed[0], weight), Encoded(mixed[1], weight)

    @torch.inference_mode()
    def network_inputs(self, line: str | ChatLine) -> list[NetworkInput]:
        """Each network's input from each reading of a line, and its share.

        Their logits are those before the calibration of transcripts. Runs on the device thread.
        """
        chat = line if isinstance(line, ChatLine) else ChatLine(line)
        prepared, spans = self._divided(chat)
        readings = [*prepared.whole, *prepared.sentences]
        shares = _shares(prepared, self._reading_logits(readings, None)[0])
        return [
            self._input(reading, chat.text[start:end], start, share)
            for reading, (start, end), share in zip(
                readings, [*spans.stretches, *spans.sentences], shares.unbind(), strict=True
            )
        ]

    def pool(self, embedding: torch.Tensor, weight: torch.Tensor) -> Pooled:
        """Pools lines: a weighted mean of emotion, a soft maximum of risk.

        embedding: (windows, lines, 10). weight: (windows, lines).
        """
        emotion, risk = embedding[..., : len(EMOTIONS)], embedding[..., len(EMOTIONS) :]
        total = weight.sum(dim=1, keepdim=True).clamp_min(torch.finfo(weight.dtype).tiny)
        mean = torch.einsum("wlk,wl->wk", emotion, weight / total)
        absent = torch.finfo(weight.dtype).min / 2
        score = _SHARPNESS * risk + weight.log().clamp_min(absent)[..., None]
        worst = (score.softmax(dim=1) * risk).sum(dim=1)
        return Pooled(mean.to(self._device), worst.to(self._device))

    def _divided(self, chat: ChatLine) -> tuple[PreparedLine, LineSpans]:
        """A line's readings, and where they lie in it.

        Each sentence is read in its own language, the whole in one.
        """
        text, english = chat.text, self._is_english(chat.text)
        spans = line_spans(text, [reader.tokenizer for reader in self._readers.values()])
        whole = tuple(self._reading(text[start:end], english, chat.before) for start, end in spans.stretches)
        alone = [text[start:end] for start, end in spans.sentences]
        sentences = tuple(self._reading(sentence, self._is_english(sentence)) for sentence in alone)
        lengths = tuple(end - start for start, end in spans.stretches)
        return PreparedLine(whole, sentences, lengths, len(text), spans.read, chat.spoken), spans

    def _reading(self, text: str, english: bool, before: Sequence[str] = ()) -> Reading:
        tokenizer = self._readers[english].tokenizer
        return Reading(tokenizer.ids(text) + tokenizer.context(before), english)

    def _is_english(self, text: str) -> bool:
        return self._detector is not None and self._detector.is_english(text)

    def _input(self, reading: Reading, text: str, start: int, share: torch.Tensor) -> NetworkInput:
        """What the network is given of a reading.

        text: that of the reading, which begins at character `start` of the line.
        """
        reader = self._readers[reading.english]
        spans = [(start + first, start + last) for first, last in reader.tokenizer.spans(text)]
        return NetworkInput(reader.network, reading.ids, spans, share)

    def _reading_logits(self, readings: Sequence[Reading], corpus: str | None) -> torch.Tensor:
        """(2, readings, 10) logits without and with the corpus head."""
        logits = torch.empty(2, len(readings), self.width)
        for english, reader in self._readers.items():
            rows = [row for row, reading in enumerate(readings) if reading.english == english]
            if rows:
                logits[:, rows] = self._read(reader.network, [readings[row].ids for row in rows], corpus)
        return logits

    def _read(self, network: TextNetwork, lines: Sequence[list[int]], corpus: str | None) -> torch.Tensor:
        """(2, lines, 10) logits without and with the corpus head.

        They are on the CPU.
        """
        calls = [lines[start : start + _LINES_PER_CALL] for start in range(0, len(lines), _LINES_PER_CALL)]
        return torch.cat([torch.stack(network.service_and_corpus_logits(call, corpus)) for call in calls], dim=1).cpu()


def _line_logits(line: PreparedLine, readings: torch.Tensor) -> torch.Tensor:
    """(2, 10) logits of a line, for service and corpus.

    readings: (2, readings, 10), of the whole first.
    """
    if len(line.whole) + len(line.sentences) == 1:
        return readings[:, 0]
    shares = _shares(line, readings[0])
    stretches = shares[:, :1]  # those of a mood, which all that a corpus labels is read by
    return torch.stack([(shares * readings[0]).sum(dim=0), (stretches * readings[1]).sum(dim=0)])


def _shares(line: PreparedLine, readings: torch.Tensor) -> torch.Tensor:
    """(readings, 10) shares of each reading in the line's logits.

    They sum to 1. readings: (readings, 10) logits; the line's stretches first, then any of its sentences.
    """
    emotion = readings.new_zeros(len(readings))
    emotion[: len(line.whole)] = readings.new_tensor(line.lengths) / max(1, sum(line.lengths))
    risk = (_SHARPNESS * readings[:, len(EMOTIONS) :]).softmax(dim=0)
    return torch.cat([emotion[:, None].expand(-1, len(EMOTIONS)), risk], dim=1)
