"""PortAudio, imported when a microphone is first used and told apart from its absence.

`sounddevice` loads the system's PortAudio library as it is imported, so importing it at the top would take down a
service that has no microphone. PortAudio lists devices once, when it starts; to see one plugged in since, it is started
again, which is safe only while no stream is open in this process: hence the count and the lock.
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
    """The `sounddevice` module, listing devices as they are now; nobody else opens one meanwhile."""
    module = sounddevice()
    with _lock:
        if _open_streams == 0:
            module._terminate()
            module._initialize()
        yield module


def stream_opened() -> None:
    """Counts a stream in; the list of devices stays as it is until it is counted out."""
    global _open_streams
    with _lock:
        _open_streams += 1


def stream_closed() -> None:
    """Counts a stream out."""
    global _open_streams
    with _lock:
        _open_streams -= 1
