"""Kafka as source and sink, at least or exactly once."""
