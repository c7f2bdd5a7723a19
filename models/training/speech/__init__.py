"""Trains the speech networks."""
