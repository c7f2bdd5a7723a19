"""Text formats: times, JSON, lines and files."""
