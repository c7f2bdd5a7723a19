"""The report's HTML page: self-contained, and readable on a telephone too."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

from models.evaluation.predictions import Predictions
from models.evaluation.report.corpus_report import CorpusReport
from models.evaluation.report.plots import LEAST_OF_LABEL
from models.metrics.comparison import Estimate
from models.metrics.curves import threshold_for_accuracy
from models.metrics.glossary import explained
from models.metrics.slices import LEAST_ROWS
from models.model import AffectModel

_WANTED_ACCURACY = 0.9
_FIGURES = ("accuracy", "uar", "macro_f1", "weighted_f1", "auroc", "ece", "brier", "nll")
_SUMMARY_HEAD = ("corpus", "task", "rows", "accuracy", "UAR", "UAR, shipped", "macro-F1", "ECE", "rows a second")
_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:1rem auto;padding:0 .8rem;color:#222}
.wide{overflow-x:auto}table{border-collapse:collapse;margin:.6rem 0;font-size:.93em}
td,th{padding:.15rem .5rem;border-bottom:1px solid #ddd;text-align:right;vertical-align:top}
td:first-child,th:first-child,.words td:last-child,.words th:last-child{text-align:left}
.pictures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr));gap:.6rem}
img{width:100%;height:auto}code{font-size:.85em;overflow-wrap:anywhere}"""


def page(
    model: AffectModel,
    folder: Path,
    data: Path,
    written: str,
    summary: Iterable[Sequence[str]],
    sections: Iterable[str],
) -> str:
    """The whole page. written: the day of the report."""
    title = f"{escape(model.name)} {escape(model.version)}"
    facts = [("model", str(folder)), ("digest", model.digest), ("data", str(data)), ("written", written)]
    header = "<br>".join(f"{name}: <code>{escape(value)}</code>" for name, value in facts)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1><p>{header}</p>"
        "<p>In brackets: 95 % intervals of the bootstrap over speakers, dialogues or rows. Corrupted rows are at most "
        f"400 of the same rows. Of fewer than {LEAST_ROWS} rows only their number is given.</p>"
        f"{_table(_SUMMARY_HEAD, summary)}{''.join(sections)}</body></html>\n"
    )


def summary_row(report: CorpusReport) -> tuple[str, ...]:
    """One corpus and task as a row of the summary table."""
    rows = len(report.predictions.truth)
    shipped = "" if report.shipped is None else _share(report.shipped.before[0])
    accuracy, uar, macro_f1, ece = (report.figures[name] for name in ("accuracy", "uar", "macro_f1", "ece"))
    shares = (_share(accuracy), _share(uar), shipped, _share(macro_f1), _share(ece))
    speed = f"{report.predictions.rows_per_second:.0f}"
    return (
        report.corpus,
        report.predictions.rows.task,
        str(rows),
        *(shares if rows >= LEAST_ROWS else ("-",) * 5),
        speed,
    )


def section(report: CorpusReport, pictures: Mapping[str, bytes]) -> str:
    """The section on one corpus and task. pictures: PNGs by name."""
    source = report.source
    blocks = [
        f"<h2>{escape(report.corpus)} {escape(report.split)}: {escape(report.predictions.rows.task)}</h2>",
        f"<p>From <code>{escape(str(source.path))}</code>, changed last on {source.modified}, "
        f"version <code>sha256:{source.sha256[:12]}</code>.</p>",
        *(f"<p>{escape(note)}</p>" for note in report.notes),
        _table(
            ("predicted from", "rows", "accuracy", "UAR"),
            [(part.present, str(part.n), _share(part.accuracy), _share(part.uar)) for part in report.subsets],
        ),
    ]
    if len(report.predictions.truth) < LEAST_ROWS:
        few = f"{len(report.predictions.truth)} rows are too few to measure; {LEAST_ROWS} are needed."
        return "".join([*blocks, f"<p>{few}</p>"])
    return "".join([*blocks, *_measured(report, pictures)])


def _measured(report: CorpusReport, pictures: Mapping[str, bytes]) -> Iterable[str]:
    yield _table(
        ("figure", "value", ""), [(name, _figure(report, name), explained(name)) for name in _FIGURES], "words"
    )
    if report.shipped is not None:
        compared = [("UAR", *map(_interval, (report.shipped.before, report.shipped.after, report.shipped.change)))]
        yield _table(("on the same rows", "shipped", "this model", "change"), compared)
    images = (
        f'<img alt="{escape(name)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'
        for name, png in pictures.items()
    )
    yield f'<div class="pictures">{"".join(images)}</div><p>{_abstention(report.predictions)}</p>'
    yield _table(("label", "precision", "recall", "F1", "rows"), _by_label(report))
    for name, sliced in report.slices.items():
        yield f"<h3>By {escape(name)}: gap of UAR {sliced.gap:.3f}</h3>"
        values = [(part.value, str(part.n), _share(part.accuracy), _share(part.uar)) for part in sliced.parts]
        yield _table((name, "rows", "accuracy", "UAR"), values)
    corruptions = [(name, _share(accuracy), _share(uar)) for name, (accuracy, uar) in report.corruptions.items()]
    yield "<h3>Corruptions</h3>" + _table(("rows", "accuracy", "UAR"), corruptions)


def _by_label(report: CorpusReport) -> list[tuple[str, ...]]:
    """Figures by label; none of labels that have too few rows."""
    return [
        (
            name,
            *(_share(of[key]) if of["n"] >= LEAST_OF_LABEL else "-" for key in ("precision", "recall", "f1")),
            str(of["n"]),
        )
        for name, of in report.figures["per_label"].items()
    ]


def _abstention(predictions: Predictions) -> str:
    """The confidence from which predictions reach the wanted accuracy, and their share."""
    probabilities = predictions.probabilities
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == predictions.truth
    threshold = threshold_for_accuracy(confidence, correct, _WANTED_ACCURACY)
    if threshold is None or (confidence >= threshold).sum() < LEAST_ROWS:
        return f"No threshold of confidence makes {_WANTED_ACCURACY:.0%} of {LEAST_ROWS} predictions or more right."
    return (
        f"Predictions from a confidence of {threshold:.2f} on, which are {(confidence >= threshold).mean():.0%}, are "
        f"right in {_WANTED_ACCURACY:.0%} or more."
    )


def _figure(report: CorpusReport, name: str) -> str:
    value = report.figures[name]
    if value is None or name not in report.intervals:
        return _share(value)
    return _interval((value, *report.intervals[name]))


def _interval(estimate: Estimate) -> str:
    value, low, high = estimate
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "figures") -> str:
    lines = ["".join(f"<th>{escape(cell)}</th>" for cell in head)]
    lines += ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    return (
        f'<div class="wide"><table class="{kind}">' + "".join(f"<tr>{line}</tr>" for line in lines) + "</table></div>"
    )
