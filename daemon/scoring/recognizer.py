"""Loads the recogniser, and builds the lane around it."""

from daemon.config import Config
from daemon.scoring.transcription import Transcriber
from daemon.telemetry.instruments import Instruments
from models.transcription.recognizer import Recognizer, RecognizerSettings


def recognizer_settings(config: Config) -> RecognizerSettings:
    """Which recogniser is meant, and how it runs."""
    wanted = config.transcription
    return RecognizerSettings(wanted.model, wanted.language, config.model.device, wanted.threads)


def load_recognizer(config: Config) -> Recognizer | None:
    """Loads the recogniser; None where speech is not transcribed.

    Raises models.artifact.ModelError, and DeviceUnavailableError without its device.
    """
    return Recognizer.load(recognizer_settings(config)) if config.transcription.enabled else None


def build_transcriber(
    config: Config, recognizer: Recognizer | None, warm_up: bool, instruments: Instruments
) -> Transcriber | None:
    """Builds the lane of the recogniser, warm if that is wanted."""
    if recognizer is None:
        return None
    instruments.metrics.recognizer(recognizer.name, recognizer.digest)
    transcriber = Transcriber(recognizer, config.transcription.max_delay_s, instruments.clock, instruments.metrics)
    if warm_up:
        transcriber.try_example()
    return transcriber
