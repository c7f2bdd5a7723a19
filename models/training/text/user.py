"""Trains the shipped text networks further on a user's lines.

Rule: both shipped networks go on by the losses that they were trained with, at a share of their rate and for a few
epochs, since what they know of other lines must last; labels that a line does not have are masked. The English network
learns from English lines alone, and a network stays as it is where its lines teach nothing. Epochs are judged by the
validation lines. Left out: the word tables, which stay; lines of the public corpora, which a user does not have, and
their terms: a user's are those that the heads answer on.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from models.artifact import SHIPPED, read_model_folder
from models.data.corpora.text import TextSample
from models.data.user.manifest import USER_CORPUS
from models.data.user.texts import ENGLISH, learnable, read_user_texts
from models.text.component import pack_networks, unpack_networks
from models.training.loop.progress import Report
from models.training.part.folder import PartFolder
from models.training.text.recipes import Recipe, TextTraining
from models.training.text.text_part import write_part
from models.training.text.train import fit_text

log = logging.getLogger(__name__)

USER_EPOCHS = 4

_SHARE_OF_RATE = 0.25  # of the rate that the network was trained at
_BATCH_ROWS = 32


def make_user_text(data: Path, out: Path, training: TextTraining, progress: Mapping[str, Report]) -> dict[str, Any]:
    """Trains on a manifest's lines and writes the part's folder.

    Returns the figures.

    progress: by network, called after every epoch. A run that was killed goes on from the networks' checkpoints.
    Raises ManifestError, ModelError for a shipped model that cannot be read, and as `fit` does.
    """
    folder = PartFolder(out, "text")
    train, valid, left_out = read_user_texts(data)
    left_out.write(folder.left_out)
    part = read_model_folder(SHIPPED).tensors["text"]
    multilingual, english = unpack_networks(part, terms=False)
    best_epochs = {}
    for name, reader in (("english", english), ("multilingual", multilingual)):
        learnt, judged = ([line for line in lines if _reads(name, line)] for lines in (train, valid))
        if not learnable(learnt, judged):
            log.info("%s network: kept as it is, the lines that it reads teach it nothing", name)
            continue
        recipe = user_recipe(name, training, len(learnt))
        reader.network.dropout.p = recipe.dropout
        result = fit_text(
            reader,
            {USER_CORPUS: learnt},
            {USER_CORPUS: judged},
            recipe,
            training.seed,
            folder.checkpoint(name),
            progress[name],
        )
        best_epochs[name] = result.best_epoch
    facts = {
        "data": USER_CORPUS,
        "rows": {"train": len(train), "valid": len(valid)},
        "dropped": left_out.counts(),
        "best_epochs": best_epochs,
    }
    return write_part(pack_networks(multilingual, english), {USER_CORPUS: train}, {USER_CORPUS: valid}, folder, facts)


def user_recipe(name: str, training: TextTraining, rows: int) -> Recipe:
    """A shipped network's recipe for a user's lines.

    An epoch has a batch at least.
    """
    usual = training.recipe(name)
    return replace(
        usual,
        draws={USER_CORPUS: max(_BATCH_ROWS, round(rows * training.draws_share))},
        epochs=training.epochs or USER_EPOCHS,
        batch_rows=_BATCH_ROWS,
        learning_rate=usual.learning_rate * _SHARE_OF_RATE,
    )


def _reads(name: str, line: TextSample) -> bool:
    return name != "english" or line.lang == ENGLISH
