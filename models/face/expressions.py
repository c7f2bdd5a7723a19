"""The label space of face expressions, as in FER+.

FER+ (Barsoum et al., 2016) has the project's seven emotions and contempt.
"""

from models.labels import EMOTIONS

EXPRESSIONS = (*EMOTIONS, "contempt")
"""Order of the expression network's logits. The first seven are `EMOTIONS`, so dropping the last maps to them."""
