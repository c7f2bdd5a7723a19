"""Text: languages, tokenizers, sentence encoders, heads."""
