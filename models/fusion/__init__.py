"""Fuses the modalities of a window.

Served: `pool` fuses the modalities, `smoothing` and `smoothed_scores` smooth over windows where the configuration asks
for it. Studied only: `strategies`, trainable ways of fusing that `make reproduce` compares. Those that `affectd
evaluate` answers corpora of features by come from there; the service imports none of them.
"""
