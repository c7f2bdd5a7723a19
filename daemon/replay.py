"""`affectd replay`: stored sessions through the daemon's own pipeline, to the end, without HTTP."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import structlog

from daemon.config import Config, Http
from daemon.exit_codes import ExitCode
from daemon.instruments import Instruments
from daemon.pipeline import Tally
from daemon.service import Service
from daemon.wiring import stored_endpoints, stored_feed
from streams.sinks.json_lines import JsonLines
from streams.sources.base import SourceError
from streams.sources.stored import StoredOptions

log = structlog.get_logger(__name__)


def replay(config: Config, paths: Sequence[Path], speed: float | None, out: Path | None, start_ns: int) -> int:
    """Scores the sessions in `paths`; returns the exit status.

    speed: times real time, None for as fast as they are scored. out: the file of predictions, replaced; None is stdout.
    The configuration's own sources and sinks are not used. SourceError where `paths` name no session, or one twice, or
    where none of them can be read; BrokenPipeError where whoever read the predictions has left.
    """
    _check(paths)
    instruments = Instruments()
    options = StoredOptions(start_ns, config.video.sample_hz, instruments.metrics)
    feed = stored_feed(paths, speed, options, instruments.clock)
    unread = threading.Event()

    def reader_left() -> None:
        unread.set()
        service.abandon()

    sink = JsonLines.stdout(reader_left) if out is None else JsonLines.file(out, append=False, reader_left=reader_left)
    service = Service(
        config.model_copy(update={"http": Http(bind="")}), stored_endpoints(config, feed, sink), instruments
    )
    service.handle_signals(unfinished=True)
    code = service.run()
    if unread.is_set():
        raise BrokenPipeError
    if refused := instruments.metrics.refused():
        click.echo(_described(refused, service.tally), err=True)
        if code == ExitCode.OK and not service.tally.encoded:
            return ExitCode.BAD_DATA
    return code


def _described(refused: Mapping[str, int], tally: Tally) -> str:
    """How many records of how many were refused, and why; some are refused before they are taken."""
    count = sum(refused.values())
    reasons = ", ".join(f"{reason} {number}" for reason, number in sorted(refused.items()))
    return f"{count} of {tally.taken + count - tally.refused} records were refused: {reasons}"


def _check(paths: Sequence[Path]) -> None:
    """Tells of files that cannot be read before the model is loaded; SourceError where that is all of them."""
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
