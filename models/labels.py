"""The label spaces: emotions, risks, and the modalities.

Emotions are Ekman's six and neutral (Ekman, 1992).
"""

EMOTIONS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear")
"""Order of every emotion vector in the project, and of the published probabilities."""

RISKS = ("distress", "self_harm", "abuse")
"""Order of every risk vector in the project."""

MODALITIES = ("video", "audio", "text")
"""Order of every tensor in the project that has a modality axis."""
