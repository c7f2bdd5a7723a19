"""The encoder of text: lines to logits, windows to one answer.

A multilingual network reads every line, and an English network reads English lines too; the weighted mean of their
logits is better than either alone.

The rule of pooling: a window's emotion is the mean of its lines; its risk is that of its worst line, because one cry
for help among ten jokes counts. The worst is a soft maximum (a Boltzmann mean), so that two alarming lines weigh as one
and a window never scores above its worst line. Lines that were spoken are read as lines of chat, and their logits then
calibrated for transcripts, which hold recognition errors. Left out: authors. The lines of all who write in a session
are one stream.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from models.calibration.transcripts import TranscriptCalibration
from models.encoder import Encoded, Encoder, Pooled
from models.labels import EMOTIONS, RISKS
from models.text.language import EnglishDetector
from models.text.network import TextNetwork
from models.text.tokens import Tokenizer
from models.text.word_pieces import WordPieceTokenizer

_SHARPNESS = 2.0  # per logit: a line 2 logits above another counts 55 times as much
_ENGLISH_SHARE = 0.7  # of the answer to an English line, chosen on validation lines; little depends on it
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
class PreparedLine:
    """The token ids of a line.

    ids: for the network of many languages. english_ids: for the English one, where the line is English. characters: of
    the line, before any is cut off. spoken: whether the line is a transcript.
    """

    ids: list[int]
    characters: int
    english_ids: list[int] | None = None
    spoken: bool = False

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class EnglishBranch:
    """The English network, its tokenizer, and the detector of its lines."""

    network: TextNetwork
    tokenizer: WordPieceTokenizer
    detector: EnglishDetector


@dataclass(frozen=True, slots=True)
class NetworkInput:
    """One network's view of a line.

    ids: of its tokens, the context's last. spans: of the line's own tokens and marks, characters of the line.
    share: of the network in the answer; a line's readings sum to 1.
    """

    network: TextNetwork
    ids: list[int]
    spans: list[tuple[int, int]]
    share: float


class TextEncoder(Encoder):
    """Encodes lines of chat and pools windows of them.

    A prepared event is a `PreparedLine`. transcripts: calibration of spoken lines; None reads them as chat.
    """

    transcripts: TranscriptCalibration | None = None
    width = len(EMOTIONS) + len(RISKS)

    def __init__(
        self,
        network: TextNetwork,
        tokenizer: Tokenizer | WordPieceTokenizer,
        device: torch.device | None = None,
        english: EnglishBranch | None = None,
    ) -> None:
        """network, tokenizer: of all lines; they read alone where `english` is None."""
        self._device = device or torch.device("cpu")
        self._network = network.to(self._device).eval()
        self._tokenizer = tokenizer
        self._english = english
        if english is not None:
            english.network.to(self._device).eval()

    def has_corpus_head(self, corpus: str) -> bool:
        """Whether a network has a head for a corpus."""
        english = () if self._english is None else self._english.network.corpora
        return corpus in self._network.corpora or corpus in english

    def prepare(self, event: str | ChatLine) -> PreparedLine:
        """Cuts one line into tokens.

        Any text at all will do, and ends at the tokenizer's budget. Only English lines use context.
        """
        chat = event if isinstance(event, ChatLine) else ChatLine(event)
        ids = self._tokenizer.ids(chat.text)
        if self._english is None or not self._english.detector.is_english(chat.text):
            return PreparedLine(ids, len(chat.text), spoken=chat.spoken)
        tokenizer = self._english.tokenizer
        english_ids = tokenizer.ids(chat.text) + tokenizer.context(chat.before)
        return PreparedLine(ids, len(chat.text), english_ids, chat.spoken)

    def example(self) -> PreparedLine:
        """Returns a line of usual length."""
        return self.prepare("a line of chat, as long as lines of chat usually are")

    def quality(self, prepared: Sequence[PreparedLine]) -> dict[str, float]:
        """Returns how many characters a line has."""
        return {"characters": float(sum(line.characters for line in prepared))} if prepared else {}

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
        logits = self._read(self._network, [line.ids for line in prepared], corpus)
        english = {i: line.english_ids for i, line in enumerate(prepared) if line.english_ids is not None}
        if self._english is not None and english:
            rows = list(english)
            read = self._read(self._english.network, list(english.values()), corpus)
            logits[:, rows] = logits[:, rows].lerp(read, _ENGLISH_SHARE)
        spoken = [i for i, line in enumerate(prepared) if line.spoken]
        if self.transcripts is not None and spoken:
            logits[:, spoken] = self.transcripts.scaled(logits[:, spoken])
        weight = torch.ones(len(prepared))
        return Encoded(logits[0], weight), Encoded(logits[1], weight)

    def network_inputs(self, line: str | ChatLine) -> list[NetworkInput]:
        """Each network's input from a line, and its share.

        Their logits are those before the calibration of transcripts.
        """
        chat, prepared = line if isinstance(line, ChatLine) else ChatLine(line), self.prepare(line)
        every = NetworkInput(self._network, prepared.ids, self._tokenizer.spans(chat.text), 1.0)
        if self._english is None or prepared.english_ids is None:
            return [every]
        network, pieces = self._english.network, self._english.tokenizer
        english = NetworkInput(network, prepared.english_ids, pieces.spans(chat.text), _ENGLISH_SHARE)
        return [replace(every, share=1 - _ENGLISH_SHARE), english]

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

    def _read(self, network: TextNetwork, lines: Sequence[list[int]], corpus: str | None) -> torch.Tensor:
        """(2, lines, 10) logits without and with the corpus head.

        They are on the CPU.
        """
        calls = [lines[start : start + _LINES_PER_CALL] for start in range(0, len(lines), _LINES_PER_CALL)]
        return torch.cat([torch.stack(network.service_and_corpus_logits(call, corpus)) for call in calls], dim=1).cpu()
