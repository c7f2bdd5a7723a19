"""Finds secrets of a Kafka connection that others can read.

Others are users who may read the files, and networks that carry a secret unencrypted. Both work, so both are notes. A
file that its group may read is no note: that is how services share one. SCRAM sends proofs and no password, so without
TLS only PLAIN and OAUTHBEARER give the secret itself away.
"""

import stat
from collections.abc import Iterator

from streams.findings import Finding, Verdict
from streams.kafka.connection import Security, credential_path

_READ_BY_OTHERS = stat.S_IROTH
_WRITTEN_BY_OTHERS = stat.S_IWOTH | stat.S_IWGRP


def exposed_secrets(security: Security) -> Iterator[Finding]:
    """A note for each secret that others can read or replace.

    ConnectionProblem without systemd's credentials.
    """
    for file in (
        security.password_file,
        security.token_file,
        security.key_file or security.certificate_file,
        security.key_password_file,
    ):
        if file:
            yield from _exposed_file(file)
    if security.protocol == "sasl_plaintext" and security.mechanism in ("PLAIN", "OAUTHBEARER"):
        secret = "password" if security.mechanism == "PLAIN" else "token"
        sentence = f"log-in {security.mechanism} without TLS sends the {secret} as it is; set protocol to sasl_tls"
        yield Finding(Verdict.NOTE, "kafka", sentence)


def _exposed_file(file: str) -> Iterator[Finding]:
    try:
        mode = stat.S_IMODE(credential_path(file).stat().st_mode)
    except OSError:
        return  # the error comes from who reads it
    if mode & (_READ_BY_OTHERS | _WRITTEN_BY_OTHERS):
        done = "read" if mode & _READ_BY_OTHERS else "replaced"
        yield Finding(
            Verdict.NOTE, file, f"holds a secret and can be {done} by other users (mode {mode:04o}); chmod 600"
        )
