"""Assembles a model folder from trained parts."""
