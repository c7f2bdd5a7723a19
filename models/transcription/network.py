"""Whisper on CTranslate2: encodes, reads and aligns a batch of one length.

Radford et al., 2022, "Robust Speech Recognition via Large-Scale Weak Supervision"; the tokens around the text are as in
faster-whisper. Left out: what is believed of a reading (`guards`) and how utterances are batched (`recognizer`).
"""

from collections.abc import Sequence

import ctranslate2
import numpy as np
import numpy.typing as npt
from faster_whisper.tokenizer import Tokenizer
from tokenizers import Tokenizer as Pieces

from models.artifact import ModelError
from models.device import DeviceUnavailableError, choose_device
from models.transcription.guards import Reading
from models.transcription.model_files import WhisperFiles
from models.transcription.words import Alignment

FloatArray = npt.NDArray[np.float32]

_PREFERRED_TYPES = {"cpu": ("int8", "float32"), "cuda": ("float16", "int8_float16", "float32")}
_BEAM = 5
_MOST_TOKENS_PER_S = 12  # fast speech has 6 words a second; Chinese about 8 tokens
_LEAST_TOKENS = 24
_MOST_LENGTH = 448  # the decoder's positions


def choose_ct2_device(requested: str) -> str:
    """The device that CTranslate2 runs on: "cpu" or "cuda".

    Raises DeviceUnavailableError.
    """
    device = str(choose_device(requested))
    if device == "cuda" and ctranslate2.get_cuda_device_count() == 0:
        if requested == "cuda":
            raise DeviceUnavailableError(f"device cuda: CTranslate2 {ctranslate2.__version__} finds no usable GPU")
        return "cpu"
    return device


class WhisperNetwork:
    """One model on one device.

    Owned by the thread that recognises; no lock.
    """

    def __init__(self, files: WhisperFiles, device: str, threads: int) -> None:
        """Loads the model. Raises ModelError.

        device: "cpu" or "cuda". threads: of the CPU, 0 for CTranslate2's choice.
        """
        supported = ctranslate2.get_supported_compute_types(device)
        compute_type = next(name for name in _PREFERRED_TYPES[device] if name in supported)
        where = files.folder or files.name
        try:
            self._model = ctranslate2.models.Whisper(
                str(where),
                device=device,
                compute_type=compute_type,
                intra_threads=threads,
                inter_threads=1,
                files=dict(files.contents) if files.folder is None else None,
            )
        except (RuntimeError, ValueError, MemoryError) as wrong:
            raise ModelError(f"{where}: model.bin: {wrong}") from wrong
        try:
            self._pieces = Pieces.from_buffer(files.contents["tokenizer.json"])
        except Exception as wrong:  # tokenizers raises nothing narrower
            raise ModelError(f"{where}: tokenizer.json: {wrong}") from wrong
        self.multilingual: bool = self._model.is_multilingual
        self.mel_bins: int = self._model.n_mels
        self.languages = self._languages(files) if self.multilingual else ("en",)
        self._tokenizers = {code: self._tokenizer(code) for code in self.languages}
        special = self._tokenizers[self.languages[0]]
        if None in (special.sot, special.eot, special.no_timestamps):
            raise ModelError(f"{where}: tokenizer.json: holds no Whisper tokens, such as <|startoftranscript|>")
        if not _agrees(files, special):
            raise ModelError(f"{where}: vocabulary: its tokens are not those of tokenizer.json")

    def tokenizer(self, language: str) -> Tokenizer:
        """The tokenizer with a language's prompt."""
        return self._tokenizers[language]

    def encode(self, mel: FloatArray) -> ctranslate2.StorageView:
        """Encodes log-mel frames.

        mel: (batch, mel bins, frames) float32.
        """
        return self._model.encode(ctranslate2.StorageView.from_array(np.ascontiguousarray(mel)))

    def detect(self, encoded: ctranslate2.StorageView) -> list[dict[str, float]]:
        """Each row's probability by language; of a model of many languages alone."""
        rows = self._model.detect_language(encoded)
        return [{token[2:-2]: float(probability) for token, probability in row} for row in rows]

    def read(self, encoded: ctranslate2.StorageView, language: str, duration_s: float) -> list[Reading]:
        """Decodes every row.

        duration_s: of the encoded sound, which limits the number of tokens.
        """
        tokenizer = self._tokenizers[language]
        prompt = [*tokenizer.sot_sequence, tokenizer.no_timestamps]
        limit = min(_MOST_LENGTH, len(prompt) + _LEAST_TOKENS + int(_MOST_TOKENS_PER_S * duration_s))
        results = self._model.generate(
            encoded,
            [prompt] * encoded.shape[0],
            beam_size=_BEAM,
            max_length=limit,
            return_scores=True,
            return_no_speech_prob=True,
        )
        readings = []
        for result in results:
            tokens = tuple(token for token in result.sequences_ids[0] if token < tokenizer.eot)
            count = len(result.sequences_ids[0])
            mean = result.scores[0] * count / (count + 1)  # over the end of the text too, as in faster-whisper
            cut = count >= limit - len(prompt)
            readings.append(
                Reading(tokenizer.decode(list(tokens)).strip(), tokens, mean, float(result.no_speech_prob), cut)
            )
        return readings

    def align(
        self, encoded: ctranslate2.StorageView, language: str, tokens: Sequence[Sequence[int]], frames: Sequence[int]
    ) -> list[Alignment]:
        """Aligns every row's tokens with its sound.

        frames: log-mel frames of each row that are not padding.
        """
        start = self._tokenizers[language].sot_sequence
        results = self._model.align(encoded, start, [list(row) for row in tokens], list(frames))
        return [Alignment(np.array(result.alignments, np.int64), result.text_token_probs) for result in results]

    def _languages(self, files: WhisperFiles) -> tuple[str, ...]:
        names = [self._pieces.id_to_token(token) for token in files.config["lang_ids"]]
        return tuple(name[2:-2] for name in names if name)

    def _tokenizer(self, language: str) -> Tokenizer:
        return Tokenizer(self._pieces, self.multilingual, task="transcribe", language=language)


def _agrees(files: WhisperFiles, tokenizer: Tokenizer) -> bool:
    """Whether vocabulary and tokenizer give the special tokens the same ids."""
    try:
        vocabulary = files.vocabulary
    except ValueError:
        return False
    named = {"<|endoftext|>": tokenizer.eot, "<|startoftranscript|>": tokenizer.sot}
    return all(index < len(vocabulary) and vocabulary[index] == token for token, index in named.items())


def rows_of(encoded: ctranslate2.StorageView, rows: Sequence[int]) -> ctranslate2.StorageView:
    """Takes some rows of an encoded batch, without a copy if all."""
    if list(rows) == list(range(encoded.shape[0])):
        return encoded
    on_cpu = encoded.to_device(ctranslate2.Device.cpu) if encoded.device != "cpu" else encoded
    return ctranslate2.StorageView.from_array(np.ascontiguousarray(np.asarray(on_cpu)[list(rows)]))
