"""Fits the fusion pool, and trains fusion strategies."""
