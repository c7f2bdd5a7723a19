"""Makes a certificate authority, a server's and a client's key.

All are PEM files, made by the openssl command.
"""

import subprocess
from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def make_certificates(folder: Path, host: str) -> None:
    """Writes ca.pem, server-keystore.pem, client.pem and client.key.

    The keystore holds key and certificate, for localhost and `host`.

    Also stranger.pem and stranger.key: a client whom another authority vouches for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _authority(folder, "ca")
    _authority(folder, "stranger")
    for who in ("server", "client"):
        _openssl(folder, "req", *_KEY, "-keyout", f"{who}.key", "-out", f"{who}.csr", "-subj", f"/CN={who}")
        (folder / f"{who}.names").write_text(f"subjectAltName=DNS:localhost,IP:127.0.0.1,IP:{host}\n", encoding="ascii")
        _openssl(
            folder, "x509", "-req", "-in", f"{who}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "2", "-extfile", f"{who}.names", "-out", f"{who}.pem",
        )  # fmt: skip
    keystore = (folder / "server.key").read_text(encoding="ascii") + (folder / "server.pem").read_text(encoding="ascii")
    (folder / "server-keystore.pem").write_text(keystore, encoding="ascii")


def _authority(folder: Path, name: str) -> None:
    _openssl(
        folder, "req", "-x509", *_KEY, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", "2",
        "-subj", f"/CN=affectd-test-{name}",
    )  # fmt: skip


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
