"""The commands about models: `affectd evaluate`, `train`, `calibrate` and `report`."""

import json
import sys
from pathlib import Path

import click

_TASKS = ("face", "speech", "text", "fusion", "all")  # those of models.training.command, which takes seconds to import

_model = click.option(
    "--model",
    default="default",
    show_default=True,
    metavar="DIR|default",
    help="A model folder; default is the shipped one.",
)
_data = click.option(
    "--data", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Folder of the data."
)


@click.command()
@_model
@click.option(
    "--corpus", required=True, metavar="NAME", help="Such as ferplus; manifest is your own; another name shows all."
)
@_data
@click.option(
    "--split", required=True, metavar="SPLIT", help="Which rows: train, valid, test or all, as far as it has them."
)
@click.option("--task", metavar="NAME", help="For corpora that have several.")
@click.option("--drop", type=click.Choice(["video", "audio", "text"]), help="Leaves one modality out.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def evaluate(
    model: str, corpus: str, data: Path, split: str, task: str | None, drop: str | None, as_json: bool
) -> None:
    """Measures a model on a labelled corpus.

    Without --json it prints tables: the figures and what they mean, figures by label, and the confusion.
    """
    from daemon.cli.figures import print_figures
    from models.evaluation.evaluate import evaluate
    from models.evaluation.progress import progress_bars

    with progress_bars() as progress:
        figures = evaluate(model, corpus, data, split, task, drop, progress)
    if as_json:
        click.echo(json.dumps(figures, ensure_ascii=False))
    else:
        print_figures(figures)


@click.command()
@click.argument("task", type=click.Choice(_TASKS))
@_data
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="What is changed of a training (TOML).")
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of what is made; goes on there.",
)
def train(task: str, data: Path, config: Path | None, out: Path) -> None:
    """Trains the model, or a part of it, on labelled data.

    On known corpora, or a manifest of your own.

    Prints the folder that was made.

    Of a manifest of your own, a part needs rows of two emotions in the split train and one in valid (text: or lines
    with and without a risk in both), and is taken only where it answers rows held out (test; with fewer than 20, valid
    too) better than the shipped one. Some hundred rows a part are a sensible beginning. Calibration follows by itself
    from 20 rows of valid on, 5 or more of each of two labels; weights of fusion from 20 rows of valid with two
    modalities or more; curves of a risk from 25 lines with it and 25 without.
    """
    from daemon.cli.figures import print_comparison
    from models.artifact import MANIFEST, read_manifest
    from models.training.command import train

    made = train(task, data, out, config)
    own = read_manifest(made).metrics.get("own") if (made / MANIFEST).is_file() else None
    if own is not None:
        print_comparison(own)
        if not any(sentence.startswith("calibration: fitted") for sentence in own["calibration"]):
            command = f"affectd calibrate --model {made} --data {data} --out {out / 'calibrated'}"
            click.echo(f"With more rows in the split valid: {command}", err=True)
    click.echo(made)


@click.command()
@_model
@_data
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="The new model folder.")
def calibrate(model: str, data: Path, out: Path) -> None:
    """Calibrates a model on a manifest of your own.

    Prints the figures before and after as one JSON object.
    """
    from models.evaluation.progress import progress_bars
    from models.training.calibration.command import calibrate

    with progress_bars() as progress:
        figures = calibrate(model, data, out, progress)
    for sentence in (*figures["kept"], *figures["notes"]):
        click.echo(sentence, err=True)
    for name in ("accuracy", "ece", "nll"):
        click.echo(f"{name:>16}  {figures['before'][name]:.4f} -> {figures['after'][name]:.4f}", err=True)
    click.echo(f"{out}: after is of {figures['after_is_of']}", err=True)
    click.echo(json.dumps(figures, ensure_ascii=False))


@click.command()
@_model
@_data
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("out/report"),
    show_default=True,
    metavar="DIR",
    help="Folder of the page.",
)
@click.option(
    "--rows", type=click.IntRange(min=1), default=2000, show_default=True, help="Most rows of a corpus, at random."
)
def report(model: str, data: Path, out: Path, rows: int) -> None:
    """Writes a report on a model (HTML and PNG).

    From all validation data in DATA.

    Of a manifest, every task that it labels. A model of your own stands beside the shipped one. Prints the page's path.
    """
    from models.evaluation.progress import progress_bars
    from models.evaluation.report.command import report
    from streams.clock import SystemClock
    from streams.formats.rfc3339 import format_ns

    today = format_ns(SystemClock().wall_ns())[:10]

    def tell(corpus: str) -> None:
        if sys.stderr.isatty():
            click.echo(corpus, err=True)

    click.echo(report(model, data, out, today, most_rows=rows, on_corpus=tell, open_progress=progress_bars))
