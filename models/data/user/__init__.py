"""A user's own data: the manifest, and faces, voices and texts of its rows."""
