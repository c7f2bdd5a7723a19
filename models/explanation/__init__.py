"""Explains a score: by modality, event and word."""
