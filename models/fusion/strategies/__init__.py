"""Trainable fusion strategies behind one interface. Studied, not served.

`registry` names them, `interface` is what they share, `branches`, `summaries`, `missing` and `attention` are their
parts; every other module is one family of strategies. `models.training.fusion` trains them, `models.studies` compares
them.
"""
