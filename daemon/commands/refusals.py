"""Says in one sentence how many records were refused, and why."""

from collections.abc import Mapping

from streams.alignment.driver import RecordCounts


def refusals(refused: Mapping[str, int], counts: RecordCounts) -> str:
    """Such as "2 of 7 records were refused: corrupt 1, oversized 1".

    refused: by reason, those that were refused before they were taken among them.
    """
    count = sum(refused.values())
    reasons = ", ".join(f"{reason} {number}" for reason, number in sorted(refused.items()))
    return f"{count} of {counts.taken + count - counts.refused} records were refused: {reasons}"
