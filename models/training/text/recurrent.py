"""Trains and measures the recurrent text network, without pretrained parts.

Rule: the same loop, losses, corpora and validation lines as the shipped networks have, by the recipe `recurrent`; what
is written is a text part of its own, which a model folder may hold in place of the shipped one, though it reads English
alone. Left out: taking part in the shipped answer.
"""

import json
from pathlib import Path
from typing import Any

import click

from models.text.component import pack_recurrent
from models.training.loop.progress import Report, shown
from models.training.part.folder import PartFolder
from models.training.text.recipes import TextTraining
from models.training.text.text_part import write_part
from models.training.text.train import read_training_data, train_text

_NAME = "recurrent"


def make_recurrent_part(data: Path, out: Path, training: TextTraining, progress: Report) -> dict[str, Any]:
    """Trains the network and writes a text part's folder.

    Returns the figures. Raises as `train_text` does.
    """
    folder = PartFolder(out, "text")
    train, valid, _ = read_training_data(data)
    return write_part(pack_recurrent(train_text(_NAME, data, folder, training, progress)), train, valid, folder)


@click.command()
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path), metavar="DIR")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR")
@click.option("--epochs", type=click.IntRange(min=1), help="Default: the recipe's.")
@click.option("--seed", default=0, show_default=True)
def main(data: Path, out: Path, epochs: int | None, seed: int) -> None:
    """Trains the recurrent text network on the lines in DATA.

    Figures go to stdout and into OUT/metrics.json.
    """
    training = TextTraining(epochs=epochs, seed=seed)
    with shown(_NAME, training.recipe(_NAME).epochs) as progress:
        click.echo(json.dumps(make_recurrent_part(data, out, training, progress)))


if __name__ == "__main__":
    main()
