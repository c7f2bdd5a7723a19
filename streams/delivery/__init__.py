"""What is still needed of a log, and what is committed."""
