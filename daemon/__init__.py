"""The running service and its command. Imports `streams` and `models`."""
