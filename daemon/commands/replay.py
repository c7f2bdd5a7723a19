"""`affectd replay`: scores stored sessions by the daemon's own pipeline.

To the end, without HTTP.
"""

import sys
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click
import structlog

from daemon.commands.progress import counted, shown
from daemon.commands.refusals import refusals
from daemon.config import Config
from daemon.config.sections import HttpSettings
from daemon.exit_codes import ExitCode
from daemon.runtime.service import Service
from daemon.telemetry.instruments import Instruments
from daemon.wiring import stored_endpoints, stored_feed
from streams.clock import NS_PER_S
from streams.predictions import Prediction
from streams.sinks.json_lines import JsonLines
from streams.sources.base import Source, SourceError
from streams.sources.stored.discovery import StoredOptions
from streams.sources.stored.playback import Playback

log = structlog.get_logger(__name__)


def replay(
    config: Config,
    paths: Sequence[Path],
    speed: float | None,
    out: Path | None,
    start_ns: int,
    channels: tuple[str, ...] = (),
) -> int:
    """Scores the sessions in `paths`; returns the exit status.

    speed: times real time, None for as fast as they are scored. out: the file of predictions, replaced; None is stdout.
    channels: who speaks on each channel of sound. The configuration's own sources and sinks are not used. SourceError
    where `paths` name no session, or one twice, or where none of them can be read; BrokenPipeError where whoever read
    the predictions has left.
    """
    _check(paths)
    instruments = Instruments()
    options = StoredOptions(start_ns, config.video.sample_hz, instruments.metrics, channels=channels)
    feed = stored_feed(paths, speed, options, instruments.clock)
    unread = threading.Event()

    def reader_left() -> None:
        unread.set()
        service.abandon()

    sink = JsonLines.stdout(reader_left) if out is None else JsonLines.file(out, append=False, reader_left=reader_left)
    summary = _Summary(feed.source)
    with shown("loading the model", where=out is not None or not sys.stdout.isatty()) as progress:

        def watch(prediction: Prediction) -> None:
            summary.add(prediction)
            progress(f"{summary.played}: {summary.scored}")

        endpoints = stored_endpoints(config, feed, sink)
        service = Service(config.model_copy(update={"http": HttpSettings(bind="")}), endpoints, instruments, watch)
        service.handle_signals(unfinished=True)
        code = service.run()
    if unread.is_set():
        raise BrokenPipeError
    click.echo(f"{summary.played}: {summary.scored}", err=True)
    if refused := instruments.metrics.refused():
        click.echo(refusals(refused, service.counts), err=True)
        if code == ExitCode.OK and not service.counts.encoded:
            code = ExitCode.BAD_DATA
    lacking = ", of which some could not be written" if code == ExitCode.UNAVAILABLE else ""
    click.echo(f"predictions: {out or 'on stdout'}{lacking}", err=True)
    return code


class _Summary:
    """Counts what was played and refused.

    Counted on the publish thread; read when that has ended, or roughly while it works.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._sessions: set[str] = set()
        self._windows = 0
        self._abstained: Counter[str] = Counter()

    def add(self, prediction: Prediction) -> None:
        """Counts a window once, by its first prediction.

        However often it is revised.
        """
        if prediction.revision == 0:
            self._sessions.add(prediction.session)
            self._windows += 1
            if prediction.abstained:
                self._abstained[prediction.abstained.reason] += 1

    @property
    def played(self) -> str:
        """Such as "61 s of 1 session played"."""
        played_ns = self._source.played_ns if isinstance(self._source, Playback) else 0
        return f"{played_ns / NS_PER_S:.0f} s of {counted(len(self._sessions), 'session')} played"

    @property
    def scored(self) -> str:
        """Such as "61 windows scored, no emotion named in 2 (low_confidence 2)"."""
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(self._abstained.items()))
        abstained = f", no emotion named in {self._abstained.total()} ({reasons})" if reasons else ""
        return f"{counted(self._windows, 'window')} scored{abstained}"


def _check(paths: Sequence[Path]) -> None:
    """Reports files that cannot be read, before the model is loaded.

    Raises SourceError where that is all of them.
    """
    faults = [f"{path}: {why}" for path in paths if (why := _why_unreadable(path)) is not None]
    if len(faults) == len(paths):
        raise SourceError("\n".join(faults))
    for fault in faults:
        log.warning("input cannot be read; the rest goes on", fault=fault)


def _why_unreadable(path: Path) -> str | None:
    try:
        if path.is_file():
            path.open("rb").close()
        else:
            path.stat()
    except OSError as error:
        return error.strerror or type(error).__name__
    return None
