"""Public corpora of faces, speech and text."""
