"""Findings of a check of the machine or a service."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """Severity of a finding."""

    GOOD = "good"
    NOTE = "note"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check; its sentence says what to do, unless good."""

    verdict: Verdict
    subject: str
    sentence: str
