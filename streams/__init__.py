"""Stream processing: sources, event time, windows, delivery, sinks. Imports no torch."""
