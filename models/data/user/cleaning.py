"""Data cleaning before training, with a reason for every sample dropped.

Broken files, silence, wrong sizes, copies across splits.

The rule: nothing goes without a line in the report. Of two copies in different splits the one for training goes, and
otherwise the later one; what is measured is never chosen by what is trained on.
"""

import csv
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from models.data.user.manifest import Sample

Item = TypeVar("Item")

LEAST_SOUND_S = 0.3
LONGEST_SOUND_S = 60.0
_LEAST_PEAK = 10 ** (-50 / 20)  # full scale is 1: quieter than 50 dB below it is silence
_SPLIT_ORDER = ("test", "valid", "train")  # whose copy stays


class UnusableError(ValueError):
    """One sample cannot be used; the message says why.

    Samples with the same fault have the same message.
    """


@dataclass(slots=True)
class LeftOut:
    """What was left out: (id, split, modality, reason) of each."""

    rows: list[tuple[str, str, str, str]] = field(default_factory=list)

    def add(self, sample: Sample, modality: str, reason: str) -> None:
        """One sample's modality that is not used."""
        self.rows.append((sample.id, sample.split, modality, reason))

    def counts(self) -> dict[str, dict[str, int]]:
        """Modality to reason to number of samples."""
        counted: dict[str, Counter[str]] = {}
        for _, _, modality, reason in self.rows:
            counted.setdefault(modality, Counter())[reason] += 1
        return {modality: dict(reasons.most_common()) for modality, reasons in counted.items()}

    def write(self, path: Path) -> None:
        """Writes the rows as CSV."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("id", "split", "modality", "reason"))
            writer.writerows(self.rows)


def usable(
    samples: Iterable[Sample], modality: str, read: Callable[[Sample], Sequence[Item]], left_out: LeftOut
) -> list[tuple[Sample, Item]]:
    """Each sample with the items that `read` finds in it.

    Samples for which it raises UnusableError are left out.
    """
    items = []
    for sample in samples:
        try:
            items += [(sample, item) for item in read(sample)]
        except UnusableError as reason:
            left_out.add(sample, modality, str(reason))
    return items


def without_copies(
    items: Sequence[tuple[Sample, Item]], content: Callable[[Item], bytes], modality: str, left_out: LeftOut
) -> list[tuple[Sample, Item]]:
    """`found` without copies, test and validation data first.

    A copy has the content of an item before it.
    """
    first_copies: dict[bytes, tuple[Sample, int]] = {}
    order = sorted(range(len(items)), key=lambda index: (_SPLIT_ORDER.index(items[index][0].split), index))
    for index in order:
        sample = items[index][0]
        digest = hashlib.sha256(content(items[index][1])).digest()
        first, _ = first_copies.setdefault(digest, (sample, index))
        if first_copies[digest][1] != index:
            left_out.add(
                sample,
                modality,
                f"copy inside the {sample.split} split"
                if first.split == sample.split
                else f"copy of a sample in the {first.split} split",
            )
    return [items[index] for index in sorted(index for _, index in first_copies.values())]


def checked_sound(pcm: NDArray[np.float32], rate_hz: int) -> NDArray[np.float32]:
    """Returns sound that can be used.

    pcm: (samples,) in -1..1. Raises UnusableError for what is too short, too long, silent or broken.
    """
    seconds = len(pcm) / rate_hz
    if seconds < LEAST_SOUND_S:
        raise UnusableError(f"shorter than {LEAST_SOUND_S:g} s")
    if seconds > LONGEST_SOUND_S:
        raise UnusableError(f"longer than {LONGEST_SOUND_S:g} s")
    if not np.isfinite(pcm).all():
        raise UnusableError("not finite")
    if np.abs(pcm).max() < _LEAST_PEAK:
        raise UnusableError("silent")
    return pcm


def checked_text(text: str | None) -> str:
    """The text with white space joined.

    Raises UnusableError for one without a letter or digit.
    """
    joined = " ".join((text or "").split())
    if not any(character.isalnum() for character in joined):
        raise UnusableError("no words")
    return joined
