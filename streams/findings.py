"""What a check found out about the machine or a service, said so that a person can act on it."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a finding is meant."""

    GOOD = "good"
    NOTE = "note"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; the sentence of one that is not good says what to do."""

    verdict: Verdict
    subject: str
    sentence: str
