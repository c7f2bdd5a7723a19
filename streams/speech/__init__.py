"""Speech of a session: utterances, and the words that are recognised in them."""
