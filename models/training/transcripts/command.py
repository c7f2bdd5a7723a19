"""Calibrates a model for transcripts of what is said.

    python -m models.training.transcripts.command --data FOLDER --work FOLDER --out FOLDER [--model default]

Validation lines are said by a synthesiser and read by the recognisers; the calibration is fitted to that, and measured
by cross-validation. FOLDER of --data holds `text/`; --work keeps what was read, so that a second run starts where the
first one ended. The model's folder is written to --out.
"""

import sys
from pathlib import Path

import click

from models.artifact import CARD, SHIPPED, read_model_folder, write_model_folder
from models.device import choose_device
from models.evaluation.progress import progress_bars
from models.model import AffectModel
from models.out_folder import check_out_folder
from models.training.assemble.card import model_card
from models.training.transcripts.calibrate import calibrated_for_transcripts

_LEAST_FREE_BYTES = 60_000_000  # twice the shipped model


@click.command(help=__doc__)
@click.option("--data", type=click.Path(path_type=Path), required=True)
@click.option("--work", type=click.Path(path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--model", default="default", show_default=True, help="A model folder, or the shipped one.")
def main(data: Path, work: Path, out: Path, model: str) -> None:
    """Writes the calibrated folder and says where."""
    check_out_folder(out, _LEAST_FREE_BYTES)
    folder = read_model_folder(SHIPPED if model == "default" else Path(model))
    with progress_bars() as progress:
        manifest = calibrated_for_transcripts(
            AffectModel.from_folder(folder, choose_device("auto")), data, work, progress
        )
    written = write_model_folder(out, manifest, folder.tensors, model_card(manifest))
    print(f"{out / CARD}: {written.digest()}", file=sys.stderr)


if __name__ == "__main__":
    main()
