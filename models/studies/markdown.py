"""The fusion study's tables as Markdown, the protocol above each.

Accuracy, weighted F1 and ECE are mean and deviation over folds. Left out: single folds, which `tables.json` has.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

_RAVDESS_PROTOCOL = """RAVDESS, 8 classes, 1440 clips, five folds of actors as in Luna-Jiménez et al. (2022). Inputs: \
the released outputs of a face and a speech network, each for the fold that it had not seen, and 35 action units (mean \
over the clip). Every actor's values are brought to zero mean and unit deviation by that actor's own 60 clips, labels \
unseen. A fusion is fitted on four folds and measured on the fifth, one seed; temperatures are fitted on the answers \
to the other folds."""

_MOSI_PROTOCOL = """CMU-MOSI, two classes, 1447 utterances of the 62 training videos, five folds of whole videos. \
Inputs: the released features (text 100, audio 73, video 100), and the transcripts by a sentence encoder that saw no \
label. The released features of text and video were made with a look at the labels of these videos: a linear \
classifier of them alone is right in 98 % and 92 % of held-out utterances here, against 76 to 78 % and 56 % published \
on the test videos. In training they are blurred until they tell about as much as on new videos; "accuracy" is with \
held-out rows blurred likewise, "unseen" is without these two inputs, which takes nothing on trust."""

_OPTIONS_PROTOCOL = """The same folds, one seed. Plain: zeros stand in for what is missing, no modality is dropped in \
training, nothing is added to the loss; every other row changes what it names and nothing else, the weights set before \
anything was measured. The second table is accuracy less the plain training's, fold by fold."""

RAVDESS_OPTION_VIEWS = {"all": "both", "without video": "voice alone", "without audio": "face alone"}
"""Columns of the tables of options, by the view that they are of."""


def markdown(tables: Mapping[str, Any]) -> str:
    """tables: as `reproduce` returns them."""
    ravdess, mosi = tables["ravdess-au"], tables["mosi"]
    parts = [
        "## RAVDESS: faces and voices",
        _RAVDESS_PROTOCOL,
        _table(("RAVDESS", "accuracy, %", "weighted F1, %", "ECE, %"), _ravdess_rows(ravdess)),
        _chosen(ravdess),
        "## RAVDESS: one modality missing",
        f"The same, {ravdess['missing']['strategy']}; accuracy over all clips.",
        _table(
            ("asked with", "accuracy, %"),
            [(name, _percent(value)) for name, value in ravdess["missing"].items() if name != "strategy"],
        ),
        "## RAVDESS: ways of bearing a missing modality, and options of training",
        *option_tables(ravdess["options"], RAVDESS_OPTION_VIEWS),
        "## CMU-MOSI",
        _MOSI_PROTOCOL,
        f"{mosi['chosen']}, mean and deviation over {len(mosi['seeds']['all']['values'])} seeds; together: the mean of "
        "their posteriors.",
        _table(
            ("inputs", "accuracy, %", "together, %"),
            [
                (view, _spread(figure), _percent(figure["together"]))
                for view, figure in mosi["seeds"].items()
                if view != "strategy"
            ],
        ),
        "## Every strategy",
        "Both sets as above; ms a row: 32 rows at a time on one core, median.",
        _strategies(ravdess["strategies"], mosi["strategies"]),
    ]
    return "\n\n".join(parts)


def option_tables(options: Mapping[str, Any], views: Mapping[str, str]) -> Iterable[str]:
    """Yields the protocol of the options, and two tables.

    options: as of `every_option`. views: what they are called.
    """
    yield _OPTIONS_PROTOCOL
    yield _option_table(
        options,
        (*views.values(), "ECE"),
        lambda of: [*(_spread(of[view]["accuracy"]) for view in views), _percent(of["all"]["ece"]["mean"])],
    )
    yield _option_table(options, tuple(views.values()), lambda of: [_gain(of[view]["gain"]) for view in views])


def _ravdess_rows(ravdess: Mapping[str, Any]) -> Iterable[Sequence[str]]:
    untouched, speech = ravdess["untouched"], ravdess["project_speech"]
    yield "published: best fusion; speech; face", "86.70; 81.8; 62.1", "", ""
    for name in ("speech outputs as released", "face outputs as released"):
        yield name, _percent(untouched[name]), "", ""
    yield "**fused, strategy chosen inside the other folds**", *_figures(ravdess["nested"])
    yield f"fused, clips not scaled by actor ({untouched['strategy']})", *_figures(untouched["fused"])
    if speech is not None:
        for name, value in speech.items():
            if isinstance(value, float):
                yield f"this project's speech: {name}", _percent(value), "", ""
        yield f"**this project's speech and action units, fused ({speech['strategy']})**", *_figures(speech["fused"])


def _chosen(ravdess: Mapping[str, Any]) -> str:
    chosen = ", ".join(f"fold {fold} {name}" for fold, name in ravdess["nested"]["chosen"].items())
    missing = " No logits of this project's speech were given (--speech)."
    without = "" if ravdess["project_speech"] is not None else missing
    return f"Chosen: {chosen}.{without}"


def _strategies(ravdess: Mapping[str, Any], mosi: Mapping[str, Any]) -> str:
    head = (
        *("strategy", "RAVDESS accuracy", "weighted F1", "ECE", "parameters", "ms a row"),
        *("MOSI accuracy", "unseen", "weighted F1", "ECE", "parameters", "ms a row"),
    )
    return _table(
        head,
        [
            (
                *(name, *_figures(ravdess[name]), *_cost(ravdess[name]), _spread(mosi[name]["accuracy"])),
                *(_percent(mosi[name]["views"]["unseen"]), *_figures(mosi[name])[1:], *_cost(mosi[name])),
            )
            for name in ravdess
        ],
    )


def _option_table(
    options: Mapping[str, Any], head: Sequence[str], cells: Callable[[Mapping[str, Any]], Sequence[str]]
) -> str:
    """A row for each option, with columns `head` for each strategy."""
    titles = [title if place else f"{strategy}: {title}" for strategy in options for place, title in enumerate(head)]
    rows = [
        (name, *(cell for of in options.values() for cell in cells(of[name]))) for name in next(iter(options.values()))
    ]
    return _table(("trained", *titles), rows)


def _figures(figures: Mapping[str, Any]) -> tuple[str, str, str]:
    return _spread(figures["accuracy"]), _spread(figures["weighted_f1"]), _spread(figures["ece"])


def _cost(figures: Mapping[str, Any]) -> tuple[str, str]:
    return f"{figures['parameters']}", f"{figures['ms_per_row']:.3f}"


def _spread(figure: Mapping[str, Any]) -> str:
    return f"{figure['mean'] * 100:.1f} ± {figure['sd'] * 100:.1f}"


def _gain(figure: Mapping[str, Any]) -> str:
    return f"{figure['mean'] * 100:+.1f} ± {figure['sd'] * 100:.1f}"


def _percent(value: float) -> str:
    return f"{value * 100:.1f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
