"""The label spaces everything is mapped to: Ekman's six emotions and neutral (Ekman, 1992), and three risks; and the
modalities these are read from.
"""

EMOTIONS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear")
"""Order of every emotion vector in the project, and of the published probabilities."""

RISKS = ("distress", "self_harm", "abuse")
"""Order of every risk vector in the project."""

MODALITIES = ("video", "audio", "text")
"""Order of every tensor in the project that has a modality axis."""
