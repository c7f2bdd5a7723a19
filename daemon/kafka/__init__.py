"""Builds Kafka sources, sinks and transactions from the configuration."""
