"""Speech of a session: utterances, and the words in them."""
