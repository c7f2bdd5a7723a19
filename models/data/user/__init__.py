"""A user's manifest, and the faces, voices and texts of its rows."""
