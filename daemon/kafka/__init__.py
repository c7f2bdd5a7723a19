"""From configuration to Kafka sources, sinks and transactions."""
