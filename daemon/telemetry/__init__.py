"""Metrics, logs and the heartbeats of threads."""
