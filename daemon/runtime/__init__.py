"""The service as a process: start, life cycle, signals, drain."""
