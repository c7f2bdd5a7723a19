"""Probes whether a Kafka cluster can be reached, and if not, why.

kafka-python retries until its timeout and then names no cause, so one connection is made here step by step: the
network, TLS, the protocol, the login and the advertised addresses. A wrong password is thus distinguished from a broker
that is away, within seconds. Left out: what the cluster holds and allows (`streams.kafka.checks`).
"""

import socket
import ssl
from dataclasses import dataclass
from typing import Any

from kafka.errors import KafkaError, for_code
from kafka.net.sasl import get_sasl_mechanism
from kafka.protocol.broker_version_data import BrokerVersionData
from kafka.protocol.metadata import ApiVersionsRequest, MetadataRequest
from kafka.protocol.parser import KafkaProtocol
from kafka.protocol.sasl import SaslAuthenticateRequest, SaslHandshakeRequest

from streams.kafka.connection import Connection
from streams.sources.base import SourceError

_TIMEOUT_S = 3.0  # for every step; a broker across an ocean answers in a tenth of it
_RECEIVE_BYTES = 65_536


class Unreachable(SourceError):
    """No server answers as Kafka does; the message says why of each."""


class Refused(SourceError):
    """The cluster answers and refuses the connection; waiting does not help."""


@dataclass(frozen=True, slots=True)
class ReachableCluster:
    """A cluster that answers and accepts the connection."""

    server: str
    """The bootstrap server that answered."""
    version: tuple[int, ...]
    """Of that server, as far as its protocol shows."""
    brokers: tuple[str, ...]
    """ "host:port" of every broker, as the cluster gives them to its clients."""


def probe_cluster(connection: Connection) -> ReachableCluster:
    """Connects to a bootstrap server and to every broker that it advertises.

    Raises ConnectionProblem (a file), Refused (certificate or login) or Unreachable (network, protocol, addresses).
    """
    options = connection.options()
    problems = []
    for server in connection.bootstrap_servers:
        try:
            reached = _probe_server(server, options)
        except Unreachable as problem:
            problems.append(str(problem))
        else:
            _connect_to_brokers(reached)
            return reached
    raise Unreachable("; ".join(problems))


def _probe_server(server: str, options: dict[str, Any]) -> ReachableCluster:
    guess = "is that Kafka?" if "ssl_context" in options else "is it a listener with TLS (protocol), or not Kafka?"
    with _connect(server) as plain, _encrypt(plain, server, options) as connected:
        exchange = _Exchange(server, connected, KafkaProtocol(client_id=options["client_id"]))
        versions = exchange.request(ApiVersionsRequest(version=0), guess)
        ranges = {api.api_key: (api.min_version, api.max_version) for api in versions.api_keys}
        if "sasl_mechanism" in options:
            _log_in(exchange, options)
        metadata = exchange.request(MetadataRequest(version=4, topics=[]), "does it want a login (protocol)?")
        brokers = sorted(_address(broker.host, broker.port) for broker in metadata.brokers)
        return ReachableCluster(server, BrokerVersionData(api_versions=ranges).broker_version, tuple(brokers))


def _connect(server: str) -> socket.socket:
    host, port = _split(server)
    try:
        return socket.create_connection((host, port), _TIMEOUT_S)
    except OSError as error:
        reason = "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
        raise Unreachable(f"{server} cannot be reached: {reason}") from None


def _encrypt(plain: socket.socket, server: str, options: dict[str, Any]) -> socket.socket:
    context: ssl.SSLContext | None = options.get("ssl_context")
    if context is None:
        return plain
    try:
        return context.wrap_socket(plain, server_hostname=_split(server)[0])
    except ssl.SSLCertVerificationError as error:
        raise Refused(
            f"{server} is not trusted: {error.verify_message}; set ca_file to the authority that signed its "
            f"certificate, and bootstrap_servers to the names in it"
        ) from None
    except OSError as error:
        raise Unreachable(f"{server} does not speak TLS ({_reason(error)}); is it a listener without TLS?") from None


@dataclass(frozen=True, slots=True)
class _Exchange:
    """Sends requests and reads responses, one at a time."""

    server: str
    connected: socket.socket
    protocol: KafkaProtocol

    def request(self, request: Any, guess: str) -> Any:
        """Sends a request and returns the response.

        Unreachable, with a guess at the cause, if there is none.
        """
        self.protocol.send_request(request)
        try:
            self.connected.sendall(self.protocol.send_bytes())
            while data := self.connected.recv(_RECEIVE_BYTES):
                for _, response in self.protocol.receive_bytes(data):
                    return response
        except ssl.SSLError as error:
            raise Refused(
                f"{self.server} ended the connection over TLS ({_reason(error)}); it may want a certificate that it "
                f"trusts (certificate_file)"
            ) from None
        except TimeoutError:
            raise Unreachable(f"{self.server} takes connections and gives no answer; does it hang?") from None
        except (OSError, KafkaError) as error:
            raise Unreachable(f"{self.server} does not answer as Kafka does ({_reason(error)}); {guess}") from None
        raise Unreachable(f"{self.server} hung up; {guess}")


def _log_in(exchange: _Exchange, options: dict[str, Any]) -> None:
    name = options["sasl_mechanism"]
    handshake = exchange.request(
        SaslHandshakeRequest(version=1, mechanism=name), "does this listener take logins (protocol)?"
    )
    if handshake.error_code:
        offered = (
            f"it offers {', '.join(handshake.mechanisms)}"
            if handshake.mechanisms
            else "this listener takes no logins (protocol)"
        )
        raise Refused(f"{exchange.server} does not take the mechanism {name}: {offered}")
    mechanism = get_sasl_mechanism(name)(host=_split(exchange.server)[0], **options)
    while not mechanism.is_done():
        request = SaslAuthenticateRequest(version=0, auth_bytes=mechanism.auth_bytes())
        response = exchange.request(request, "the login was cut off")
        if response.error_code:
            why = response.error_message or for_code(response.error_code).__name__
            raise Refused(f"{exchange.server} refuses the login with {name}: {why}; {_what_to_check(options)}")
        try:
            mechanism.receive(response.auth_bytes)
        except ValueError as error:
            raise Refused(f"{exchange.server} fails to prove that it knows the password: {error}") from None


def _what_to_check(options: dict[str, Any]) -> str:
    if "sasl_plain_username" in options:
        return f"check the username {options['sasl_plain_username']!r} and what password_file holds"
    return "check what token_file holds"


def _connect_to_brokers(reached: ReachableCluster) -> None:
    for broker in reached.brokers:
        try:
            _connect(broker).close()
        except Unreachable as problem:
            raise Unreachable(
                f"{reached.server} answers, but the address that the cluster gives its clients is of no use here: "
                f"{problem}; correct the brokers' advertised.listeners, or the names and routes of this machine"
            ) from None


def _split(server: str) -> tuple[str, int]:
    host, _, port = server.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _reason(error: Exception) -> str:
    if isinstance(error, KafkaError):
        return "what it sends is of another protocol"
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None)
    return str(reason or error or type(error).__name__).lower().replace("_", " ")
