"""Features and rows of the corpora that fusion is studied on."""
