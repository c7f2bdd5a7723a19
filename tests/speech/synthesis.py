"""The synthesiser that the tests' speech is of; the calibration of transcripts uses it too."""

from models.training.transcripts.synthesis import RATE_HZ, VOICES, Samples, Spoken, SpokenWord, synthesize

__all__ = ["RATE_HZ", "VOICES", "Samples", "Spoken", "SpokenWord", "synthesize"]
