"""Session discovery: from paths to stored sessions.

A path is a media file, a chat script, a recording, or a folder of these. `NAME.mp4` and `NAME.chat.jsonl` beside it are
one session, whichever of the two is named. A path that does not exist is a session that cannot be opened: it is
reported with the other faults, and the rest is played. Two inputs with the same session name are refused at once, since
their records would be mixed.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from streams.participants import Participant
from streams.records import MEDIA, Modality
from streams.sources.base import SourceError
from streams.sources.stored.media_session import START_NS, MediaSession
from streams.sources.stored.playback import StoredSession
from streams.sources.stored.recorded_session import RecordedSession
from streams.sources.stored.recording import is_recording
from streams.telemetry import NullTelemetry, Telemetry

CHAT_SUFFIX = ".chat.jsonl"
MEDIA_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".ts", ".mpg", ".flv"}
    | {".wav", ".flac", ".mp3", ".m4a", ".aac", ".ogg", ".oga", ".opus"}
)
"""What counts as media when a folder is named; a file that is named itself is tried whatever it is called."""


@dataclass(frozen=True, slots=True)
class StoredOptions:
    """How media become sessions: see `MediaSession`.

    wanted: the modalities that are read. participant, channels: whose pictures and sound they hold.
    """

    start_ns: int = START_NS
    sample_hz: float | None = None
    telemetry: Telemetry = field(default_factory=NullTelemetry)
    wanted: frozenset[Modality] = frozenset(MEDIA)
    participant: Participant | None = None
    channels: tuple[str, ...] = ()


def stored_sessions(paths: Iterable[Path], options: StoredOptions | None = None) -> list[StoredSession]:
    """The sessions in `paths`, each once; SourceError on a shared name."""
    options = options or StoredOptions()
    found: dict[str, tuple[Path, StoredSession]] = {}
    for path in (inner for outer in paths for inner in _expanded(outer)):
        session, origin = _session(path, options)
        name = session.session
        if name in found and os.path.realpath(found[name][0]) != os.path.realpath(origin):
            raise SourceError(f"{path}: session {name!r} is also that of {found[name][0]}; rename one of them")
        found.setdefault(name, (origin, session))
    return [session for _, session in found.values()]


def _expanded(path: Path) -> list[Path]:
    """A folder as the sessions in it, anything else as itself."""
    if not path.is_dir() or is_recording(path):
        return [path]
    inside = sorted(path.iterdir())
    sessions = [each for each in inside if _is_session(each)]
    if not sessions:
        raise SourceError(f"{path}: a folder with neither media, nor chat (*{CHAT_SUFFIX}), nor a recording")
    return sessions


def _is_session(path: Path) -> bool:
    if path.name.startswith("."):  # hidden, such as what macOS lays beside each file of a foreign disk
        return False
    if path.is_dir():
        return is_recording(path)
    return _is_chat(path) or path.suffix.lower() in MEDIA_SUFFIXES


def _is_chat(path: Path) -> bool:
    return path.name.lower().endswith(CHAT_SUFFIX)


def _session(path: Path, options: StoredOptions) -> tuple[StoredSession, Path]:
    """The session of one path, and the path it is known by."""
    if path.is_dir():
        return RecordedSession(path, options.telemetry, options.wanted), path
    if _is_chat(path):
        name = path.name[: -len(CHAT_SUFFIX)]
        media, chat = _beside(path, name, sorted(MEDIA_SUFFIXES)), path
        session = _media_session(name or path.name, media, chat, options)
    elif path.suffix.lower() == ".jsonl":
        media, session = None, _media_session(path.stem, None, path, options)
    else:
        media, session = path, _media_session(path.stem, path, _beside(path, path.stem, [CHAT_SUFFIX]), options)
    return session, media or path


def _media_session(name: str, media: Path | None, chat: Path | None, options: StoredOptions) -> MediaSession:
    """The session of a file name, which may hold any bytes.

    What is no printable text in it is replaced.
    """
    text = os.fsencode(name).decode("utf-8", "replace")
    printable = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
    return MediaSession(
        printable,
        media,
        chat,
        options.start_ns,
        options.sample_hz,
        options.telemetry,
        options.wanted,
        options.participant,
        options.channels,
    )


def _beside(path: Path, name: str, suffixes: Sequence[str]) -> Path | None:
    """The file NAME with one of the suffixes, beside `path`.

    Suffixes may be in small letters or capitals. None if there is none.
    """
    beside = (path.with_name(name + each) for suffix in suffixes for each in (suffix, suffix.upper()))
    return next((each for each in beside if os.path.exists(each)), None)  # which `Path` raises of a name too long
