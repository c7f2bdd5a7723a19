"""Faces: detection, tracking, crops, expression network."""
