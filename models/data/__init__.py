"""Labelled data: public corpora and the manifest of a user."""
