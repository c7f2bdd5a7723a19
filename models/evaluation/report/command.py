"""One HTML page on a model: how good it is on each corpus at hand, for whom, under what, and how sure that is.

The page holds its pictures, which also lie beside it as PNG, and needs no network. Nothing is said of fewer than twenty
rows but how many they are. Left out: choosing anything by it.
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

Question = tuple[str, str, str | None]
"""Corpus, split and task."""

Shown = Callable[[], AbstractContextManager[OnRows]]
"""Shows how far one corpus is."""

MOST_ROWS = 2000
"""Of a corpus, unless more are asked for."""

_DPI = 110


def report(
    model: str,
    data: Path,
    out: Path,
    written: str,
    questions: Sequence[Question] | None = None,
    most_rows: int = MOST_ROWS,
    told: Callable[[str], None] = lambda corpus: None,
    shown: Shown = lambda: nullcontext(no_progress),
) -> Path:
    """Writes `out/report.html` and PNGs for each corpus and task, and returns the page's path.

    model: a folder, or "default"; one that is not shipped is set beside the shipped one. written: the day that the page
    tells. questions: None for all that `data` holds (`questions_of`). told: every corpus and task, before it is
    measured. Raises EvaluationError, models.artifact.ModelError, models.device.DeviceUnavailableError or
    models.out_folder.OutFolderError.
    """
    check_out_folder(out)
    asked = questions_of(data) if questions is None else questions
    if not asked:
        raise EvaluationError(f"{no_manifest(data)}; nor is there the validation part of a known corpus")
    loaded, shipped = AffectModel.load(model), AffectModel.load("default")
    beside = None if loaded.digest == shipped.digest else shipped
    out.mkdir(parents=True, exist_ok=True)
    sections, summary = [], []
    for corpus, split, task in asked:
        told(corpus if task is None else f"{corpus}: {task}")
        with shown() as progress:
            found = report_corpus(loaded, corpus, data, split, task, most_rows, beside, progress)
        sections.append(section(found, _pngs(found, out)))
        summary.append(summary_row(found))
    file = out / "report.html"
    folder = SHIPPED if model == "default" else Path(model)
    file.write_text(page(loaded, folder.resolve(), data.resolve(), written, summary, sections), encoding="utf-8")
    return file


def questions_of(data: Path) -> list[Question]:
    """What can be asked of a folder: every task that its manifest labels, on rows held out where there are any; or the
    validation parts of the known corpora that are there.
    """
    if has_manifest(data):
        return _of_manifest(data)
    found: list[Question] = []
    if (data / "faces" / "ferplus_valid.npz").is_file():
        found += [("ferplus", "valid", "expression"), ("ferplus", "valid", "emotion")]
    found += [(name, "all", None) for name in ("ravdess", "emodb") if (data / "speech" / f"{name}.csv").is_file()]
    for name, corpus in CORPORA.items():
        part = "valid" if corpus.has_valid else "train"
        if (data / "text" / f"{corpus.stem}_{part}.jsonl.gz").is_file():
            found.append((name, "valid", None))
    return found


def _of_manifest(data: Path) -> list[Question]:
    """On the test split, or the next one that has rows with the label."""
    samples = read_manifest(data)
    found: list[Question] = []
    for task in ("emotion", *RISKS):
        splits = {sample.split for sample in samples if has_label(sample, task)}
        found += [("manifest", split, task) for split in ("test", "valid", "train") if split in splits][:1]
    return found


def _pngs(found: CorpusReport, out: Path) -> dict[str, bytes]:
    """Writes the pictures, and returns them by name; none of too few rows."""
    if len(found.answered.truth) < LEAST_ROWS:
        return {}
    drawn = {}
    for name, figure in pictures(found.answered, found.figures["confusion"]).items():
        path = out / f"{found.corpus}-{found.answered.rows.task}-{name}.png"
        figure.savefig(path, dpi=_DPI)
        drawn[name] = path.read_bytes()
    return drawn
