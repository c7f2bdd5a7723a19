"""Fuses the modalities of a window, and smooths over windows."""
