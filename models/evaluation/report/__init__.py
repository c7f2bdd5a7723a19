"""`affectd report`: a page on how good a model is.

`command` writes the page, `corpus_report` measures one corpus, `page` and `plots` show it.
"""
