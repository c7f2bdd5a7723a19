"""Measures calls, and gives figures their form.

Only ratios within one run mean much from machine to machine, so what is compared is timed in turns: a stretch in which
the machine is slower then slows both.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from streams.clock import NS_PER_S, SystemClock

Answer = TypeVar("Answer")
Figure = dict[str, object]
"""One flat JSON object: {"bench", "figure", "value", "unit", "ratio"?, "against"?, ...}."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured.

    rounds, scored_rounds: how often a call is timed, and how often a whole stretch that is scored. stream_s, scored_s:
    event time of the stream that is only put in order, and of that which is scored. sessions: how many are held in
    memory, and of how many Kafka brings records. frames, lines: how many records go through Kafka. live_s: for how long
    sessions are followed as they happen. speakers: how many utterances are transcribed, each of a session of its own.
    """

    rounds: int = 7
    scored_rounds: int = 3
    stream_s: int = 120
    scored_s: int = 8
    sessions: int = 200
    frames: int = 3000
    lines: int = 60_000
    live_s: int = 25
    speakers: int = 8


def timed(calls: Sequence[Callable[[], Answer]], rounds: int) -> list[tuple[Answer, float]]:
    """Returns what each call returned, and its least time in seconds.

    The least, since what else the machine does only adds to it. A first call of each is not timed.
    """
    clock = SystemClock()
    answers = [call() for call in calls]
    took_s: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, times in zip(calls, took_s, strict=True):
            began_ns = clock.monotonic_ns()
            call()
            times.append((clock.monotonic_ns() - began_ns) / NS_PER_S)
    return [(answer, min(times)) for answer, times in zip(answers, took_s, strict=True)]


def figure(bench: str, name: str, value: float, unit: str, **more: object) -> Figure:
    """Makes a figure, rounded to four digits."""
    shown = {key: _rounded(item) if isinstance(item, float) else item for key, item in more.items()}
    return {"bench": bench, "figure": name, "value": _rounded(value), "unit": unit, **shown}


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
