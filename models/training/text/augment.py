"""Augmentation of lines: dropped tokens and context, spans, typos.

The encoders average over tokens, so a line without one of its words is the cheapest way to stop a label from hanging on
that word. Long posts are cut to spans because the posts that speak of risk are long and chat is short: without it,
length itself would tell them apart. What was said before a line is left out at times, because the line must do alone.
Typos and case are changes of letters, made before a line is cut into tokens (Belinkov and Bisk, 2018).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from models.data.corpora.text import TextSample

_SHORTEST_SPAN = 16
_LONG_LINE = 64
_CROP_SHARE = 0.7
_TOKEN_DROP_RATE = 0.05
_CONTEXT_SHARE = 0.7
_PLACED_AMONG, _PLACED_AFTER = 0.2, 0.15  # shares of copies
_LONGEST_ORDINARY = 90  # characters
_TAILS = {"en": ("lol", "...", "haha", "idk", "!!"), "zh": ("……", "哈哈", "唉", "！！", "吧")}
_ANY_TAILS = ("...", "!!", "haha")
_FULL_STOPS = {"zh": "。", "ja": "。", "th": " "}  # of languages that set no space between sentences
_TYPO_RATE = 0.05  # of the letters of a misspelt line


def augment(ids: Sequence[int], context: Sequence[int], rng: np.random.Generator) -> list[int]:
    """One augmented line: its tokens thinned, then perhaps its context."""
    long = len(ids) > _LONG_LINE
    cropped = crop_span(ids, rng) if long and rng.random() < _CROP_SHARE else ids
    remaining = context if context and rng.random() < _CONTEXT_SHARE else ()
    return [*drop_tokens(cropped, _TOKEN_DROP_RATE, rng), *remaining]


def drop_tokens(ids: Sequence[int], rate: float, rng: np.random.Generator) -> list[int]:
    """Drops each token with probability `rate`, but never all.

    The sentence marks stay.
    """
    inner = np.asarray(ids[1:-1])
    remaining = inner[rng.random(len(inner)) >= rate]
    if not len(remaining) and len(inner):
        remaining = rng.choice(inner, 1)
    return [ids[0], *remaining.tolist(), ids[-1]]


def crop_span(ids: Sequence[int], rng: np.random.Generator) -> list[int]:
    """A contiguous span of 16 tokens or more between the sentence marks.

    Shorter lines stay whole.
    """
    inner = ids[1:-1]
    if len(inner) <= _SHORTEST_SPAN:
        return list(ids)
    # Lengths evenly in their logarithm, so that spans as short as chat lines are as common as long ones.
    length = round(float(np.exp(rng.uniform(np.log(_SHORTEST_SPAN), np.log(len(inner))))))
    start = int(rng.integers(len(inner) - length + 1))
    return [ids[0], *inner[start : start + length], ids[-1]]


def misspelt(samples: Sequence[TextSample], share: float, seed: int = 0) -> list[TextSample]:
    """The same samples, a random `share` (0..1) of them with typos.

    Half of those are all in capitals or all in lower case.
    """
    rng = np.random.default_rng((seed, len(samples)))
    changed = []
    for sample in samples:
        if share > 0 and rng.random() < share:
            text = with_typos(sample.text, _TYPO_RATE, rng)
            sample = replace(sample, text=in_another_case(text, rng) if rng.random() < 0.5 else text)
        changed.append(sample)
    return changed


def with_typos(text: str, rate: float, rng: np.random.Generator) -> str:
    """Typos: letters left out, doubled or swapped with probability `rate`."""
    letters = list(text)
    written, i = [], 0
    while i < len(letters):
        if letters[i].isalpha() and rng.random() < rate:
            slip = int(rng.integers(3))
            if slip == 2 and i + 1 < len(letters) and letters[i + 1].isalpha():
                written += [letters[i + 1], letters[i]]
                i += 1
            elif slip > 0:
                written += [letters[i]] * 2
        else:
            written.append(letters[i])
        i += 1
    return "".join(written) or text


def in_another_case(text: str, rng: np.random.Generator) -> str:
    """All in capitals, or all in small letters."""
    return text.upper() if rng.random() < 0.5 else text.lower()


def varied(samples: Sequence[TextSample], copies: int, seed: int = 0) -> list[TextSample]:
    """Copies of lines in matched pairs, most of them changed.

    The first copy is as written, the others are worded or placed otherwise.
    Lines of a pair are placed alike: among the same ordinary sentences, which are harmless lines of other pairs, or
    after them. What makes a copy is a group of its own.
    """
    ordinary: dict[str, list[str]] = {}
    for sample in samples:
        if not any(sample.risk) and len(sample.text) <= _LONGEST_ORDINARY:
            ordinary.setdefault(sample.lang, []).append(sample.text)
    return [
        _copy(sample, copy, ordinary.get(sample.lang, []), seed) if copy else sample
        for copy in range(copies)
        for sample in samples
    ]


def _copy(sample: TextSample, copy: int, ordinary: Sequence[str], seed: int) -> TextSample:
    digest = int.from_bytes(hashlib.sha256(f"{sample.group}/{copy}/{seed}".encode()).digest()[:8])
    of_pair, own = np.random.default_rng(digest), np.random.default_rng((digest, len(sample.text)))
    text, before = _reworded(sample, own), sample.before
    place = of_pair.random()
    beside = [str(each) for each in of_pair.choice(ordinary, 2)] if ordinary else []
    if place < _PLACED_AMONG and beside:
        first = int(of_pair.integers(len(beside) + 1))
        joint = "" if sample.lang in _FULL_STOPS else " "
        text = joint.join(_ended(each, sample.lang) for each in [*beside[:first], text, *beside[first:]])
    elif place < _PLACED_AMONG + _PLACED_AFTER:
        before = (*before, *beside)
    return replace(sample, text=text, before=before, group=f"{sample.group}#{copy}")


def _reworded(sample: TextSample, rng: np.random.Generator) -> str:
    """The line as others would type it."""
    kind, text = rng.random(), sample.text
    if sample.lang == "zh" and kind < 0.35:
        return traditional(text)
    if kind < 0.25:
        return with_typos(text, _TYPO_RATE, rng)
    if kind < 0.4:
        return in_another_case(text, rng)
    if kind < 0.55:
        return "".join(c for c in text if c.isalnum() or c.isspace() or c in "'’") or text
    if kind < 0.65:
        return f"{text} {rng.choice(_TAILS.get(sample.lang, _ANY_TAILS))}"
    return text


def traditional(text: str) -> str:
    """Chinese in traditional characters."""
    from zhconv import convert  # of `affectd[train]`; a user's lines are trained on without it

    return str(convert(text, "zh-hant"))


def _ended(text: str, lang: str) -> str:
    return text if not text[-1:].isalnum() else text + _FULL_STOPS.get(lang, ".")
