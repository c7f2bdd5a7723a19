"""Chooses the track of a media file that holds the conversation.

A file may hold commentary, a description for the blind, dubbed speech, or a cover beside what was recorded. Rule: of
the tracks that are none of these (or of all, where each is one) the default one is read, else the first. The others are
left out, which is logged. A cover or a thumbnail is not a video track.
"""

from pathlib import Path
from typing import Any

import av.container
import structlog
from av.stream import Disposition

log = structlog.get_logger(__name__)

_STILL = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
_BESIDE = (
    Disposition.comment
    | Disposition.descriptions
    | Disposition.visual_impaired
    | Disposition.hearing_impaired
    | Disposition.dub
    | Disposition.karaoke
    | Disposition.clean_effects
    | Disposition.non_diegetic
    | Disposition.dependent
)


def chosen_track(path: Path, container: av.container.InputContainer, kind: str) -> Any | None:
    """The stream of `kind`, "video" or "audio", to read; None without one."""
    tracks = [stream for stream in container.streams if stream.type == kind and not stream.disposition & _STILL]
    if not tracks:
        return None
    track = min(
        tracks, key=lambda stream: (bool(stream.disposition & _BESIDE), not stream.disposition & Disposition.default)
    )
    if len(tracks) > 1:
        language = getattr(track, "language", None) or "unknown"
        log.warning(
            "one of several tracks is read",
            file=str(path),
            kind=kind,
            tracks=len(tracks),
            read=track.index,
            language=language,
        )
    return track
