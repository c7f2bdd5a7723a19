"""Measures a model on written lines and says so in its card.

    python -m models.training.assemble.measure_lines --lines FOLDER --out FOLDER [--model default]

FOLDER of --lines holds a file of test lines for each language, as `models/data/lines` does. The model's folder is
written to --out with the figures; what the model answers stays as it is.
"""

import sys
from pathlib import Path

import click

from models.artifact import CARD, SHIPPED, read_model_folder, write_model_folder
from models.device import choose_device
from models.model import AffectModel
from models.out_folder import check_out_folder
from models.text.encoder import TextEncoder
from models.training.assemble.card import model_card
from models.training.assemble.written_lines import measured_lines

_LEAST_FREE_BYTES = 60_000_000  # twice the shipped model


@click.command(help=__doc__)
@click.option("--lines", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--model", default="default", show_default=True, help="A model folder, or the shipped one.")
def main(lines: Path, out: Path, model: str) -> None:
    """Writes the measured folder and says where."""
    check_out_folder(out, _LEAST_FREE_BYTES)
    folder = read_model_folder(SHIPPED if model == "default" else Path(model))
    encoder = AffectModel.from_folder(folder, choose_device("auto")).encoders["text"]
    if not isinstance(encoder, TextEncoder):
        raise TypeError(f"lines are read by a TextEncoder, this is a {type(encoder).__name__}")
    measured = measured_lines(encoder, folder.manifest, lines)
    manifest = folder.manifest.model_copy(update={"metrics": {**folder.manifest.metrics, "written_lines": measured}})
    written = write_model_folder(out, manifest, folder.tensors, model_card(manifest))
    print(f"{out / CARD}: {written.digest()}", file=sys.stderr)


if __name__ == "__main__":
    main()
