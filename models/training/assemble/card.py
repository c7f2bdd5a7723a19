"""The model card: a page for people, written from the manifest alone."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from models.artifact import Manifest
from models.data.user.manifest import USER_CORPUS
from models.labels import RISKS
from models.risk import LEVELS
from models.training.fusion.corruption import UNCORRUPTED

_USER_VALID = "the user's own valid"

_USES = """## Uses
Intended: showing a person who already watches over a conversation or a room where to look, research on affect, and
tests of such systems, with the knowledge of the people concerned.

Not intended: any decision about a person without a human who is responsible for it; hiring, grading, credit, policing,
border control; diagnosis or treatment (it is no medical device); reading what somebody really feels, which no picture,
voice or line shows for certain. In the EU, inferring emotions at workplaces and in schools is prohibited except for
medical or safety reasons (AI Act, Regulation (EU) 2024/1689, Art. 5(1)(f)), and emotion recognition elsewhere has to be
disclosed (Art. 50(3)).

It is no crisis service: an alarm is a reason for a person to look, and no alarm is no reason not to."""

_LIMITS = """## Limits
- No corpus here has face, voice and text of one moment: fusion is fitted on windows put together from single answers,
  and its figures assume that modalities agree on the label and err apart from each other. Real people's do not.
- Faces: the epoch was chosen on the split that the figures are of. Pictures of FER+ are web photographs, often posed.
- Voices: all are acted, in English and German. Real speech is less clear. Surprise is heard from one corpus alone. A
  voice is read two seconds at a time; a window shorter than that is read by the second, and told worse.
- Lines: the epoch was chosen on the validation lines that the figures are of. Emotion of Chinese lines is learned from
  one corpus without disgust, of which much is about one epidemic. Other languages were taught nothing but what carries
  over from these two, and are not measured. Lines of a dialogue are read worst; the service reads each by itself.
- Crisis, threats and contempt in the words of chat, and harmless words that frighten, are learned from some 7,000 lines
  written for this project in English and Chinese (`models/data/lines`). People write in more ways than their few
  writers thought of, and many lines at risk still get no level: see above.
- What is abuse differs from corpus to corpus; hate against groups is told from rudeness poorly.
- Distress fires on plain fear and anger too, and disgust at food in Chinese may read as abuse.
- Who is shown matters: no figure here is broken down by age, sex, skin colour or dialect: few corpora tell."""


_OF_LINES = {
    "self_harm_auroc": "self-harm, AUROC",
    "distress_auroc": "distress, AUROC",
    "abuse_auroc": "abuse, AUROC",
    "self_harm_at_none": "at risk of self-harm, level none",
    "abuse_at_none": "abusive, level none",
    "pairs_in_order": "pairs whose worse line scores higher",
    "harmless_at_medium": "harmless, level medium or above",
}


def model_card(manifest: Manifest) -> str:
    """Returns Markdown."""
    sections = [
        f"# {manifest.name} {manifest.version}",
        f"Seven emotions ({', '.join(manifest.emotions)}) and three risks ({', '.join(manifest.risks)}) of a window of "
        "seconds, from any of face, voice and chat. Probabilities are for labels equally likely beforehand. Everything "
        "below is written from `model.json`, which has the figures in full.",
        _USES,
        *_own(manifest),
        _parts(manifest),
        *_corpora(manifest),
        *_fusion(manifest),
        *_compared(manifest),
        _abstention(manifest),
        *_sets(manifest),
        _risk(manifest),
        *_written_lines(manifest),
        *_transcripts(manifest),
        _LIMITS,
        _data(manifest),
        f"## Licences\n{manifest.licences}",
    ]
    return "\n\n".join(sections) + "\n"


def _own(manifest: Manifest) -> list[str]:
    """What a user's own data changed.

    Nothing of a model that was trained on none.
    """
    own = manifest.metrics.get("own")
    if own is None:
        return []
    rows = [
        (part, *(str(manifest.metrics[part]["rows"][split]) for split in ("train", "valid"))) for part in own["parts"]
    ]
    notes = "\n".join(f"- {sentence}" for sentence in (*own["kept"], *own.get("calibration", ())))
    trained = (
        "These parts were trained on the user's rows and calibrated on the validation rows, by which their epoch was "
        "chosen too; everything else but what is said below is the model's as it was shipped.\n\n"
        + _table(("part", "rows to train", "rows to validate"), rows)
    )
    return [
        "## Trained on the user's own\n"
        + (trained if rows else "No part that was trained on the user's rows was better: all are as they were shipped.")
        + _user_compared(own)
        + (f"\n\n{notes}" if notes else "")
    ]


def _user_compared(own: Mapping[str, Any]) -> str:
    """The shipped and the trained parts on the held-out rows.

    Nothing where that was not asked.
    """
    rows = [
        (
            part,
            task,
            str(measured["rows"]),
            *map(_interval, (measured["before"], measured["after"], measured["change"])),
        )
        for part, tasks in own.get("compared", {}).items()
        for task, measured in tasks.items()
    ]
    if not rows:
        return ""
    return (
        f"\n\nUAR on the user's rows of {' and '.join(own['held_out']['splits'])}, with 95 % intervals of the "
        "bootstrap over groups. A part is taken where it is better in nine of ten draws.\n\n"
        + _table(("part", "task", "rows", "shipped", "trained", "change"), rows)
    )


def _interval(estimate: Sequence[float]) -> str:
    value, low, high = estimate
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _parts(manifest: Manifest) -> str:
    face, speech, text = (manifest.metrics[part] for part in ("face", "speech", "text"))
    faces, whose = (_USER_VALID, "their") if face.get("data") == USER_CORPUS else ("FER+ valid", "FER+'s")
    rows: list[tuple[str, ...]] = [("face", f"{faces}, 7 emotions", _share(face["valid"]["ekman7_equal"]["uar"]), "")]
    rows += [("face", "the same, found by the detector", _share(face["through_detector_balanced"]["uar_through"]), "")]
    rows += _speech_rows(speech)
    for corpus in ("goemotions", "meld", "tweeteval-emotion", "isear", "smp2020", USER_CORPUS):
        if "emotion" in text.get(corpus, {}):
            measured = _USER_VALID if corpus == USER_CORPUS else f"{corpus} valid"
            rows.append(("text", measured, _share(text[corpus]["emotion"]["uar"]), ""))
    fer8 = face["valid"]["fer8"]["accuracy"]
    return (
        "## Each part alone\nUAR (mean recall, every label weighing the same) before calibration."
        + _unheard(speech)
        + "\n\n"
        + _table(("part", "measured on", "UAR", "sd"), rows)
        + f"\n\nFaces under {whose} own frequencies, all eight expressions: accuracy {_share(fer8)}."
    )


def _unheard(speech: Mapping[str, Any]) -> str:
    if speech.get("data") == USER_CORPUS:
        return ""
    return (
        " Speech is measured on speakers that the network did not hear, with the standard deviation over folds. "
        f"({speech['what']})"
    )


def _speech_rows(speech: Mapping[str, Any]) -> list[tuple[str, ...]]:
    if speech.get("data") == USER_CORPUS:
        return [("speech", _USER_VALID, _share(speech["valid"]["uar"]), "")]
    named = [(question, corpus) for corpus in ("ravdess", "emodb") for question in speech["questions"]]
    return [_speech_row(speech, *row) for row in named if "/".join(row) in speech["results"]]


def _speech_row(speech: Mapping[str, Any], question: str, corpus: str) -> tuple[str, ...]:
    figure = speech["results"][f"{question}/{corpus}"]["uar"]
    named = speech["questions"][question]
    return "speech", f"{corpus}: {named}", _share(figure["mean"]), _share(figure["fold_sd"])


def _corpora(manifest: Manifest) -> list[str]:
    """Nothing of a model that was measured on none."""
    names = ("accuracy", "uar", "macro_f1", "weighted_f1", "ece")
    rows = [
        (
            corpus,
            str(figures["n"]),
            *(f"{_share(figures[name]['mean'])} ± {_share(figures[name]['fold_sd'])}" for name in names),
            _share(figures["ece_before"]),
        )
        for corpus, figures in manifest.metrics.get("corpora", {}).items()
    ]
    if not rows:
        return []
    return [
        "## On each corpus\nOn its own terms, as `affectd evaluate` measures: lines are read as the corpus means its "
        "labels, which the networks learn beside the service's answer, and answers are brought to its label "
        "frequencies (RAVDESS and EMO-DB: labels equally likely) and to how sure it lets one be, by a temperature and "
        "a bias a label. Here these are fitted on four folds of the validation rows (speech: of speakers held out) and "
        "measured on the fifth; figures are over all rows, ± the standard deviation over the folds. A perfect head of "
        "a corpus of 100 rows would show an error of about 0.09 by chance. Last, the error under the frequencies of "
        "training alone.\n\n"
        + _table(("corpus/task", "n", "accuracy", "UAR", "macro-F1", "weighted F1", "ECE", "ECE unfitted"), rows)
    ]


def _fusion(manifest: Manifest) -> list[str]:
    """Nothing of a model that no fusion was measured of."""
    fusion = manifest.metrics.get("fusion")
    if fusion is None:
        return []
    names = ("uar", "macro_f1", "nll", "ece")
    rows = [
        (subset, *(f"{figures[name]['mean']:.3f} ± {figures[name]['sd']:.3f}" for name in names))
        for subset, figures in fusion["subsets"].items()
    ]
    return [
        f"## Fused, by what is present\n{fusion['protocol'].strip()}\n\n"
        f"Mean and standard deviation over {fusion['folds']} folds.\n\n"
        + _table(("present", "UAR", "macro-F1", "NLL", "ECE"), rows)
    ]


def _compared(manifest: Manifest) -> list[str]:
    """Other strategies on the same windows, and what noise does.

    Nothing of a model that these were not measured of.
    """
    fusion = manifest.metrics.get("fusion", {})
    if "strategies" not in fusion:
        return []
    names = ("accuracy", "weighted_f1", "nll", "ece")
    strategies = [
        (name, str(int(figures["parameters"])), *(_share(figures[figure]) for figure in names))
        for name, figures in fusion["strategies"].items()
    ]
    subsets = list(fusion["noise"][UNCORRUPTED])
    noise = [
        (
            name,
            *(_share(measured[subset]["uar"]) if subset in measured else "" for subset in subsets),
            _most_ece(measured),
        )
        for name, measured in fusion["noise"].items()
    ]
    return [
        "## Strategies\nEvery way of fusing that needs no past, trained on such windows of two folds and measured on "
        "windows of the answers held out, a random subset of the modalities present. The pool is shipped: with "
        "modalities put together by label nothing can be better than Bayes' rule, which it is but for three weights; "
        "real windows would show what the others can do beyond it.\n\n"
        + _table(("strategy", "parameters", "accuracy", "weighted F1", "NLL", "ECE"), strategies),
        "## When one modality is corrupted\nUAR by what is present, and the greatest ECE of the row. Calibration and "
        "weights are those of clean data. Faces in blur, noise and the dark are trusted by how good they are; "
        "beside each stands what fusion would be worth if it took them at their word, which is little less. How much "
        "noise is in a voice, as it is estimated, hardly tells how right its answer is. Changed sound is noise, a "
        "room, a telephone, another speed or a codec.\n\n" + _table(("corrupted", *subsets, "ECE"), noise),
    ]


def _most_ece(measured: Mapping[str, Mapping[str, float]]) -> str:
    return _share(max(figures["ece"] for figures in measured.values()))


def _abstention(manifest: Manifest) -> str:
    curve = manifest.metrics.get("fusion", {}).get("coverage_accuracy", [])
    rows = [tuple(f"{point[name]:.3f}" for name in ("threshold", "coverage", "accuracy")) for point in curve]
    table = "Over windows with a random subset of the modalities:\n\n" + _table(
        ("threshold", "answered", "right"), rows
    )
    return (
        f"## Abstention\nA window whose best label is less probable than {manifest.least_confidence} gets no label. "
        + (table if rows else "How many that leaves unanswered has not been measured of these parts.")
    )


def _sets(manifest: Manifest) -> list[str]:
    """What prediction sets promise and keep; nothing of a model without any."""
    measured = manifest.metrics.get("fusion", {}).get("conformal")
    if measured is None:
        return []
    coverages = list(measured["coverages"])
    rows = [
        (subset, *(_set_figures(measured["coverages"][coverage][subset]) for coverage in coverages))
        for subset in measured["coverages"][coverages[0]]
    ]
    return [
        "## Sets\nWith `model.set_coverage`, a window has the set of emotions that cannot be ruled out. How often the "
        "set holds the right one, ± the standard deviation over the folds, and its mean size, by what is present and "
        "what is promised; windows were put together as above, and their answers seen by no threshold.\n\n"
        + _table(("present", *coverages), rows)
    ]


def _set_figures(figures: Mapping[str, Mapping[str, float]]) -> str:
    coverage, size = figures["coverage"], figures["size"]
    return f"{_share(coverage['mean'])} ± {_share(coverage['sd'])}, {size['mean']:.1f} labels"


def _risk(manifest: Manifest) -> str:
    figures = manifest.metrics.get("risk")
    levels = ", ".join(f"{level} from {manifest.risk.levels[level]}" for level in LEVELS)
    if figures is None:
        return f"## Risk\nLevels: {levels}. {_user_risk(manifest.metrics['text'])}"
    named = [("ordinary: " + name, reach) for name, reach in figures["ordinary_lines"].items()]
    named += list(figures["lines_with_the_risk"].items())
    rows = [(name, str(int(reach["lines"])), *(_share(reach[level]) for level in LEVELS)) for name, reach in named]
    return (
        f"## Risk\nLevels: {levels}. Share of validation lines that reach each level; for ordinary lines these are "
        "mostly false alarms, though some are distressed or abusive in earnest. A sad, angry or fearful mood can raise "
        "the level to low by itself, which is not counted here. smp2020 is Weibo, much of it on an epidemic.\n\n"
        + _table(("lines", "n", *LEVELS), rows)
    )


def _written_lines(manifest: Manifest) -> list[str]:
    """Lines written to see whom the model misses, where it was measured."""
    rows = [
        (name, lang, str(figures["lines"]), *(_with_interval(figures[column]) for column in _OF_LINES))
        for name, by_lang in manifest.metrics.get("written_lines", {}).items()
        for lang, figures in by_lang.items()
    ]
    if not rows:
        return []
    return [
        "## Whom it misses\nLines written for this project, each read by itself at the levels above, with 95 % "
        "intervals of the bootstrap over matched pairs. Validation lines are of one voice and two situations that were "
        "not trained on; curves and levels were fitted to them. Test lines are by writers who had seen no other line; "
        "nothing was trained or chosen on them. German, Spanish and French were trained on a few dozen lines each.\n\n"
        + _table(("lines", "language", "n", *_OF_LINES.values()), rows)
    ]


def _with_interval(figure: Sequence[float]) -> str:
    *value, low, high = figure
    return f"{_share(value[0]) if len(value) == 1 else ' of '.join(map(str, value))} [{low:.2f}, {high:.2f}]"


def _user_risk(text: Mapping[str, Any]) -> str:
    """How well the user's own lines are told, where they are labelled."""
    measured = [(risk, figures) for risk, figures in text.get(USER_CORPUS, {}).items() if risk in RISKS]
    notes = "How often lines reach them has not been measured of this text part."
    if not measured:
        return notes
    rows = [
        (risk, str(int(figures["rows"])), _share(figures["auroc"]), _share(figures["f1"])) for risk, figures in measured
    ]
    return f"{notes} On the user's own validation lines, before calibration:\n\n" + _table(
        ("risk", "n", "AUROC", "F1"), rows
    )


def _transcripts(manifest: Manifest) -> list[str]:
    """Lines as written and as recognised.

    Nothing of a model that was not calibrated for transcripts.
    """
    measured = manifest.metrics.get("transcripts")
    if measured is None:
        return []
    recognition = [
        (name, str(each["lines"]), _share(each["believed"]), _share(each["word_error_rate"]))
        for name, each in measured["recognition"].items()
    ]
    rows = [
        (recogniser, lines, str(figures["n"]), name, *(_spread(figures[form][name]) for form in measured["forms"]))
        for recogniser, by_lines in measured["figures"].items()
        for lines, figures in by_lines.items()
        for name in figures[measured["forms"][0]]
    ]
    return [
        f"## Spoken lines\n{measured['protocol']}\n\n"
        + _table(("recogniser", "lines", "believed", "word error rate"), recognition)
        + "\n\nEach figure with its standard deviation over draws of the lines. Levels are the share of ordinary lines "
        "that reach them.\n\n" + _table(("recogniser", "lines", "n", "figure", *measured["forms"]), rows)
    ]


def _spread(figure: Sequence[float]) -> str:
    value, deviation = figure
    return f"{value:.3f} ± {deviation:.3f}"


def _data(manifest: Manifest) -> str:
    names = ("corpus", "part", "used", "licence", "citation")
    head = ("corpus or network", *names[1:])
    return "## Made from\n" + _table(head, [tuple(str(entry[name]) for name in names) for entry in manifest.data])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _share(value: float) -> str:
    return f"{value:.3f}"
