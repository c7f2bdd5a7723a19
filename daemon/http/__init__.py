"""The HTTP port: health, metrics, events, chat."""
