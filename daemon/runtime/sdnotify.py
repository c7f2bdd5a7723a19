"""Notifies systemd of readiness, status, stopping and liveness (sd_notify(3)).

Outside systemd (no NOTIFY_SOCKET) every call does nothing. What is left out: file-descriptor passing and reload.
"""

import os
import socket
from collections.abc import Mapping
from typing import Self

import structlog

log = structlog.get_logger(__name__)

_MOST_DIGITS = 20  # of a 64-bit number


class ServiceNotifier:
    """Owned by the main thread; no lock."""

    def __init__(self, address: str = "", watchdog_s: float | None = None) -> None:
        """address: a socket path, or "@name" of an abstract socket.

        Empty is nobody. watchdog_s: how long systemd waits for a sign of life; None when it does not.
        """
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self.watchdog_s = watchdog_s
        self._unheard = False

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ, pid: int | None = None) -> Self:
        """What systemd says in NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID."""
        watchdog_us = environ.get("WATCHDOG_USEC", "")
        meant = environ.get("WATCHDOG_PID", "") in ("", str(pid or os.getpid()))
        number = watchdog_us.isascii() and watchdog_us.isdigit() and len(watchdog_us) <= _MOST_DIGITS
        watching = meant and number and int(watchdog_us) > 0
        return cls(environ.get("NOTIFY_SOCKET", ""), int(watchdog_us) / 1e6 if watching else None)

    def ready(self, status: str) -> None:
        """Start-up is over: warm, and a source is open."""
        self._send(f"READY=1\nSTATUS={_one_line(status)}")

    def starting(self, status: str, within_s: float) -> None:
        """Start-up goes on: extends its timeout to `within_s` from now.

        Whatever TimeoutStartSec= says.
        """
        self._send(f"EXTEND_TIMEOUT_USEC={round(within_s * 1e6)}\nSTATUS={_one_line(status)}")

    def status(self, status: str) -> None:
        """A sentence for `systemctl status`."""
        self._send(f"STATUS={_one_line(status)}")

    def stopping(self, status: str, within_s: float) -> None:
        """The stop has begun: extends its timeout to `within_s` from now.

        Whatever TimeoutStopSec= says.
        """
        self._send(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={round(within_s * 1e6)}\nSTATUS={_one_line(status)}")

    def alive(self) -> None:
        """The work makes progress. To be sent at least twice per `watchdog_s`."""
        self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.sendto(message.encode(), self._address)
        except OSError as error:
            if not self._unheard:  # once, since a sign of life is sent several times a second
                log.warning("systemd cannot be told", error=str(error))
            self._unheard = True
        else:
            self._unheard = False


def _one_line(text: str) -> str:
    return " ".join(text.split())
