"""Labelled data: public corpora, a user's manifest, and features of the fusion study."""
