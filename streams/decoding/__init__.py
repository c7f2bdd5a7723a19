"""Decoding of records into events: pictures, sound and lines."""
