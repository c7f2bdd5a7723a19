"""Trains the parts of a model and assembles its folder."""
