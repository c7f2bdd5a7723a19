"""The command line: what was typed, and how it ended."""
