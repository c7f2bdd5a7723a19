"""The label space of face expressions, FER+'s (Barsoum et al., 2016): the project's seven emotions and contempt."""

from models.labels import EMOTIONS

EXPRESSIONS = (*EMOTIONS, "contempt")
"""Order of the expression network's logits. The first seven are `EMOTIONS`, so dropping the last maps to them."""
