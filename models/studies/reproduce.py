"""Reproduces the fusion study: prints its tables, writes its models.

Run by `make reproduce`: `python -m models.studies.reproduce --data DIR --out DIR`. Progress goes to stderr, tables
to stdout as Markdown; `OUT/tables.json` has every figure, `OUT/ravdess-au` and `OUT/mosi` are the models. Everything
runs on the CPU from fixed seeds, one thread a training. Left out: the service's own model, which `affectd report` is
about.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from models.metrics.labelled_rows import EvaluationError
from models.out_folder import check_out_folder
from models.studies.experiment import Experiment, mosi_experiment, ravdess_experiment
from models.studies.held_out_folds import Floats, over_folds
from models.studies.markdown import markdown
from models.studies.option_tables import every_option
from models.studies.shipping import ship_mosi, ship_ravdess
from models.studies.tables import (
    every_strategy,
    mosi_choice,
    mosi_seeds,
    project_speech,
    ravdess_missing,
    ravdess_nested,
    ravdess_untouched,
)
from models.studies.train import fitted_temperature


def reproduce(data: Path, out: Path, speech: Path | None, workers: int) -> dict[str, Any]:
    """Returns all tables.

    speech: `state_logits.npz` of the speech part, or None. Raises EvaluationError.
    """
    check_out_folder(out)
    out.mkdir(parents=True, exist_ok=True)
    try:
        tables = {"ravdess-au": _ravdess(data, out, speech, workers), "mosi": _mosi(data, out, workers)}
    except (OSError, ValueError) as wrong:
        raise EvaluationError(str(wrong)) from wrong
    (out / "tables.json").write_text(json.dumps(tables, indent=1) + "\n", encoding="utf-8")
    return tables


def _ravdess(data: Path, out: Path, speech: Path | None, workers: int) -> dict[str, Any]:
    experiment = ravdess_experiment(data, workers, _report)
    strategies, results = every_strategy(experiment)
    nested, chosen = ravdess_nested(experiment, results)
    usual = max(set(chosen.values()), key=list(chosen.values()).count)
    missing = ravdess_missing(experiment, usual, results[usual])
    tables = {
        "strategies": strategies,
        "nested": nested,
        "missing": missing,
        "options": every_option(experiment),
        "untouched": ravdess_untouched(experiment, data, usual),
        "project_speech": None if speech is None else project_speech(experiment, data, speech, usual),
    }
    card = {
        "all clips, each by fusions chosen and trained without its actor (one seed)": _accuracy_text(nested),
        "the same without sound": f"{missing['audio missing']:.4f}",
        "the same without the picture": f"{missing['video missing']:.4f}",
    }
    temperatures = {
        fold: _temperature(experiment, over_folds(results[strategy]), experiment.fold != fold)
        for fold, strategy in chosen.items()
    }
    metrics = {"card": card, "nested": nested, "missing": missing}
    ship_ravdess(out / "ravdess-au", experiment.rows, experiment.fold, chosen, temperatures, metrics, _report)
    return tables


def _mosi(data: Path, out: Path, workers: int) -> dict[str, Any]:
    experiment = mosi_experiment(data, workers, _report)
    strategies, results = every_strategy(experiment)
    chosen = mosi_choice(strategies)
    seeds = mosi_seeds(experiment, chosen)
    card = {
        f"held-out training videos, {view}, mean and deviation of seeds": f"{seeds[view]['mean']:.4f} ± "
        f"{seeds[view]['sd']:.4f}"
        for view in experiment.views
    }
    temperature = _temperature(experiment, over_folds(results[chosen]), np.ones(len(experiment.rows), dtype=bool))
    ship_mosi(out / "mosi", experiment.rows, chosen, temperature, {"card": card, "seeds": seeds}, _report)
    return {"strategies": strategies, "chosen": chosen, "seeds": seeds}


def _temperature(experiment: Experiment, logits: Floats, rows: NDArray[np.bool_]) -> float:
    return fitted_temperature(logits[rows], experiment.truth[rows])


def _accuracy_text(figures: Mapping[str, Any]) -> str:
    accuracy = figures["accuracy"]
    return f"{accuracy['all_rows']:.4f} (folds {accuracy['mean']:.4f} ± {accuracy['sd']:.4f})"


def _report(what: str) -> None:
    click.echo(what, err=True)


@click.command()
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path), metavar="DIR")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "--speech",
    type=click.Path(exists=True, path_type=Path),
    metavar="FILE",
    help="state_logits.npz of the speech part; without it the rows of this project's own speech are left out.",
)
@click.option("--workers", type=click.IntRange(min=1), default=os.cpu_count() or 1, show_default=True)
def main(data: Path, out: Path, speech: Path | None, workers: int) -> None:
    """Measures every fusion strategy on RAVDESS and CMU-MOSI, and prints tables."""
    try:
        click.echo(markdown(reproduce(data, out, speech, workers)))
    except EvaluationError as wrong:
        raise click.ClickException(str(wrong)) from wrong


if __name__ == "__main__":
    main()
