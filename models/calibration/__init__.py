"""Calibrated probabilities, prediction sets and trust in events."""
