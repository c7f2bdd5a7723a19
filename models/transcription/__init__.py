"""Speech to text of whole utterances, batched over sessions."""
