"""OAuth 2 bearer tokens of Kafka, from a file others renew."""

from collections.abc import Callable

from kafka.net.sasl.oauth import AbstractTokenProvider


class TokenFile(AbstractTokenProvider):  # type: ignore[misc]  # kafka-python has no types
    """Reads the token again whenever the client asks for one."""

    def __init__(self, read: Callable[[], str]) -> None:
        super().__init__()
        self._read = read
        read()  # so that a missing file is an error at once, and not while reconnecting

    def token(self) -> str:
        """Reads the token; ConnectionProblem if that fails."""
        return self._read()
