"""A text network and the tokenizer of the lines that it reads."""

from dataclasses import dataclass

from models.text.network import TextNetwork
from models.text.readings import LineTokenizer


@dataclass(frozen=True, slots=True, eq=False)
class Reader:
    """What turns lines into logits."""

    network: TextNetwork
    tokenizer: LineTokenizer
