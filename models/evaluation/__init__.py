"""Measures models on labelled data.

`evaluate` is `affectd evaluate`, `report.command` is `affectd report`. Both read a corpus as labelled rows
(`corpus_rows`; `user_rows` for a manifest of the user's own) and have a model predict them (`predictions`). The corpora
of features that fusions are studied on take another way: `study_evaluation`, with the models of `study_model`.
"""
