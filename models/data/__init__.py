"""Labelled data: public corpora, a user's manifest, and fusion features."""
