"""`affectd demo`: plays the bundled sample session through the daemon's pipeline.

Left in `out`: the predictions as they are published, and a picture of them over time. Nothing here scores anything: it
is `affectd replay` of one session, with a line a window. The words of the sample are our own, so they are shown and
written, whatever `privacy.transcript` is.
"""

import logging
import os
from pathlib import Path

import click

from daemon.commands.window_lines import window_line, words_line
from daemon.config.sections import HttpSettings
from daemon.config.source import load
from daemon.runtime.service import Service
from daemon.sample import SAMPLE
from daemon.telemetry import logs
from daemon.telemetry.instruments import Instruments
from daemon.wiring import stored_endpoints, stored_feed
from streams.predictions import Prediction
from streams.sinks.json_lines import JsonLines
from streams.sources.stored.discovery import StoredOptions

_LEGEND = (
    "each line a window; V video, A audio, T text: how much of the window has a face, a voice, words; - is absent;\n"
    "below it, what was said and written"
)


def demo(out: Path, speed: float | None) -> int:
    """Plays the sample and returns the exit status.

    The environment may configure it, as it does the daemon.

    out: the folder of `predictions.jsonl` and `timeline.png`, made if it is not there; older ones are replaced.
    speed: times real time, None for as fast as it is scored. SinkError where `out` cannot be written.
    """
    loaded = load(None, os.environ, ())
    shown = loaded.privacy.model_copy(update={"transcript": True})
    config = loaded.model_copy(update={"http": HttpSettings(bind=""), "privacy": shown})
    logs.configure("warning", config.log.format)
    predictions_file, picture_file = out / "predictions.jsonl", out / "timeline.png"
    sink = JsonLines.file(predictions_file, append=False)
    picture_file.unlink(missing_ok=True)
    instruments = Instruments()
    feed = stored_feed(
        [SAMPLE],
        speed,
        StoredOptions(sample_hz=config.video.sample_hz, telemetry=instruments.metrics),
        instruments.clock,
    )
    seen: list[Prediction] = []

    def watch(prediction: Prediction) -> None:
        words, before = words_line(prediction), words_line(seen[-1]) if seen else None
        seen.append(prediction)
        click.echo(window_line(prediction), err=True)
        if words is not None and words != before:
            click.echo(words, err=True)

    click.echo("loading the model", err=True)
    click.echo(_LEGEND, err=True)
    service = Service(config, stored_endpoints(config, feed, sink), instruments, watch)
    service.handle_signals(unfinished=True)
    status = service.run()
    if not seen:
        click.echo(f"no window was scored; {predictions_file} is empty", err=True)
        return status
    _draw(seen, picture_file)
    click.echo(f"predictions: {predictions_file}   picture: {picture_file}", err=True)
    return status


def _draw(seen: list[Prediction], file: Path) -> None:
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # a first run says at length that it looks for fonts
    from daemon.commands.timeline_plot import draw

    draw(seen, file)
