"""`affectd report`: a page on how good a model is on each corpus at hand."""
