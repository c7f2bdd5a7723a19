"""Prepares the process, before anything heavy is imported.

What is prepared: standard streams, the temporary folder, core dumps, PID 1. Importing the rest takes a second or more,
in which a process can already be told to stop, and can crash. So nothing but the standard library is imported here.
"""

import os
import resource
import signal
import sys
import threading
from types import FrameType

_NO_CORE_BYTES = 1  # the kernel hands no dump to a program (core_pattern "|...") at 1, and writes no file below a page


def prepare() -> None:
    """For the main thread, once, first of all."""
    _complete_standard_streams()
    _find_temporary_folder()
    _turn_off_core_dumps()
    log_uncaught()
    if os.getpid() == 1:  # the kernel keeps from PID 1 every signal that it has no handler for
        signal.signal(signal.SIGTERM, _end)


def log_uncaught() -> None:
    """Logs errors that end a thread, instead of printing them."""

    def uncaught(ended: threading.ExceptHookArgs) -> None:
        if ended.exc_value is not None:
            import structlog  # whoever starts a thread has imported it

            name = ended.thread.name if ended.thread else None
            structlog.get_logger(__name__).error("a thread ended by a bug", thread=name, exc_info=ended.exc_value)

    threading.excepthook = uncaught


def _end(number: int, frame: FrameType | None) -> None:
    """Nothing has begun yet that could be finished."""
    os._exit(128 + number)


def _complete_standard_streams() -> None:
    """Opens /dev/null where a standard stream is closed.

    Else the next file that is opened would be written to as stderr.

    `sys.stdout` stays None where it was closed, so that results are refused rather than lost unnoticed.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest that is free, which is this one
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace")
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):  # whatever the locale, what we write is UTF-8
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _find_temporary_folder() -> None:
    """Names a folder in memory where there is no /tmp.

    Libraries unpack into it on a read-only system.
    """
    if "TMPDIR" not in os.environ and not os.access("/tmp", os.W_OK) and os.access("/dev/shm", os.W_OK):
        os.environ["TMPDIR"] = "/dev/shm"


def _turn_off_core_dumps() -> None:
    """Turns off core dumps: memory holds what people said.

    Only the soft limit is lowered: `prlimit --core` brings dumps back.

    The process stays dumpable otherwise, or its /proc would belong to root, and no debugger of its user could attach.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    most_bytes = _NO_CORE_BYTES if hard == resource.RLIM_INFINITY else min(_NO_CORE_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_CORE, (most_bytes, hard))
