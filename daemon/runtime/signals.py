"""What signals mean to a running service.

They come from an operator, a supervisor or a terminal. SIGTERM and SIGINT stop it. SIGHUP stops it only where it has a
controlling terminal, which then has hung up. A service has none, and is asked to read its configuration again, which it
cannot yet: it says so and goes on, since dying would lose what it has accepted. What the parent has us ignore stays
ignored (`nohup`, a job in the background), SIGTERM excepted. Equal signals that come faster than the process runs are
merged by the kernel and count as one.
"""

import os
import signal
from collections.abc import Callable
from types import FrameType


def install(stop: Callable[[int], None], reload: Callable[[], None]) -> None:
    """Installs the signal handlers; for the main thread.

    stop: called with the signal's number. Both run between two steps of the main thread.
    """

    def stopping(number: int, frame: FrameType | None) -> None:
        stop(number)

    def hung_up(number: int, frame: FrameType | None) -> None:
        if on_terminal:
            stop(number)
        else:
            reload()

    on_terminal = _has_terminal()
    signal.signal(signal.SIGTERM, stopping)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, stopping)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, hung_up)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
