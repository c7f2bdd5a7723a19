"""Fits calibration, risk levels and trust on held-out logits."""
