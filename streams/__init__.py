"""Records, event time, windows, sources, sinks and delivery. Imports neither `models` nor torch."""
