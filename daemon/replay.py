"""`affectd replay`: stored sessions through the daemon's own pipeline, to the end, without HTTP."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from daemon.config import Config, Http
from daemon.exit_codes import ExitCode
from daemon.instruments import Instruments
from daemon.pipeline import Tally
from daemon.service import Service
from daemon.wiring import stored_endpoints, stored_feed
from streams.sinks.base import Sink
from streams.sinks.json_lines import JsonLines
from streams.sources.stored import StoredOptions


def replay(config: Config, paths: Sequence[Path], speed: float | None, out: Path | None, start_ns: int) -> int:
    """Scores the sessions in `paths`; returns the exit status.

    speed: times real time, None for as fast as they are scored. out: the file of predictions, replaced; None is stdout.
    The configuration's own sources and sinks are not used. SourceError where `paths` name no session, or one twice.
    """
    instruments = Instruments()
    options = StoredOptions(start_ns, config.video.sample_hz, instruments.metrics)
    feed = stored_feed(paths, speed, options, instruments.clock)
    sink: Sink = JsonLines.stdout() if out is None else JsonLines.file(out, append=False)
    endpoints = stored_endpoints(config, feed, sink)
    service = Service(config.model_copy(update={"http": Http(bind="")}), endpoints, instruments)
    service.handle_signals(unfinished=True)
    code = service.run()
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
