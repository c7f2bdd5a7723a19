"""Explanations in a sentence or two, for a person.

No words are quoted and nobody is described, so that a sentence may go where predictions go. Contributions are given in
probability with their sign, since shares of a whole would hide evidence against the answer. Left out: other languages
than English.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.scores import Abstention, RiskCode, RiskLevel

_SURE, _LIKELY = 0.9, 0.6  # probabilities from which words for them are taken
_LITTLE = 0.1  # share of all contributions below which one is not named
_SPARSE = 0.34  # coverage of the window below which evidence is called sparse
_NAMES = {"video": "the face", "audio": "the voice", "text": "the words"}
_MISSING = {"video": "no face was seen", "audio": "no voice was heard", "text": "nothing was written"}
_SPARSELY = {"video": "a face was seen in little of it", "audio": "a voice was heard in little of it"}
_RAISED_BY: Mapping[str, str] = {
    RiskCode.WORDS_OF_DISTRESS: "words of distress",
    RiskCode.WORDS_OF_SELF_HARM: "words of self-harm",
    RiskCode.WORDS_OF_ABUSE: "words of abuse",
    RiskCode.NEGATIVE_AFFECT: "how it feels",
    RiskCode.AGITATED_VOICE: "a voice that stays agitated",
    RiskCode.EYES_CLOSED: "closed eyes",
    RiskCode.NODDING: "a nodding head",
    RiskCode.RECENT_COURSE: "what was said before",
}


@dataclass(frozen=True, slots=True)
class ModalityEvidence:
    """The evidence of one modality.

    contribution: to the probability. coverage: the part of the window, 0..1, that it covers.
    """

    contribution: float
    coverage: float = 1.0


def emotion_sentence(
    label: str | None, probability: float, evidence: Mapping[str, ModalityEvidence], abstained: str | None = None
) -> str:
    """Explains the emotion of a window.

    Such as "Probably sadness (0.81): mostly the voice (+0.42), and the words (+0.15); no face was seen.". label: None
    where it is abstained from. probability: of the most probable emotion. evidence: by modality, of those present.
    """
    if abstained == Abstention.NO_EVIDENCE or not evidence:
        return "Nothing to go by: no face was seen, no voice was heard, and nothing was written."
    if label is None:
        return f"Unclear: no emotion is probable enough (at most {probability:.2f}){_also(evidence)}."
    how = "Almost certainly" if probability >= _SURE else "Probably" if probability >= _LIKELY else "Perhaps"
    return f"{how} {label} ({probability:.2f}): {_moved_by(evidence)}{_also(evidence)}."


def target_sentence(target: str, probability: float, shares: Mapping[str, ModalityEvidence]) -> str:
    """Explains the probability of one emotion or risk.

    Such as "Self-harm has 0.93: the words (+0.88); no face was seen.". shares: by modality, of those present; towards
    the target's probability.
    """
    if not shares:
        return "Nothing to go by: no face was seen, no voice was heard, and nothing was written."
    name = target.replace("_", "-").capitalize()
    moved = _moved_by(shares, otherwise="raised by nothing there")
    return f"{name} has {probability:.2f}: {moved}{_also(shares)}."


def risk_sentence(level: str, reasons: Sequence[tuple[str, float]]) -> str:
    """Explains the risk level of a window.

    Such as "Risk is high, for words of self-harm (0.93).". reasons: code and weight, greatest first.

    Empty at the level `none`. An unknown code stands as it is.
    """
    if level == RiskLevel.NONE:
        return ""
    causes = [f"{_RAISED_BY.get(code, code.replace('_', ' '))} ({weight:.2f})" for code, weight in reasons]
    return f"Risk is {level}{', for ' + _listed(causes) if causes else ''}."


def _moved_by(evidence: Mapping[str, ModalityEvidence], otherwise: str = "only because all else is less so") -> str:
    given = sorted(evidence.items(), key=lambda item: -item[1].contribution)
    all_of_it = sum(abs(each.contribution) for each in evidence.values())
    counted = [(name, each.contribution) for name, each in given if abs(each.contribution) > _LITTLE * all_of_it]
    for_it = [f"{_NAMES[name]} ({moved:+.2f})" for name, moved in counted if moved > 0]
    against = [f"{_NAMES[name]} ({moved:+.2f})" for name, moved in counted if moved < 0]
    most = "mostly " if len(for_it) > 1 else ""
    sentence = most + _listed(for_it) if for_it else otherwise
    return f"{sentence}, against {_listed(against)}" if against else sentence


def _also(evidence: Mapping[str, ModalityEvidence]) -> str:
    missing = [phrase for name, phrase in _MISSING.items() if name not in evidence]
    sparse = [phrase for name, phrase in _SPARSELY.items() if name in evidence and evidence[name].coverage < _SPARSE]
    return f"; {_listed([*missing, *sparse])}" if missing or sparse else ""


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
