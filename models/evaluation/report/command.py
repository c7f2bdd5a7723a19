"""`affectd report`: one HTML page on how good a model is.

Each corpus at hand has a section: figures with intervals, slices of the rows, subsets of the modalities, corruptions.
The page holds its pictures, which also lie beside it as PNG, and needs no network. Of fewer than twenty rows only their
number is given. Left out: choosing anything by it.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from models.artifact import SHIPPED
from models.data.corpora.text import CORPORA
from models.data.user.manifest import has_manifest, no_manifest, read_manifest
from models.evaluation.progress import OnRows, no_progress
from models.evaluation.report.corpus_report import CorpusReport, report_corpus
from models.evaluation.report.page import page, section, summary_row
from models.evaluation.report.plots import pictures
from models.evaluation.user_rows import has_label
from models.labels import RISKS
from models.metrics.labelled_rows import EvaluationError
from models.metrics.slices import LEAST_ROWS
from models.model import AffectModel
from models.out_folder import check_out_folder

Measurement = tuple[str, str, str | None]
"""What is measured: corpus, split and task."""

OpenProgress = Callable[[], AbstractContextManager[OnRows]]
"""Opens the progress of one corpus."""

MOST_ROWS = 2000
"""Rows of a corpus that are measured by default."""

_DPI = 110


def report(
    model: str,
    data: Path,
    out: Path,
    written: str,
    measurements: Sequence[Measurement] | None = None,
    most_rows: int = MOST_ROWS,
    on_corpus: Callable[[str], None] = lambda corpus: None,
    open_progress: OpenProgress = lambda: nullcontext(no_progress),
) -> Path:
    """Writes `out/report.html` and its PNGs; returns the page's path.

    model: a folder, or "default"; one that is not shipped is compared with the shipped one. written: the day of the
    report. measurements: None for all that `data` holds (`measurements_in`). on_corpus: called with every corpus and
    task before it is measured. Raises EvaluationError, models.artifact.ModelError, models.device.DeviceUnavailableError
    or models.out_folder.OutFolderError.
    """
    check_out_folder(out)
    planned = measurements_in(data) if measurements is None else measurements
    if not planned:
        raise EvaluationError(f"{no_manifest(data)}; nor is there the validation part of a known corpus")
    loaded, shipped = AffectModel.load(model), AffectModel.load("default")
    compared = None if loaded.digest == shipped.digest else shipped
    out.mkdir(parents=True, exist_ok=True)
    sections, summary = [], []
    for corpus, split, task in planned:
        on_corpus(corpus if task is None else f"{corpus}: {task}")
        with open_progress() as progress:
            measured = report_corpus(loaded, corpus, data, split, task, most_rows, compared, progress)
        sections.append(section(measured, _pngs(measured, out)))
        summary.append(summary_row(measured))
    file = out / "report.html"
    folder = SHIPPED if model == "default" else Path(model)
    file.write_text(page(loaded, folder.resolve(), data.resolve(), written, summary, sections), encoding="utf-8")
    return file


def measurements_in(data: Path) -> list[Measurement]:
    """What can be measured on a data folder.

    Of a manifest every task that it labels, on held-out rows where there are any; else the validation parts of the
    known corpora in the folder.
    """
    if has_manifest(data):
        return _of_manifest(data)
    measurements: list[Measurement] = []
    if (data / "faces" / "ferplus_valid.npz").is_file():
        measurements += [("ferplus", "valid", "expression"), ("ferplus", "valid", "emotion")]
    measurements += [
        (name, "all", None) for name in ("ravdess", "emodb") if (data / "speech" / f"{name}.csv").is_file()
    ]
    for name, corpus in CORPORA.items():
        part = "valid" if corpus.has_valid else "train"
        if (data / "text" / f"{corpus.stem}_{part}.jsonl.gz").is_file():
            measurements.append((name, "valid", None))
    return measurements


def _of_manifest(data: Path) -> list[Measurement]:
    """Every task that is labelled, on the most held-out split.

    That is the test split, or the next one with labelled rows.
    """
    samples = read_manifest(data)
    measurements: list[Measurement] = []
    for task in ("emotion", *RISKS):
        splits = {sample.split for sample in samples if has_label(sample, task)}
        measurements += [("manifest", split, task) for split in ("test", "valid", "train") if split in splits][:1]
    return measurements


def _pngs(measured: CorpusReport, out: Path) -> dict[str, bytes]:
    """Writes the plots and returns them; none of too few rows."""
    if len(measured.predictions.truth) < LEAST_ROWS:
        return {}
    drawn = {}
    for name, figure in pictures(measured.predictions, measured.figures["confusion"]).items():
        path = out / f"{measured.corpus}-{measured.predictions.rows.task}-{name}.png"
        figure.savefig(path, dpi=_DPI)
        drawn[name] = path.read_bytes()
    return drawn
