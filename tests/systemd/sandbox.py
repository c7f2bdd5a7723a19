"""A real systemd as PID 1 of its own namespaces, with only the units it is given.

Folders that the units must find are bound to the places an installation has them at, so that hardening which hides
home and temporary folders stays as shipped. The network is shared: loopback servers inside are reachable from the
tests. What is inside is seen through /proc/PID/root. Killing PID 1 ends everything in it.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

SYSTEMD = Path("/lib/systemd/systemd")
UNITS = "/run/units"

_WAIT_S = 20.0
_POLL_S = 0.05
_BOOT = """
set -e
mount -t tmpfs tmpfs /opt
{binds}
mount -t tmpfs tmpfs /run
mkdir {units}
cp -r "$1"/. {units}/
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /var/tmp
mount -t tmpfs tmpfs /var/lib
export container=sandbox SYSTEMD_UNIT_PATH={units}
exec {systemd} --system --unit=sandbox.target --log-target=null --show-status=0
"""
# What every service depends on by default; nothing of this machine's own units is started.
_TARGETS = ("sandbox", "sysinit", "basic", "shutdown", "network-online", "sound")


def missing() -> str:
    """What a sandbox needs and is not here; empty if nothing."""
    if os.geteuid() != 0:
        return "needs root"
    needed = [str(SYSTEMD), "unshare", "nsenter", "systemctl"]
    absent = [name for name in needed if shutil.which(name) is None]
    return f"needs {', '.join(absent)} (Debian: systemd, util-linux)" if absent else ""


class Sandbox:
    """Owned by one test."""

    def __init__(self, folder: Path, binds: Mapping[Path, str]) -> None:
        """folder: the units, with their drop-ins and whatever else they read, found at `UNITS`. binds: folders outside,
        to places under /opt.
        """
        for name in _TARGETS:
            (folder / f"{name}.target").write_text("[Unit]\nDefaultDependencies=no\n")
        lines = [f"mkdir -p {inside} && mount --bind '{outside}' {inside}" for outside, inside in binds.items()]
        boot = _BOOT.format(binds="\n".join(lines), units=UNITS, systemd=SYSTEMD)
        unshare = [
            "unshare",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount",
            "--mount-proc",
            "--uts",
            "--ipc",
            "--cgroup",
        ]
        self._outer = subprocess.Popen(
            [*unshare, "bash", "-c", boot, "boot", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._pid = 0
        try:
            wait_for(self._up, "systemd to come up")
        except AssertionError:
            self.stop()
            raise

    def systemctl(self, *arguments: str, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Runs systemctl inside."""
        enter = ["nsenter", "--target", str(self._pid), "--all"]
        return subprocess.run(
            [*enter, "systemctl", "--no-pager", *arguments],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def show(self, unit: str) -> dict[str, str]:
        """The properties of a unit."""
        shown = self.systemctl("show", unit).stdout
        return dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)

    def inside(self, path: str) -> Path:
        """A path inside, as it is seen from outside."""
        return Path(f"/proc/{self._pid}/root{path}")

    def outer_pid(self, pid: int) -> int:
        """The process id out here of process `pid` inside."""
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
                same = os.stat(status.parent / "ns/pid").st_ino == os.stat(f"/proc/{self._pid}/ns/pid").st_ino
            except OSError:  # it ended meanwhile
                continue
            if same and fields["NSpid"].split()[-1] == str(pid):
                return int(status.parent.name)
        raise LookupError(f"there is no process {pid} inside")

    def stop(self) -> None:
        """Ends all that runs inside."""
        if self._outer.poll() is None:
            os.kill(self._outer.pid, signal.SIGKILL)  # takes PID 1 with it (--kill-child)
        self._outer.wait()
        if self._outer.stdout is not None:
            self._outer.stdout.close()

    def _up(self) -> bool:
        if self._outer.poll() is not None and self._outer.stdout is not None:
            raise AssertionError(f"systemd did not come up: {self._outer.stdout.read().strip()}")
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children").read_text().split()
        if not children or Path(f"/proc/{children[0]}/comm").read_text().strip() != "systemd":
            return False
        self._pid = int(children[0])
        return self.systemctl("is-active", "sandbox.target").stdout.strip() == "active"


def wait_for(condition: Callable[[], bool], what: str, timeout_s: float = _WAIT_S) -> None:
    """Waits in real time, as there is no other inside a process of its own."""
    until_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > until_s:
            raise AssertionError(f"waited {timeout_s:g} s for {what}")
        time.sleep(_POLL_S)
