"""Bounded queues from the sources to the timeline thread."""
