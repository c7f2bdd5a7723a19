"""Trains the text networks."""
