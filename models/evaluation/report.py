"""One HTML page on a model: how good it is on each corpus at hand, for whom, under what, and how sure that is.

The page holds its pictures, which also lie beside it as PNG, and needs no network. Left out: choosing anything by it.
"""

import base64
import io
from collections.abc import Callable, Iterable, Sequence
from html import escape
from pathlib import Path

from models.data.manifest import has_manifest, no_manifest
from models.data.text_corpora import CORPORA
from models.evaluation.answers import Answers
from models.evaluation.curves import threshold_for_accuracy
from models.evaluation.pictures import picture
from models.evaluation.row_types import EvaluationError
from models.evaluation.study import Study, study
from models.model import AffectModel
from models.out_folder import check_out_folder

Question = tuple[str, str, str | None]
"""Corpus, split and task."""

MOST_ROWS = 2000
"""Of a corpus, unless more are asked for."""

_WANTED_ACCURACY = 0.9
_FIGURES = ("accuracy", "uar", "macro_f1", "weighted_f1", "auroc", "ece", "brier", "nll")
_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:.6rem 0}td,th{padding:.15rem .7rem;border-bottom:1px solid #ddd;text-align:right}
td:first-child,th:first-child{text-align:left}img{max-width:100%}code{font-size:.85em}"""


def report(
    model: str,
    data: Path,
    out: Path,
    questions: Sequence[Question] | None = None,
    most_rows: int = MOST_ROWS,
    told: Callable[[str], None] = lambda corpus: None,
) -> Path:
    """Writes `out/report.html` and a PNG a corpus, and returns the page's path.

    model: a folder, or "default". questions: None for all that `data` holds (`questions_of`). told: every corpus,
    before it is measured. Raises EvaluationError, models.artifact.ModelError, models.model.DeviceUnavailableError or
    models.out_folder.OutFolderError.
    """
    check_out_folder(out)
    loaded = AffectModel.load(model)
    asked = questions_of(data) if questions is None else questions
    if not asked:
        raise EvaluationError(f"{no_manifest(data)}; nor is there the validation part of a known corpus")
    out.mkdir(parents=True, exist_ok=True)
    sections, summary = [], []
    for corpus, split, task in asked:
        told(corpus)
        found = study(loaded, corpus, data, split, task, most_rows)
        name = f"{found.corpus}-{found.answered.rows.task}"
        sections.append(_section(found, _png(found, out / f"{name}.png")))
        summary.append(_summary_row(found))
    page = out / "report.html"
    page.write_text(_page(loaded, _table(_SUMMARY_HEAD, summary), sections), encoding="utf-8")
    return page


def questions_of(data: Path) -> list[Question]:
    """What can be asked of a folder: its manifest, or the validation parts of the known corpora that are there."""
    if has_manifest(data):
        return [("manifest", "test", None)]
    found: list[Question] = []
    if (data / "faces" / "ferplus_valid.npz").is_file():
        found += [("ferplus", "valid", "expression"), ("ferplus", "valid", "emotion")]
    found += [(name, "all", None) for name in ("ravdess", "emodb") if (data / "speech" / f"{name}.csv").is_file()]
    for name, corpus in CORPORA.items():
        part = "valid" if corpus.has_valid else "train"
        if (data / "text" / f"{corpus.stem}_{part}.jsonl.gz").is_file():
            found.append((name, "valid", None))
    return found


_SUMMARY_HEAD = ("corpus", "task", "rows", "accuracy", "UAR", "macro-F1", "ECE", "rows a second")


def _summary_row(found: Study) -> tuple[str, ...]:
    return (
        found.corpus,
        found.answered.rows.task,
        str(len(found.answered.truth)),
        *(f"{found.figures[name]:.3f}" for name in ("accuracy", "uar", "macro_f1", "ece")),
        f"{found.answered.rows_per_second:.0f}",
    )


def _page(model: AffectModel, summary: str, sections: Iterable[str]) -> str:
    title = f"{escape(model.name)} {escape(model.version)}"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1><p><code>{escape(model.digest)}</code></p>"
        "<p>In brackets: 95 % intervals of the bootstrap over speakers, dialogues or rows. Changed rows are at most "
        f"400 of the same rows.</p>{summary}{''.join(sections)}</body></html>\n"
    )


def _section(found: Study, png: str) -> str:
    rows = [(name, _figure(found, name)) for name in _FIGURES]
    parts = [f"<h2>{escape(found.corpus)} {escape(found.split)}: {escape(found.answered.rows.task)}</h2>"]
    parts += [f"<p>{escape(note)}</p>" for note in found.notes]
    parts += [_table(("figure", "value"), rows), f'<img alt="curves" src="data:image/png;base64,{png}">']
    parts.append(f"<p>{_abstention(found.answered)}</p>")
    each = found.figures["per_label"].items()
    parts.append(
        _table(
            ("label", "precision", "recall", "F1", "rows"),
            [(name, *(f"{of[key]:.3f}" for key in ("precision", "recall", "f1")), str(of["n"])) for name, of in each],
        )
    )
    for name, sliced in found.slices.items():
        parts.append(f"<h3>By {escape(name)}: gap of UAR {sliced.gap:.3f}</h3>")
        values = [(part.value, str(part.n), f"{part.accuracy:.3f}", f"{part.uar:.3f}") for part in sliced.parts]
        parts.append(_table((name, "rows", "accuracy", "UAR"), values))
    changes = [(name, f"{accuracy:.3f}", f"{uar:.3f}") for name, (accuracy, uar) in found.changes.items()]
    return "".join([*parts, "<h3>Changed</h3>", _table(("rows", "accuracy", "UAR"), changes)])


def _abstention(answered: Answers) -> str:
    """From which confidence on answers are right often enough, and how many are left."""
    probabilities = answered.probabilities
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == answered.truth
    threshold = threshold_for_accuracy(confidence, correct, _WANTED_ACCURACY)
    if threshold is None:
        return f"No threshold of confidence makes {_WANTED_ACCURACY:.0%} of the answers right."
    return (
        f"Answers given from a confidence of {threshold:.2f} on, which are {(confidence >= threshold).mean():.0%}, are "
        f"right in {_WANTED_ACCURACY:.0%} or more."
    )


def _figure(found: Study, name: str) -> str:
    value = found.figures[name]
    if value is None:
        return "-"
    if name not in found.intervals:
        return f"{value:.3f}"
    low, high = found.intervals[name]
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _png(found: Study, path: Path) -> str:
    """Writes the picture, and returns it in base 64."""
    written = io.BytesIO()
    picture(found.answered, found.figures["confusion"]).savefig(written, format="png", dpi=90)
    path.write_bytes(written.getvalue())
    return base64.b64encode(written.getvalue()).decode()


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["".join(f"<th>{escape(cell)}</th>" for cell in head)]
    lines += ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"
