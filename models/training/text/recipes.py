"""Recipes of the text networks: corpora, draws, rates.

A network starts from a tokenizer and an encoder. Word tables of the encoders stay as they are.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

from models.text.e5 import start_e5
from models.text.minilm import load_minilm, minilm_vocabulary
from models.text.network import LineEncoder
from models.text.readings import LineTokenizer
from models.text.recurrent import start_recurrent
from models.text.word_pieces import WordPieceTokenizer
from models.training.text.batches import PROJECT_LINES


@dataclass(frozen=True, slots=True)
class Finish:
    """How a trained network is trained further, with other draws.

    They are of the same corpora.
    """

    draws: Mapping[str, int]
    epochs: int
    batch_rows: int
    learning_rate: float
    misspelt: float


_CHANGED = [field.name for field in fields(Finish)]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one of the networks is trained.

    copies: of a line written for this project, by language; lines of other languages are left out, of all corpora.
    draws: rows of each corpus in one epoch; a corpus that has more takes turns. start: tokenizer and encoder to begin
    with, given the lines it will learn from. misspelt: share of these lines that are learnt from with typos and in
    another case. finish: further parts of the training.
    """

    copies: Mapping[str, int]
    draws: Mapping[str, int]
    start: Callable[[Sequence[str]], tuple[LineTokenizer, LineEncoder]]
    epochs: int
    batch_rows: int
    learning_rate: float
    dropout: float
    misspelt: float = 0.0
    finish: tuple[Finish, ...] = ()

    @property
    def stages(self) -> list["Recipe"]:
        """The parts of the training, one after another."""
        first = replace(self, finish=())
        return [first, *(replace(first, **{name: getattr(each, name) for name in _CHANGED}) for each in self.finish)]


RECIPES = {
    "english": Recipe(
        copies={"en": 3},
        draws={
            "goemotions": 10_800,
            "meld": 2_250,
            "tweeteval-emotion": 1_000,
            "isear": 1_000,
            "dreaddit": 640,
            "sdcnl": 350,
            "davidson": 1_000,
            "tweeteval-hate": 1_600,
            "tweeteval-offensive": 3_000,
            PROJECT_LINES: 500,
        },
        start=lambda lines: (WordPieceTokenizer(minilm_vocabulary()), load_minilm()),
        epochs=12,
        batch_rows=64,
        learning_rate=1.5e-4,
        dropout=0.1,
        finish=(
            Finish(
                draws={
                    "goemotions": 800,
                    "meld": 200,
                    "tweeteval-emotion": 80,
                    "isear": 100,
                    "dreaddit": 80,
                    "sdcnl": 60,
                    "davidson": 120,
                    "tweeteval-hate": 180,
                    "tweeteval-offensive": 180,
                    PROJECT_LINES: 2_400,
                },
                epochs=8,
                batch_rows=32,
                learning_rate=6e-5,
                misspelt=0.1,
            ),
            Finish(
                draws={
                    "goemotions": 2_500,
                    "meld": 500,
                    "tweeteval-emotion": 300,
                    "isear": 500,
                    "dreaddit": 250,
                    "sdcnl": 200,
                    "davidson": 200,
                    "tweeteval-hate": 300,
                    "tweeteval-offensive": 400,
                    PROJECT_LINES: 5_200,
                },
                epochs=5,
                batch_rows=32,
                learning_rate=6e-5,
                misspelt=0.1,
            ),
        ),
    ),
    "multilingual": Recipe(
        copies={"en": 1, "zh": 3},
        draws={
            PROJECT_LINES: 3_000,
            "cold": 3_000,
            "smp2020": 2_200,
            "sos1k": 400,
            "goemotions": 1_000,
            "isear": 250,
            "meld": 200,
            "dreaddit": 60,
            "sdcnl": 60,
            "davidson": 200,
            "tweeteval-emotion": 120,
            "tweeteval-hate": 150,
            "tweeteval-offensive": 200,
        },
        start=start_e5,
        epochs=7,
        batch_rows=48,
        learning_rate=2e-4,
        dropout=0.1,
        misspelt=0.1,
        finish=(
            Finish(
                draws={
                    PROJECT_LINES: 5_600,
                    "cold": 3_500,
                    "smp2020": 2_200,
                    "sos1k": 800,
                    "goemotions": 400,
                    "isear": 60,
                    "meld": 60,
                    "dreaddit": 60,
                    "sdcnl": 60,
                    "davidson": 60,
                    "tweeteval-emotion": 60,
                    "tweeteval-hate": 60,
                    "tweeteval-offensive": 120,
                },
                epochs=4,
                batch_rows=48,
                learning_rate=1.5e-4,
                misspelt=0.1,
            ),
        ),
    ),
    "recurrent": Recipe(
        copies={"en": 5},
        draws={
            "goemotions": 21_600,
            "meld": 4_500,
            "tweeteval-emotion": 1_600,
            "isear": 3_400,
            "dreaddit": 1_400,
            "sdcnl": 750,
            "davidson": 3_000,
            "tweeteval-hate": 3_500,
            "tweeteval-offensive": 5_000,
            PROJECT_LINES: 250,
        },
        start=start_recurrent,
        epochs=6,
        batch_rows=128,
        learning_rate=2e-3,
        dropout=0.3,
        misspelt=0.1,
    ),
}
"""By the names that the networks have in the model folder."""


SHIPPED = ("english", "multilingual")
"""Those that the text part of a model is made of."""


@dataclass(frozen=True, slots=True)
class TextTraining:
    """What of the recipes may be changed.

    epochs: of every network, None for each one's own. draws_share: of the rows of each corpus in an epoch.
    """

    epochs: int | None = None
    draws_share: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises ValueError for a share that leaves nothing."""
        if not 0 < self.draws_share <= 1:
            raise ValueError(f"draws_share must be above 0 and at most 1 (is {self.draws_share})")

    def recipe(self, name: str) -> Recipe:
        """That of a network, as changed."""
        usual = RECIPES[name]
        finish = tuple(
            replace(each, draws=self._fewer(each.draws), epochs=self.epochs or each.epochs) for each in usual.finish
        )
        return replace(usual, draws=self._fewer(usual.draws), epochs=self.epochs or usual.epochs, finish=finish)

    def _fewer(self, draws: Mapping[str, int]) -> dict[str, int]:
        return {corpus: max(1, round(rows * self.draws_share)) for corpus, rows in draws.items()}
