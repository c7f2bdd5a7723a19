"""Configures how a client connects to a Kafka cluster, and logs in.

Secrets are not kept in memory: a `Security` names files, and they are read whenever a client is made
(`Connection.options`). So a renewed password or certificate counts from the next connection on; a token file is read
again for every token.
A file may be written as "credential:NAME", which is $CREDENTIALS_DIRECTORY/NAME, as systemd's LoadCredential= gives it.
Left out: whether the cluster can be reached and accepts all this (`streams.kafka.checks`).
"""

import logging
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from streams.formats.text_files import FileError, read_text
from streams.sources.base import SourceError

Protocol = Literal["plaintext", "tls", "sasl_plaintext", "sasl_tls"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]

_PROTOCOLS: Mapping[Protocol, str] = {
    "plaintext": "PLAINTEXT",
    "tls": "SSL",
    "sasl_plaintext": "SASL_PLAINTEXT",
    "sasl_tls": "SASL_SSL",
}
_CREDENTIAL = "credential:"
_KAFKA_LOG = logging.getLogger("kafka")


class ConnectionProblem(SourceError):
    """A file that a connection needs cannot be used.

    The message names the file and the reason.
    """


@dataclass(frozen=True, slots=True)
class Security:
    """Encryption and login of a connection.

    Every `*_file` is a path or "credential:NAME", and "" where there is none.
    """

    protocol: Protocol = "plaintext"
    ca_file: str = ""
    """PEM; without it the system's authorities are trusted."""
    certificate_file: str = ""
    """PEM: the certificate of this client, where the cluster requires one (mutual TLS)."""
    key_file: str = ""
    """PEM: the key of `certificate_file`; without it, it lies in that file too."""
    key_password_file: str = ""
    mechanism: Mechanism | Literal[""] = ""
    username: str = ""
    password_file: str = ""
    token_file: str = ""


@dataclass(frozen=True, slots=True)
class Connection:
    """A cluster and how to connect to it. Immutable."""

    bootstrap_servers: tuple[str, ...]
    """ "host:port" each; any of them names the rest of the cluster."""
    security: Security = Security()
    client_id: str = "affectd"

    def options(self) -> dict[str, Any]:
        """The keyword arguments of every client of kafka-python.

        ConnectionProblem if a file cannot be used.
        """
        _keep_secrets_from_the_log()
        security = self.security
        options: dict[str, Any] = {
            "bootstrap_servers": list(self.bootstrap_servers),
            "client_id": self.client_id,
            "security_protocol": _PROTOCOLS[security.protocol],
        }
        if security.protocol in ("tls", "sasl_tls"):
            options["ssl_context"] = tls_context(security)
        if security.protocol in ("sasl_plaintext", "sasl_tls"):
            options["sasl_mechanism"] = security.mechanism
            if security.mechanism == "OAUTHBEARER":
                from streams.kafka.token_file import TokenFile  # brings kafka-python, which no configuration needs

                options["sasl_oauth_token_provider"] = TokenFile(lambda: read_secret(security.token_file))
            else:
                options["sasl_plain_username"] = security.username
                options["sasl_plain_password"] = _Secret(read_secret(security.password_file))
        return options


def tls_context(security: Security) -> ssl.SSLContext:
    """TLS 1.2 or newer, with certificate and host name checked.

    ConnectionProblem if a file is unfit.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if security.ca_file:
        try:
            context.load_verify_locations(cadata=_read(security.ca_file))
        except (ssl.SSLError, ValueError):
            raise ConnectionProblem(f"{security.ca_file} holds no certificates of authorities (PEM)") from None
    else:
        context.load_default_certs()
    if security.certificate_file:
        _load_certificate(context, security)
    return context


def _load_certificate(context: ssl.SSLContext, security: Security) -> None:
    key_file = security.key_file or security.certificate_file
    for file in (security.certificate_file, key_file):
        _read(file)
    # A password that is not needed does no harm; without one OpenSSL would prompt on the terminal.
    password = read_secret(security.key_password_file) if security.key_password_file else ""
    try:
        context.load_cert_chain(credential_path(security.certificate_file), credential_path(key_file), lambda: password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConnectionProblem(f"{key_file} is not the key of {security.certificate_file}") from None
        locked = "ENCRYPTED" in _read(key_file)
        why = "its password is wrong or missing (key_password_file)" if locked else "one of them is no PEM"
        raise ConnectionProblem(f"{security.certificate_file} with the key {key_file} cannot be used: {why}") from None


def read_secret(file: str) -> str:
    """Reads a secret, without the end of its line.

    ConnectionProblem if there is none or it cannot be read.
    """
    secret = _read(file).rstrip("\r\n")
    if not secret:
        raise ConnectionProblem(f"{file} is empty")
    return secret


def _read(file: str) -> str:
    try:
        return read_text(credential_path(file))
    except FileError as problem:
        raise ConnectionProblem(f"{file} {problem}") from None


def credential_path(file: str) -> Path:
    """The path of a file; ConnectionProblem without systemd's credentials."""
    if not file.startswith(_CREDENTIAL):
        return Path(file)
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if folder is None:
        raise ConnectionProblem(f"{file} cannot be read: there are no credentials here (systemd's LoadCredential=)")
    return Path(folder) / file.removeprefix(_CREDENTIAL)


class _Secret(str):
    """Text without a repr: kafka-python logs the options of a client."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def _keep_secrets_from_the_log() -> None:
    """At debug level kafka-python logs requests whole: passwords, tokens, what people said."""
    if _KAFKA_LOG.getEffectiveLevel() < logging.INFO:
        _KAFKA_LOG.setLevel(logging.INFO)
