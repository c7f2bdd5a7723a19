"""Calibration of the text part for transcripts."""
