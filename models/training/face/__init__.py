"""Trains the expression network."""
