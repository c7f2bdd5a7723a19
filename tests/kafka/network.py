"""Makes a network namespace on a link that can be cut.

A network namespace holds one end of a veth pair; this side holds the other. What is started with `command` put before
its own lives inside, at the address `inside`; it reaches this side at `outside`. A cut is either noticed (the link is
down: "no route to host" at once) or silent (every packet goes to a link address that nobody has, so nothing arrives
and nobody notices). Needs root and the `ip` command (Debian: iproute2). Left out: loss and delay of single packets.
"""

import os
import random
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_NOBODY = "02:00:00:00:00:00"  # a locally administered address


class NetworkProblem(Exception):
    """The `ip` command refused something."""


@dataclass(frozen=True, slots=True)
class Network:
    """One namespace and its link.

    outside, inside: the addresses of this side and of the namespace, in `subnet`.
    """

    name: str
    subnet: str
    outside: str
    inside: str

    @property
    def command(self) -> tuple[str, ...]:
        """Put before another command, runs it inside."""
        return "ip", "netns", "exec", self.name

    def cut(self, *, silently: bool = False) -> None:
        """Lets nothing through in either direction; connections are not closed."""
        if silently:
            self._tell_link_address(self.inside, self._end("a"))
            self._tell_link_address(self.outside, self._end("b"), *self.command)
        else:
            _run("ip", "link", "set", self._end("a"), "down")

    def restore(self) -> None:
        """Undoes `cut`; nothing if the link is whole."""
        _run("ip", "link", "set", self._end("a"), "up")
        _run("ip", "neigh", "flush", "nud", "permanent", "dev", self._end("a"))
        _run(*self.command, "ip", "neigh", "flush", "nud", "permanent", "dev", self._end("b"))

    def _tell_link_address(self, address: str, device: str, *inside: str) -> None:
        _run(*inside, "ip", "neigh", "replace", address, "lladdr", _NOBODY, "dev", device, "nud", "permanent")

    def _end(self, end: str) -> str:
        return f"{self.name}{end}"

    def _make(self) -> None:
        _run("ip", "netns", "add", self.name)
        _run("ip", "link", "add", self._end("a"), "type", "veth", "peer", "name", self._end("b"), "netns", self.name)
        _run("ip", "address", "add", f"{self.outside}/30", "dev", self._end("a"))
        _run("ip", "link", "set", self._end("a"), "up")
        _run("ip", "route", "add", "unreachable", self.subnet, "metric", "1000000")  # while the link is down
        inside = *self.command, "ip"
        _run(*inside, "link", "set", "lo", "up")
        _run(*inside, "address", "add", f"{self.inside}/30", "dev", self._end("b"))
        _run(*inside, "link", "set", self._end("b"), "up")
        _run(*inside, "route", "add", "default", "via", self.outside)  # to all addresses of this side

    def _remove(self) -> None:
        for command in (
            ("ip", "route", "del", "unreachable", self.subnet),
            ("ip", "link", "del", self._end("a")),
            ("ip", "netns", "del", self.name),
        ):
            subprocess.run(command, capture_output=True, check=False)  # what was not made cannot be removed


def missing() -> str | None:
    """What the machine lacks for networks, or None."""
    if os.geteuid() != 0:
        return "networks of their own need root"
    if shutil.which("ip") is None:
        return "networks of their own need the ip command (Debian: iproute2)"
    return None


@contextmanager
def network() -> Iterator[Network]:
    """A network until the end of the block. Raises NetworkProblem."""
    third, fourth = random.randrange(256), random.randrange(0, 256, 4)
    low, outside, inside = (f"198.18.{third}.{fourth + n}" for n in range(3))  # reserved for such tests (RFC 2544)
    made = Network(f"aff{uuid.uuid4().hex[:8]}", f"{low}/30", outside, inside)
    try:
        made._make()
        yield made
    finally:
        made._remove()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NetworkProblem(f"{' '.join(command)}: {done.stderr.strip() or f'exit status {done.returncode}'}")
