"""The label spaces everything is mapped to: Ekman's six emotions and neutral (Ekman, 1992), and three risks."""

EMOTIONS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear")
"""Order of every emotion vector in the project, and of the published probabilities."""

RISKS = ("distress", "self_harm", "abuse")
"""Order of every risk vector in the project."""
