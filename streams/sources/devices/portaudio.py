"""Lazy import of PortAudio, and its list of devices.

`sounddevice` loads the system's PortAudio library when it is imported. A service without a microphone must start where
the library is missing, so it is imported on first use. PortAudio lists devices once, when it starts. To see a new one
it is started again, which is safe only while no stream is open in this process: hence the count and the lock.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from streams.sources.base import SourceError

_lock = threading.RLock()
_open_streams = 0


def sounddevice() -> Any:
    """The `sounddevice` module; SourceError if the library is missing."""
    try:
        import sounddevice as module
    except OSError as error:
        raise SourceError(f"microphones need the PortAudio library (Debian: libportaudio2): {error}") from error
    return module


@contextmanager
def refreshed_devices() -> Iterator[Any]:
    """The `sounddevice` module with a fresh list of devices.

    No other thread opens one meanwhile.
    """
    module = sounddevice()
    with _lock:
        if _open_streams == 0:
            module._terminate()
            module._initialize()
        yield module


def stream_opened() -> None:
    """Counts an open stream: the device list is kept meanwhile."""
    global _open_streams
    with _lock:
        _open_streams += 1


def stream_closed() -> None:
    """Counts a closed stream."""
    global _open_streams
    with _lock:
        _open_streams -= 1
