"""Where results leave: a sink takes one finished prediction at a time and says when it cannot."""

from typing import Protocol

from streams.predictions import Prediction


class SinkError(Exception):
    """A sink cannot take a prediction; the message names it."""


class Sink(Protocol):
    """Owned by the publish thread."""

    name: str

    def publish(self, prediction: Prediction, line: bytes) -> None:
        """Delivers one prediction; `line` is its JSON. SinkError if it cannot."""
        ...

    def flush(self) -> None:
        """Returns when everything published is delivered. SinkError if it cannot be."""
        ...

    def close(self) -> None:
        """Releases what the sink holds. SinkError if something in it could not be delivered."""
        ...
